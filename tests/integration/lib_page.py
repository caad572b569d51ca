"""A browser as far as the page's API is concerned, and the people who log in."""
import http.client
import json
import os

from lib import wait_for

ROLES = {"vic": ["viewer"], "olga": ["operator"], "ann": ["approver"], "adam": ["admin"]}
TOKENS = {name: (name + "-token-") * 4 for name in ROLES}


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.text = status, headers, body
        try:
            self.json = json.loads(body)
        except ValueError:
            self.json = {}


class Browser:
    """What a browser does that matters here: a cookie jar, Origin, Sec-Fetch-Site."""

    def __init__(self, port, host=None):
        self.port, self.host = port, host or "127.0.0.1:%d" % port
        self.jar, self.csrf = {}, ""

    def ask(self, method, path, body=None, headers=None, raw=None):
        h = {"Host": self.host}
        if self.jar:
            h["Cookie"] = "; ".join("%s=%s" % p for p in self.jar.items())
        if method not in ("GET", "HEAD"):
            h.update({"Origin": "http://" + self.host, "Sec-Fetch-Site": "same-origin"})
        if body is not None:
            h["Content-Type"] = "application/json"
            raw = json.dumps(body).encode()
        h.update(headers or {})
        h = {k: v for k, v in h.items() if v is not None}
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        c.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for k, v in h.items():
            c.putheader(k, v)
        if raw is not None or method == "POST":
            c.putheader("Content-Length", str(len(raw or b"")))
        c.endheaders(raw)
        r = c.getresponse()
        cookies = r.headers.get_all("Set-Cookie") or []
        stream = r.headers.get("Content-Type") == "text/event-stream"
        reply = Reply(r.status, r.headers, b"" if stream else r.read())
        c.close()
        for cookie in cookies:
            name, value = cookie.split(";")[0].split("=", 1)
            self.jar[name] = value
            if "Max-Age=0" in cookie:
                del self.jar[name]
        return reply

    def login(self, token):
        r = self.ask("POST", "/login", {"token": token})
        if r.status == 200:
            self.csrf = self.ask("GET", "/api/session").json["csrf"]
        return r

    def change(self, path, body, method="POST", headers=None):
        return self.ask(method, path, body, dict({"X-CSRF-Token": self.csrf}, **(headers or {})))


def secret(w, name, text):
    path = "%s/%s" % (w.dir, name)
    with open(path, "w") as f:
        f.write(text + "\n")
    os.chmod(path, 0o600)
    return path


def people(w, **more):
    return "people:\n" + "".join(
        "  - {name: %s, roles: [%s], token_file: %s, oidc: %s@idp}\n" % (
            name, ", ".join(roles), secret(w, name + ".token", TOKENS[name]), name)
        for name, roles in ROLES.items()) + "".join("%s: %s\n" % p for p in more.items())


def bearer(token):
    return {"Authorization": "Bearer " + token, "Origin": None, "Sec-Fetch-Site": None}


def restart(w, extra="", token=None):
    w.stop()
    w.configure(extra, token)
    return w.start()


def lag(w):
    return Browser(w.port).ask("GET", "/api/status", headers=bearer(TOKENS["vic"])).json["lag"]


def caught_up(w):
    return wait_for("the projection has read everything",
                    lambda: lag(w).get("behind") == 0 and lag(w)["outbox"] == 0)

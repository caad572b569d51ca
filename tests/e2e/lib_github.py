#!/usr/bin/env python3
"""A double of GitHub: its REST API with state, under /api/v3, and git over smart HTTP (git's own
http-backend) of the bare repositories ROOT/OWNER/NAME.git, under /OWNER/NAME.git.

    lib_github.py ROOT [--port P] [--token T] [--app ID:PUBLIC_KEY.pem] [--requests FILE.jsonl]

Prints "PORT" and serves until it is killed. Everything but /_test wants the token, the API as
"Bearer T", git as basic auth x-access-token:T. Each request is a line of FILE: method, path, query,
headers (of credentials only the kind), body. Tests set the scene by POST /_test/NAME with JSON:
    check_run {repository, sha, name, status, conclusion}   status {repository, sha, context, state}
    job {repository, id, name, head_sha, steps, log, ...}   an Actions job and its log
    next {status, headers, body, times, match, late}        what the next matching requests get; late: although it is done
    hold {match}, release {}                                git requests whose path matches wait between the two
    held {}                                                 how many wait
    get {repository}                                        pulls, comments, labels
Used by tests and by the demonstration; shares no code with what they judge."""
import argparse
import base64
import gzip
import json
import os
import re
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from lib_github_api import API, ROUTES, Refused, Repository


class Github:
    def __init__(self, root, token="", app="", requests=None):
        self.root, self.token, self.requests_path = root, token, requests
        self.app_id, _, self.app_key = app.partition(":")
        self.lock = threading.RLock()
        self.repositories, self.requests, self.scripted, self.tokens = {}, [], [], {}
        self.ids, self.hold, self.held, self.go = 1000, None, 0, threading.Event()

    def repository(self, name):
        path = os.path.join(self.root, name + ".git")
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", name) or not os.path.isdir(path):
            raise Refused(404, "Not Found")
        return self.repositories.setdefault(name, Repository(path, name))

    def next_id(self):
        self.ids += 1
        return self.ids

    def may(self, header):
        """What kind of credential this is, or None."""
        kind, _, value = (header or "").partition(" ")
        if kind.lower() == "basic":
            value = base64.b64decode(value).decode(errors="replace").partition(":")[2]
        if kind.lower() not in ("bearer", "token", "basic"):
            return None
        if self.token and value == self.token:
            return "token"
        if self.tokens.get(value, 0) > time.time():
            return "installation"
        return "app" if self.app_id and kind == "Bearer" and self.is_jwt(value) else None

    def is_jwt(self, value):
        parts = value.split(".")
        if len(parts) != 3:
            return False

        def decode(text):
            return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        claims = json.loads(decode(parts[1]))
        signed, signature = os.path.join(self.root, ".signed"), os.path.join(self.root, ".signature")
        with open(signed, "wb") as f, open(signature, "wb") as g:
            f.write((parts[0] + "." + parts[1]).encode())
            g.write(decode(parts[2]))
        good = subprocess.run(["openssl", "dgst", "-sha256", "-verify", self.app_key, "-signature", signature, signed],
                              capture_output=True).returncode == 0
        return good and claims["iss"] == self.app_id and claims["iat"] <= time.time() <= claims["exp"] <= \
            claims["iat"] + 660


# ---- what tests say ----

def scene(hub, name, b):
    if name == "requests":
        return hub.requests
    if name == "hold":
        hub.hold, hub.held = b["match"], 0
        hub.go.clear()
        return {}
    if name == "release":
        hub.hold = None
        hub.go.set()
        return {}
    if name == "held":
        return {"held": hub.held}
    if name == "next":
        hub.scripted += [b] * b.get("times", 1)
        return {}
    repo = hub.repository(b["repository"])
    if name == "get":
        return {"pulls": repo.pulls, "comments": repo.comments, "labels": repo.labels}
    if name == "check_run":
        have = repo.check_runs.setdefault(b["sha"], [])
        have[:] = [x for x in have if x["name"] != b["name"]]
        have.append({"id": hub.next_id(), "name": b["name"], "status": b.get("status", "completed"),
                     "conclusion": b.get("conclusion")})
    elif name == "status":
        have = repo.statuses.setdefault(b["sha"], [])
        have[:] = [x for x in have if x["context"] != b["context"]]
        have.append({"context": b["context"], "state": b["state"]})
    elif name == "job":
        repo.jobs[b["id"]] = b
    else:
        raise Refused(404, "no scene " + name)
    return {}


# ---- HTTP ----

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    scheme = "http"

    def log_message(self, *args):
        pass

    def read_body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                parts.append(self.rfile.read(size))
                self.rfile.readline()
                if size == 0:
                    return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer_json(self, status, value, headers=()):
        body = b"" if value is None else json.dumps(value).encode()
        self.answer(status, body, [("Content-Type", "application/json; charset=utf-8"), *headers])

    def note(self, url, body):
        headers = {k.lower(): v for k, v in self.headers.items()}
        if "authorization" in headers:
            headers["authorization"] = headers["authorization"].split(" ")[0]
        try:
            data = json.loads(body) if body else None
        except ValueError:
            data = None
        line = {"method": self.command, "path": url.path, "query": parse_qs(url.query, keep_blank_values=True),
                "headers": headers, "body": data}
        self.hub.requests.append(line)
        if self.hub.requests_path:
            with open(self.hub.requests_path, "a", encoding="utf-8") as f:
                f.write(json.dumps(line) + "\n")

    def handle_any(self):
        url, body = urlsplit(self.path), self.read_body()
        self.base = self.scheme + "://" + self.headers.get("Host", "127.0.0.1")
        try:
            if url.path.startswith("/_test/"):
                with self.hub.lock:
                    self.answer_json(200, scene(self.hub, url.path[7:], json.loads(body or b"{}")))
            elif url.path.startswith("/_logs/"):
                self.log(url)
            elif url.path.startswith(API + "/"):
                with self.hub.lock:
                    self.note(url, body)
                    self.api(url, body)
            else:
                self.git(url, body)
        except Refused as e:
            self.answer_json(e.status, e.body)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = handle_any

    def log(self, url):
        owner, name, number = url.path[len("/_logs/"):].split("/")
        job = self.hub.repository(owner + "/" + name).jobs[int(number)]
        if self.headers.get("Authorization"):  # as the real store does
            raise Refused(400, "InvalidAuthenticationInfo")
        self.answer(200, job.get("log", "").encode(), [("Content-Type", "text/plain")])

    def script(self, path):
        for i, s in enumerate(self.hub.scripted):
            if re.search(s.get("match", ""), self.command + " " + path):
                del self.hub.scripted[i]
                return s
        return None

    def api(self, url, body):
        path = url.path[len(API):]
        scripted = self.script(path)
        if scripted and not scripted.get("late"):
            self.answer_json(scripted["status"], scripted.get("body"), list(scripted.get("headers", {}).items()))
            return
        self.credential = self.hub.may(self.headers.get("Authorization"))
        if not self.credential:
            raise Refused(401, "Bad credentials")
        if not self.headers.get("User-Agent"):
            raise Refused(403, "Request forbidden by administrative rules.")
        self.query = {k: v[0] for k, v in parse_qs(url.query).items()}
        self.body = json.loads(body) if body else {}
        self.extra = {"X-RateLimit-Remaining": "4999", "X-RateLimit-Reset": str(int(time.time()) + 3600)}
        for method, regex, status, f in ROUTES:
            found = regex.match(path)
            if method != self.command or not found:
                continue
            args = {k: unquote(v) for k, v in found.groupdict().items()}
            owner, name = args.pop("owner", None), args.pop("name", None)
            repo = self.hub.repository(owner + "/" + name) if owner else None
            result = self.paged(f(self, repo, **args))
            if scripted:
                status, result = scripted["status"], scripted.get("body")
            self.answer_json(status, result, list(self.extra.items()))
            return
        raise Refused(404, "Not Found")

    def paged(self, result):
        if not isinstance(result, list) or self.command != "GET":
            return result
        size, page = int(self.query.get("per_page", 30)), int(self.query.get("page", 1))
        if len(result) > page * size:
            others = "&".join("%s=%s" % (k, v) for k, v in self.query.items() if k != "page")
            self.extra["Link"] = '<%s%s?%s&page=%d>; rel="next"' % (self.base, urlsplit(self.path).path, others,
                                                                    page + 1)
        return result[(page - 1) * size:page * size]

    def git(self, url, body):
        if not self.hub.may(self.headers.get("Authorization")):
            self.answer(401, b"", [("WWW-Authenticate", 'Basic realm="git"')])
            return
        if self.hub.hold and re.search(self.hub.hold, self.command + " " + self.path):
            self.hub.held += 1
            self.hub.go.wait(60)
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        env = {"PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": self.hub.root, "GIT_HTTP_EXPORT_ALL": "1",
               "GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
               "GIT_CONFIG_KEY_1": "uploadpack.allowFilter", "GIT_CONFIG_VALUE_1": "true",
               "PATH_INFO": url.path, "QUERY_STRING": url.query, "REQUEST_METHOD": self.command,
               "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
               "REMOTE_USER": "x-access-token", "REMOTE_ADDR": "127.0.0.1",
               "GIT_PROTOCOL": self.headers.get("Git-Protocol", "")}
        out = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True).stdout
        head, _, rest = out.partition(b"\r\n\r\n")
        headers = [tuple(line.split(": ", 1)) for line in head.decode().split("\r\n") if ": " in line]
        status = [int(v.split()[0]) for k, v in headers if k == "Status"] or [200]
        self.answer(status[0], rest, [(k, v) for k, v in headers if k not in ("Status", "Content-Length")])


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, address):
        if not isinstance(sys.exc_info()[1], OSError):  # who went away, went away
            super().handle_error(request, address)


def start(root, port=0, tls=None, **options):
    """Serves in a thread; the server has .hub and .server_port; stop with .shutdown(). tls: a file of
    certificate and key, for https."""
    handler = type("Handler", (Handler,), {"hub": Github(root, **options), "scheme": "https" if tls else "http"})
    server = Server(("127.0.0.1", port), handler)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.hub = handler.hub
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main():
    p = argparse.ArgumentParser()
    p.add_argument("root")
    p.add_argument("--port", type=int, default=0)
    p.add_argument("--token", default="")
    p.add_argument("--app", default="")
    p.add_argument("--requests")
    a = p.parse_args()
    server = start(os.path.abspath(a.root), a.port, token=a.token, app=a.app, requests=a.requests)
    print(server.server_port, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    sys.exit(main())

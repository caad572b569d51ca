#!/usr/bin/env python3
"""Who gets in at the page and at the API: every way by which somebody once got into a neighbour's, tried here. TAP."""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys

from lib import done, now_ms, ok, wait_for
from lib_notifier import BUILD, World, approval, incident, plan
from lib_page import ROLES, TOKENS, Browser, bearer, caught_up, people, restart, secret

ADMIN_TOKEN = "the-token-of-the-api-for-programs"
HOSTILE = '<script>alert(1)</script><img src=x onerror=alert(1)>"\'\u202e`${1}'

# method, path, the least role
ROUTES = [
    ("GET", "/api/status", "viewer"), ("GET", "/api/incidents", "viewer"),
    ("GET", "/api/incidents/db", "viewer"), ("GET", "/api/story/db", "viewer"),
    ("GET", "/api/plans/plan-db", "viewer"), ("GET", "/api/approvals", "viewer"),
    ("GET", "/api/tools", "viewer"), ("GET", "/api/silences", "viewer"),
    ("GET", "/api/changes", "viewer"), ("GET", "/api/shadow", "viewer"),
    ("GET", "/api/dead", "viewer"), ("GET", "/api/session", "viewer"),
    ("GET", "/api/events", "viewer"), ("GET", "/api/dead/1", "viewer"),
    ("GET", "/api/search?q=x", "viewer"), ("GET", "/api/models", "viewer"), ("GET", "/api/oncall", "viewer"), ("GET", "/api/kpis", "viewer"), ("GET", "/api/info/nope", "viewer"),
    ("GET", "/api/undelivered", "viewer"), ("POST", "/api/oncall", "operator"), ("DELETE", "/api/oncall/nope", "operator"),
    ("GET", "/api/people", "admin"), ("POST", "/api/feedback", "taker"),
    ("POST", "/api/rehearse", "taker"), ("POST", "/api/silences", "operator"),
    ("DELETE", "/api/silences/nope", "operator"), ("POST", "/api/ack", "taker"),
    ("POST", "/api/dead/1/requeue", "operator"),
    ("POST", "/api/decisions", "approver"),
    ("POST", "/api/pause", "admin"), ("POST", "/api/resume", "admin"),
    ("POST", "/api/undo", "admin"),
]
# What operators and approvers may do alike is a taker's.
MAY = {"vic": {"viewer"}, "olga": {"viewer", "operator", "taker"}, "ann": {"viewer", "approver", "taker"},
       "adam": {"viewer", "operator", "admin", "taker"}}
RIGHTS = {"vic": {"read"}, "olga": {"read", "ack", "feedback", "silence", "rehearse", "requeue", "oncall"},
          "ann": {"read", "ack", "feedback", "rehearse", "decide"},
          "adam": {"read", "ack", "feedback", "silence", "rehearse", "requeue", "oncall", "pause", "undo", "people"}}


# ---- the tests ----

def test_local(w):
    """Nobody configured, as it comes: whoever is on this machine, but no page of somebody else's."""
    b = Browser(w.port)
    s = b.ask("GET", "/api/session")
    ok(s.status == 200 and s.json["person"] is None and "admin" in s.json["roles"] and
       s.json["via"] == "local", "without people a local peer may all", s.text)
    silence = {"matchers": ['service="x"'], "duration": "1m", "by": "me"}
    ok(b.ask("POST", "/api/silences", silence, {"Origin": None, "Sec-Fetch-Site": None}).status == 200,
       "a program on this machine needs nothing else")
    ok(b.ask("POST", "/api/silences", silence).status == 403, "a browser needs the CSRF token")
    b.csrf = s.json["csrf"]
    ok(b.change("/api/silences", silence).status == 200, "and with it may")
    foreign = [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
               {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://127.0.0.1:1"},
               {"Origin": "http://127.0.0.1:%d.evil.example" % w.port},
               {"Host": "evil.example:%d" % w.port, "Origin": "http://evil.example:%d" % w.port}]
    got = [b.change("/api/silences", silence, headers=h).status for h in foreign]
    ok(got == [403] * len(foreign), "a page of another origin may not, even with the token", got)
    got = [b.ask("GET", "/api/status", headers=h).status for h in foreign]
    ok(got == [403] * len(foreign), "nor read", got)


def test_borrowed_names(w):
    """With people of whom none can log in, being on this machine makes nobody one of them."""
    restart(w, "people: [{name: ann, roles: [approver, admin], slack: U1}, {name: bob, roles: [approver], slack: U2}]\n"
            "approvers: [{people: [ann, bob], count: 2}]\n")
    w.send("incident", "lent", incident("lent"))
    w.send("plan", "lent", plan("plan-lent", "lent"))
    w.send("approval", "lent", approval("ask-lent", "lent", "plan-lent", now_ms() + 60000))
    w.caught_up()
    b, alone = Browser(w.port), {"Origin": None, "Sec-Fetch-Site": None}

    def say(path, body):
        return b.ask("POST", path, body, alone)

    got = [say("/api/decisions", {"approval": "ask-lent", "verdict": v, "by": who})
           for v in ("approve", "deny") for who in ("ann", "bob", "root")]
    ok([r.status for r in got] == [403] * 6 and "token" in got[0].json["reason"] and not w.dump("STORY", "heal.decision.lent")
       and not w.dump("STORY", "heal.control.lent"), "nobody votes under a borrowed name", [r.text for r in got])
    got = [say(path, dict(body, by="ann")).status for path, body in (
        ("/api/pause", {}), ("/api/ack", {"incident": "lent"}), ("/api/feedback", {"incident": "lent", "held": True}),
        ("/api/silences", {"matchers": ['a="b"'], "duration": "1m"}), ("/api/rehearse", {"plan": "plan-lent"}))]
    ok(got == [403] * 5, "nor does anything else", got)
    got = say("/api/ack", {"incident": "lent", "by": "root"})
    ok(got.status == 200, "under a name that is nobody's, who is here can still take an incident", got.text)


def test_roles(w):
    b = Browser(w.port)
    ok(b.ask("GET", "/api/status").status == 401, "with people to log in, being local is not enough")
    wrong = []
    for name in ROLES:
        for method, path, least in ROUTES:
            r = b.ask(method, path, {} if method == "POST" else None, bearer(TOKENS[name]))
            if (r.status == 403) == (least in MAY[name]) or r.status == 401:
                wrong.append((name, method, path, r.status, r.text[:80]))
    ok(not wrong, "each role may what it may on %d routes, and nothing else" % len(ROUTES), wrong)
    told = {name: set(b.ask("GET", "/api/session", headers=bearer(TOKENS[name])).json["may"]) for name in ROLES}
    ok(told == RIGHTS, "and the page is told the same", told)
    got = [b.ask(m, p, {} if m == "POST" else None, bearer("x" * 40)).status for m, p, _ in ROUTES]
    ok(set(got) == {401}, "an unknown token nothing", got)
    got = [b.ask(m, p, {} if m == "POST" else None, {"Origin": None, "Sec-Fetch-Site": None}).status
           for m, p, _ in ROUTES]
    ok(set(got) == {401}, "nor does nobody", got)
    r = b.ask("POST", "/api/ack", {"incident": "db", "by": "adam"}, bearer(TOKENS["olga"]))
    ok(r.status == 200 and r.json["by"] == "olga", "nobody acts under another name", r.text)


def test_paths(w):
    """Kestra's, Spring's and others' ways around a door: what is not exactly a public path is not public."""
    b = Browser(w.port)
    ways = ["/api/status/", "/api/status;/healthz", "/api/status/healthz", "/api/status/configs",
            "/healthz/../api/status", "/healthz/..;/api/status", "/healthz/%2e%2e/api/status",
            "/login/../api/status", "/login%2f..%2fapi%2fstatus", "//api/status", "/./api/status",
            "/api%2fstatus", "/api%252fstatus", "/API/STATUS", "/api/status%00", "/api/status%00/login",
            "/api/status?/login", "/api/status#/login", "/api/status.js", "/api/status/app.js",
            "/app.js/../api/status", "/app.js/api/status", "/login/", "/login/x", "/style.css/",
            "/channel/../api/status", "/channel/x/../../api/status", "/channel/%2e%2e%2fapi%2fstatus",
            "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc%2fpasswd", "/web/app.js",
            "/index.html", "/.git/config", "/app.js%00.html", "\\api\\status", "/api\\status"]
    got = [(p, b.ask("GET", p).status) for p in ways]
    ok(all(s in (400, 401, 404) for _, s in got), "%d spellings of a path lead nowhere" % len(ways),
       [g for g in got if g[1] not in (400, 401, 404)])
    override = [{"X-HTTP-Method-Override": "POST"}, {"X-HTTP-Method": "POST"}, {"X-Method-Override": "POST"},
                {"X-Original-URL": "/healthz"}, {"X-Rewrite-URL": "/healthz"},
                {"X-Forwarded-User": "adam@idp"}, {"X-Forwarded-For": "127.0.0.1"},
                {"X-Real-IP": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1"}, {"X-Forwarded-Host": "localhost"}]
    got = [b.ask("GET", "/api/status", headers=h).status for h in override]
    ok(got == [401] * len(override), "headers that others believe change nothing", got)
    vic = Browser(w.port)
    vic.login(TOKENS["vic"])
    got = [vic.ask("GET", "/api/pause?_method=POST", headers=dict(h, **{"X-CSRF-Token": vic.csrf})).status
           for h in override[:3]]
    got += [vic.ask(m, "/api/pause", headers={"X-CSRF-Token": vic.csrf}).status
            for m in ("PUT", "PATCH", "HEAD", "TRACE", "OPTIONS")]
    ok(all(s in (400, 405, 501) for s in got), "a method is what the request line says", got)
    r = vic.ask("OPTIONS", "/api/status", headers={"Origin": "http://evil.example",
                                                   "Access-Control-Request-Method": "POST"})
    ok(not any(k.lower().startswith("access-control") for k in r.headers), "no CORS, ever", r.headers)


def test_login(w):
    b = Browser(w.port)
    ok(b.ask("GET", "/api/session").status == 401, "nobody is logged in to begin with")
    b.jar["healbus"] = planted = "a" * 64
    r = b.login(TOKENS["olga"])
    cookie = r.headers["Set-Cookie"]
    ok(r.status == 200 and r.json["person"] == "olga", "a person's token logs in", r.text)
    ok(b.jar["healbus"] != planted and len(b.jar["healbus"]) == 64, "under an id of ours: none is fixed before")
    ok(all(a in cookie for a in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200")) and
       "Domain" not in cookie, "the cookie is for this host, strict, and for no script", cookie)
    first = dict(b.jar)
    b.login(TOKENS["olga"])
    old = Browser(w.port)
    old.jar = first
    ok(b.jar != first and old.ask("GET", "/api/session").status == 401,
       "logging in again ends the session that was brought along")
    s = b.ask("GET", "/api/session").json
    ok(s["person"] == "olga" and set(s["roles"]) == {"viewer", "operator"} and s["via"] == "session",
       "it knows who I am", s)
    twice = b.ask("GET", "/api/session", headers={"Cookie": "healbus=x; healbus=" + b.jar["healbus"]})
    ok(twice.status == 401, "of two cookies of one name neither counts")
    got = [b.ask("POST", "/login", None, h, b'token=' + TOKENS["ann"].encode()).status for h in (
        {"Content-Type": "application/x-www-form-urlencoded"}, {"Content-Type": "text/plain"}, {})]
    ok(got == [400, 400, 400], "a form of somebody else's cannot log in", got)
    got = [b.ask("POST", "/login", {"token": TOKENS["ann"]}, h).status for h in (
        {"Origin": "null"}, {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"})]
    ok(got == [403] * 3, "nor can a page of another origin", got)
    r = b.ask("POST", "/login?next=//evil.example&redirect=http://evil.example",
              {"token": TOKENS["olga"], "next": "//evil.example"})
    ok(r.status == 200 and "Location" not in r.headers and b"evil" not in r.text, "it redirects nowhere")
    b.login(TOKENS["olga"])
    r = b.change("/logout", {})
    ok(r.status == 200 and "Max-Age=0" in r.headers["Set-Cookie"] and
       b.ask("GET", "/api/session").status == 401, "logging out ends it")


def test_csrf(w):
    b, other = Browser(w.port), Browser(w.port)
    b.login(TOKENS["adam"])
    other.login(TOKENS["adam"])
    body = {"matchers": ['service="x"'], "duration": "1m"}
    good = b.change("/api/silences", body)
    ok(good.status == 200, "with cookie and CSRF token it goes", good.text)
    tries = {"none": {"X-CSRF-Token": None}, "empty": {"X-CSRF-Token": ""},
             "of another session": {"X-CSRF-Token": other.csrf}, "cut": {"X-CSRF-Token": b.csrf[:-1]},
             "the cookie itself": {"X-CSRF-Token": b.jar["healbus"]},
             "null origin": {"Origin": "null"}, "foreign origin": {"Origin": "https://evil.example"},
             "another port": {"Origin": "http://127.0.0.1:1"},
             "host as prefix": {"Origin": "http://%s.evil.example" % b.host},
             "cross-site": {"Sec-Fetch-Site": "cross-site"}, "same-site": {"Sec-Fetch-Site": "same-site"},
             "two origins": {"Origin": "http://%s http://evil.example" % b.host}}
    for path in ("/api/silences", "/api/pause", "/api/ack", "/api/undo", "/api/decisions", "/api/rehearse",
                 "/logout"):
        got = {k: b.change(path, body, headers=h).status for k, h in tries.items()}
        ok(set(got.values()) == {403}, "no forged request reaches " + path, got)
    simple = b.ask("POST", "/api/pause", None, {"Content-Type": "text/plain", "X-CSRF-Token": None,
                                               "Origin": None, "Sec-Fetch-Site": None}, b'{"by":"x"}')
    ok(simple.status == 403, "nor one that says nothing of where it is from", simple.text)
    ok(b.change("/api/silences/" + good.json["id"], None, "DELETE",
                {"X-CSRF-Token": "x"}).status == 403, "nor a DELETE")
    caught_up(w)  # what earlier tests said and took back
    status = b.ask("GET", "/api/status").json
    ok(not status["paused"]["on"], "and nothing is paused", status)


def test_stored_xss(w):
    """What an alert says comes back as JSON that no browser takes for a page."""
    w.send("incident", "xss", incident("xss", title=HOSTILE, labels={"service": HOSTILE}))
    caught_up(w)
    b = Browser(w.port)
    b.login(TOKENS["vic"])
    for path in ("/api/incidents", "/api/incidents/xss", "/api/story/xss", "/api/search?q=script",
                 "/api/incidents/" + "%3Cscript%3E", "/api/plans/%3Cscript%3E"):
        r = b.ask("GET", path)
        h = r.headers
        ok(h["Content-Type"].startswith(("application/json", "text/plain")) and
           h["X-Content-Type-Options"] == "nosniff" and "default-src 'none'" in h["Content-Security-Policy"]
           and h["Cache-Control"] == "no-store" and h["Referrer-Policy"] == "no-referrer" and
           h["Cross-Origin-Resource-Policy"] == "same-origin", "%s is data, private, not kept" % path, h)
    r = b.ask("GET", "/api/incidents/xss")
    ok(r.json["title"] == HOSTILE and r.json["labels"]["service"] == HOSTILE, "unchanged, every byte", r.text)
    r = b.ask("GET", "/<script>alert(1)</script>")
    ok(r.status in (400, 404) and b"<script>" not in r.text, "a path is not repeated")


def test_files(w):
    b = Browser(w.port)
    r = b.ask("GET", "/")
    policy = r.headers["Content-Security-Policy"]
    ok(r.status == 200 and r.headers["Content-Type"] == "text/html; charset=utf-8", "the page is there", r.text[:80])
    want = ("default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'",
            "img-src 'self' data:", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'")
    ok(all(p in policy.split("; ") for p in want) and "unsafe" not in policy and len(policy.split("; ")) == 8,
       "with a strict policy", policy)
    ok(r.headers["X-Frame-Options"] == "DENY" and r.headers["Cross-Origin-Opener-Policy"] == "same-origin" and
       r.headers["X-Content-Type-Options"] == "nosniff", "in nobody's frame", r.headers)
    again = b.ask("GET", "/", headers={"If-None-Match": r.headers["ETag"]})
    ok(again.status == 304 and not again.text, "and not sent twice", again.status)
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../notifier/web")
    missing = []
    for f in sorted(os.listdir(here)):
        path = {"index.html": "/", "login.html": "/login"}.get(f, "/" + f)
        want = 404 if f == "README.md" else 200
        r = b.ask("GET", path)
        with open(os.path.join(here, f), "rb") as file:
            if r.status != want or want == 200 and r.text != file.read():
                missing.append((f, r.status))
    ok(not missing, "every file of notifier/web is served, byte for byte", missing)


def test_lock_out(w):
    b = Browser(w.port)
    got = [b.ask("POST", "/login", {"token": "guess-%d" % n}) for n in range(7)]
    ok([r.status for r in got] == [401] * 5 + [429] * 2, "five wrong tokens, then a pause",
       [r.status for r in got])
    ok(0 < int(got[5].headers["Retry-After"]) <= 61, "that is told", got[5].headers)
    ok(b.ask("POST", "/login", {"token": TOKENS["ann"]}).status == 429, "even for the right one")
    ok(b.ask("GET", "/api/status", headers=bearer(TOKENS["vic"])).status == 200,
       "programs with a token go on")
    bodies = [b.ask("POST", "/login", None, {"Content-Type": "application/json"}, raw).status
              for raw in (b"", b"[]", b"null", b"{", b'{"token":null}', b'{"token":{}}',
                          b'{"token":"a","token":"b"}')]
    ok(all(s in (400, 401, 429) for s in bodies), "no other shape of a body gets in", bodies)


def test_large(w):
    b = Browser(w.port)
    got = [b.ask("GET", "/api/status", headers={"X-Long": "x" * 20000}).status,
           b.ask("GET", "/api/status", headers={"Cookie": "healbus=" + "x" * 20000}).status,
           b.ask("GET", "/api/status", headers={"Cookie": "; ".join("healbus%d=x" % n for n in range(900))}).status,
           b.ask("GET", "/api/status", headers={"Authorization": "Bearer " + "x" * 15000}).status]
    ok(all(s in (401, 413, 431) for s in got), "large headers are refused", got)
    with socket.create_connection(("127.0.0.1", w.port), timeout=15) as s:
        s.sendall(b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n")
        ok(b" 413 " in s.recv(100), "and large bodies before they come")


def test_proxy(w):
    restart(w, people(w, oidc_header="X-Forwarded-User", trusted_proxies="[127.0.0.1]"))
    b = Browser(w.port, "heal.example")
    as_ann = {"X-Forwarded-User": "ann@idp", "X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.7",
              "Origin": "https://heal.example"}
    s = b.ask("GET", "/api/session", headers=as_ann)
    ok(s.status == 200 and s.json["person"] == "ann" and s.json["via"] == "proxy", "a trusted proxy says who", s.text)
    r = b.ask("POST", "/api/decisions", {"approval": "nope", "verdict": "deny"}, as_ann)
    ok(r.status == 403 and b"CSRF" in r.text, "its word alone changes nothing", r.text)
    as_ann["X-CSRF-Token"] = s.json["csrf"]
    r = b.ask("POST", "/api/decisions", {"approval": "nope", "verdict": "deny"}, as_ann)
    ok(r.status == 404, "with the CSRF token it does", r.text)
    ok(b.ask("GET", "/api/session", headers=dict(as_ann, **{"X-Forwarded-User": "eve@idp"})).status == 403,
       "a stranger is refused")
    r = b.ask("POST", "/login", {"token": TOKENS["vic"]}, as_ann)
    cookie = r.headers["Set-Cookie"]
    ok(r.status == 200 and cookie.startswith("__Host-healbus=") and "; Secure" in cookie,
       "behind HTTPS the cookie is Secure and bound to the host", cookie)
    got = [b.ask("POST", "/login", {"token": "x"}, dict(as_ann, **{"X-Forwarded-For": "192.0.2.66, 198.51.100.%d" % n}))
           .status for n in (1, 1, 1, 1, 1, 1, 2)]
    ok(got == [401] * 5 + [429, 401], "each address behind it has its own tries", got)
    restart(w, people(w, oidc_header="X-Forwarded-User", trusted_proxies="[192.0.2.0/24]"))
    ok(b.ask("GET", "/api/session", headers=as_ann).status == 401, "from elsewhere its header is nobody")


def test_revoked(w):
    b = Browser(w.port)
    b.login(TOKENS["adam"])
    ok(b.ask("GET", "/api/session").status == 200, "a session")
    TOKENS["adam"] = "another-token-of-adam-" * 2
    w.configure(people(w))
    w.stage.send_signal(signal.SIGHUP)
    ok(wait_for("the session is void", lambda: b.ask("GET", "/api/session").status == 401),
       "ends when the person's token is changed")
    ok(b.ask("POST", "/login", {"token": "adam-token-" * 4}).status == 401 and
       b.login(TOKENS["adam"]).status == 200, "and the new one works")


def test_api_token(w):
    restart(w, people(w), secret(w, "api.token", ADMIN_TOKEN))
    b = Browser(w.port)
    r = b.ask("GET", "/api/session", headers=bearer(ADMIN_TOKEN))
    ok(r.json.get("person", 1) is None and len(r.json["roles"]) == 4, "a token of the API may all", r.text)
    r = b.login(ADMIN_TOKEN)
    ok(r.status == 200 and b.change("/api/pause", {"by": "night shift"}).status == 200, "and logs in", r.text)
    ok(b.change("/api/resume", {}).status == 400, "but has no name of its own")
    ok(b.change("/api/resume", {"by": "night shift"}).status == 200, "and says whose hand it is")


def exchange(name, of, cost, **more):
    return dict({"id": name, "incident": of, "provider": "openai", "model": "m-1", "purpose": "plan",
                 "prompt": "what now?", "answer": "{}", "prompt_tokens": 100, "answer_tokens": 20,
                 "cost_micro_usd": cost, "started_at_ms": now_ms(), "took_ms": 50, "state": "exchanged",
                 "ask": "ask-1", "attempt": 1}, **more)


def test_reading(w):
    """What the page reads besides: the words of incidents, the cost of models, all about a plan."""
    b = Browser(w.port)
    b.login(TOKENS["vic"])
    w.send("incident", "paid", incident("paid", title="Checkout of the Shop fails",
                                        labels={"service": "shop", "region": "eu-west"}))
    w.send("plan", "paid", plan("plan-paid", "paid"))
    w.send("model", "paid", exchange("x1", "paid", 1500))
    w.send("model", "paid", exchange("x2", "paid", 500, model="m-2", cached=True))
    w.send("model", "paid", exchange("x3", "paid", 70, attempt=2))
    w.send("step", "paid", {"incident": "paid", "plan_id": "plan-paid", "step_id": "s1", "phase": "act",
                            "state": "done", "tool": "restart", "target": "web-1", "output": "restarted",
                            "rendered": "systemctl restart nginx"})
    caught_up(w)
    found = {q: [i["id"] for i in b.ask("GET", "/api/search?q=" + q).json["incidents"]]
             for q in ("checkout", "SHOP%20eu-west", "region", "shop%20nowhere", "labels", "%25", "paid")}
    ok(found == {"checkout": ["paid"], "SHOP%20eu-west": ["paid"], "region": ["paid"], "shop%20nowhere": [],
                 "labels": [], "%25": [], "paid": ["paid"]}, "search looks for all words, in words of theirs", found)
    got = [b.ask("GET", "/api/search" + q).status for q in ("", "?q=", "?q=%20", "?q=" + "x" * 300)]
    ok(got == [400] * 4, "and wants some", got)
    m = b.ask("GET", "/api/models").json
    ok(m["total"]["exchanges"] == 3 and m["total"]["cost_micro_usd"] == 2070 and m["total"]["cached"] == 1 and
       m["total"]["prompt_tokens"] == 300 and len(m["days"]) in (1, 2) and
       {r["model"]: r["cost_micro_usd"] for r in m["models"]} == {"m-1": 1570, "m-2": 500} and
       [r["incident"] for r in m["incidents"]] == ["paid"], "what models cost, by day, model and incident", m)
    m = b.ask("GET", "/api/models?incident=db").json
    ok(m["total"]["exchanges"] == 0 and m["days"] == [], "nothing where none was asked", m)
    p = b.ask("GET", "/api/plans/plan-paid").json
    ok([s["output"] for s in p["steps"]] == ["restarted"] and [x["id"] for x in p["exchanges"]] == ["x1", "x2"]
       and p["cost_micro_usd"] == 2000, "a plan with what its steps printed, what was asked and its cost", p)


def healctl(w, *args, token=None):
    r = subprocess.run([os.path.join(BUILD, "healctl"), *args, "--url", "http://127.0.0.1:%d" % w.port]
                       + (["--token-file", token] if token else []), capture_output=True, text=True, timeout=30)
    return r.returncode, r.stdout + r.stderr


def test_healctl(w):
    """A token that healctl makes lets its owner in, under the owner's name and roles."""
    path = w.dir + "/new.token"
    rc, text = healctl(w, "token", "nina", "--out", path)
    with open(path) as f:
        token = f.read().strip()
    ok(rc == 0 and os.stat(path).st_mode & 0o777 == 0o600 and len(token) == 64 and token not in text,
       "healctl token writes one that only I can read", (rc, text))
    rc, text = healctl(w, "token", "nina", "--out", path)
    with open(path) as f:
        ok(rc == 1 and f.read().strip() == token, "and none over another", text)
    w.configure(people(w) + "  - {name: nina, roles: [operator], token_file: new.token}\n")
    os.rename(path, w.dir + "/etc/new.token")
    path = w.dir + "/etc/new.token"
    w.stage.send_signal(signal.SIGHUP)
    ok(wait_for("it counts", lambda: healctl(w, "status", token=path)[0] == 0), "it counts after a reload")
    ok(healctl(w, "status")[0] == 1, "and nothing goes without one")
    rc, text = healctl(w, "ack", "paid", "--reason", "mine", token=path)
    acks = [m["message"] for m in w.dump("STORY", "heal.control.paid")]
    ok(rc == 0 and [a["by"] for a in acks] == ["nina"], "what she does is hers", (rc, text, acks))
    rc, text = healctl(w, "pause", token=path)
    ok(rc == 1 and "admin" in text, "what she may not is refused, with the role it needs", text)
    rc, text = healctl(w, "incidents", "--search", "shop checkout", token=path)
    ok(rc == 0 and "Checkout of the Shop" in text and len(text.splitlines()) == 2, "she searches", text)
    rc, text = healctl(w, "models", "--since", "7d", token=path)
    ok(rc == 0 and "$0.0021" in text and "openai m-2" in text, "and sees what models cost", text)


def main():
    if not shutil.which("nats-server"):
        print("1..0 # skip no nats-server")
        return 0
    w = World()
    w.hook_on()
    try:
        w.start_nats()
        w.busctl("provision")
        w.configure()
        ok(w.start(), "starts and is ready")
        test_local(w)
        test_borrowed_names(w)
        w.send("incident", "db", incident("db"))
        w.send("plan", "db", plan("plan-db", "db"))
        restart(w, people(w))
        caught_up(w)
        for test in (test_files, test_roles, test_paths, test_login, test_csrf, test_stored_xss, test_reading, test_healctl, test_large,
                     test_revoked, test_lock_out, test_proxy, test_api_token):
            test(w)
        ok(w.stop() == 0, "stops")
        with open(w.dir + "/notifier.log") as f:
            log = f.read()
        ok(not any(t in log for t in list(TOKENS.values()) + [ADMIN_TOKEN]), "no token is in the log")
    finally:
        w.close()
    return done()


if __name__ == "__main__":
    sys.exit(main())

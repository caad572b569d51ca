"""Doubles of what notices are sent to, over real HTTP and SMTP: Telegram's Bot API, PagerDuty's Events API v2, Opsgenie's
Alert API, comments of GitHub, any webhook, a mail server. Each refuses what its vendor's documentation says it refuses.
Shares no code with what it judges."""
import email
import email.policy
import http.server
import json
import os
import re
import socketserver
import threading
import time
import urllib.parse

BOT = "123456:AbC-dEf_9"
KEY = "0123456789abcdef0123456789abcdef"


def utf16(text):
    return len(text.encode("utf-16-le")) // 2


class TelegramSpec:
    """Requests against a description of the Bot API's methods and types."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as f:
            self.api = json.load(f)

    def fits(self, kind, value):
        if kind.startswith("Array of "):
            return isinstance(value, list) and all(self.fits(kind[9:], v) for v in value)
        simple = {"Integer": int, "Float": (int, float), "String": str, "Boolean": bool, "True": bool}
        if kind in simple:
            return isinstance(value, simple[kind]) and (kind in ("Boolean", "True") or not isinstance(value, bool))
        known = self.api["types"].get(kind)
        if not known:
            return False
        if known.get("subtypes"):
            return any(self.fits(s, value) for s in known["subtypes"])
        return isinstance(value, dict) and not self.errors(known.get("fields", []), value)

    def errors(self, fields, body):
        wrong = ["unknown field " + k for k in body if k not in [f["name"] for f in fields]]
        for f in fields:
            value = body.get(f["name"])
            if value is None:
                wrong += ["missing " + f["name"]] if f["required"] else []
            elif not any(self.fits(t, value) for t in f["types"]):
                wrong.append("bad type: " + f["name"])
        return wrong

    def judge(self, method, body):
        known = self.api["methods"].get(method)
        return self.errors(known.get("fields", []), body) if known else ["unknown method " + method]


class Vendors:
    """One HTTP server for all of them; seen[vendor] lists (what, body, headers). script[vendor] lists answers
    (status, headers, body) to be given before the vendor answers by itself."""

    def __init__(self):
        self.lock = threading.Condition()
        self.seen = {v: [] for v in ("tg", "pd", "og", "gh", "hook")}
        self.script = {v: [] for v in self.seen}
        self.refused = []           # what a vendor would not have taken, and why
        self.updates = []           # Telegram's, that wait
        self.confirm = True         # False: offers updates again that were confirmed
        self.messages, self.next_id = {}, 100
        self.comments = {}          # (repository, number) -> [comment]
        vendors = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def serve(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                vendor, _, rest = self.path.lstrip("/").partition("/")
                status, answer, headers = vendors.answer(vendor, self.command, "/" + rest, body, self.headers)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = do_PUT = serve

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, vendor, method, path, raw, headers):
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            return 400, {"message": "not JSON"}, {}
        with self.lock:
            if path.endswith("/getUpdates"):
                return self.get_updates(path, body)
            if self.script.get(vendor):
                status, more, answer = self.script[vendor].pop(0)
                self.seen[vendor].append(("scripted %d" % status, body, dict(headers)))
                return status, answer, more
            what, problems, answer = getattr(self, "on_" + vendor)(method, path, body, headers)
            if problems:
                self.refused.append((vendor, what, problems, body))
                return 400, {"ok": False, "error_code": 400, "description": str(problems), "errors": problems}, {}
            self.seen[vendor].append((what, body, dict(headers)))
            return answer[0], answer[1], {}

    def of(self, vendor, what=None):
        with self.lock:
            return [(b, h) for w, b, h in self.seen[vendor] if what in (None, w)]

    # ---- Telegram ----
    def get_updates(self, path, body):
        if path != "/bot%s/getUpdates" % BOT:
            return 401, {"ok": False, "error_code": 401, "description": "Unauthorized"}, {}
        offset, end = body.get("offset", 0), time.monotonic() + min(body.get("timeout", 0), 1)
        self.seen["tg"].append(("getUpdates", body, {}))

        def waiting():
            return [u for u in self.updates if not self.confirm or u["update_id"] >= offset]
        while not waiting() and time.monotonic() < end:
            self.lock.wait(0.1)
        if self.confirm:
            self.updates = waiting()
        return 200, {"ok": True, "result": waiting()[:body.get("limit", 100)]}, {}

    def update(self, number, **what):
        with self.lock:
            self.updates.append(dict(what, update_id=number))
            self.lock.notify_all()

    def on_tg(self, method, path, body, headers):
        m = re.fullmatch(r"/bot%s/(\w+)" % re.escape(BOT), path)
        if not m:
            return "?", ["Unauthorized"], None
        what, wrong = m.group(1), []
        for name, most in (("text", 200 if what == "answerCallbackQuery" else 4096),):
            text = body.get(name, "")
            if utf16(text) > most or (what != "answerCallbackQuery" and name in body and not text.strip()):
                wrong.append("message is too long or empty")
            if text != text.strip() and what == "sendMessage":
                wrong.append("white space at the ends moves the entities")
        for e in body.get("entities", []):
            if e["offset"] < 0 or e["length"] < 1 or e["offset"] + e["length"] > utf16(body["text"]):
                wrong.append("entity out of the text")
        for row in body.get("reply_markup", {}).get("inline_keyboard", []):
            wrong += [b["text"] for b in row if not 1 <= len(b["callback_data"].encode()) <= 64]
        if what in ("editMessageText", "editMessageReplyMarkup") and body["message_id"] not in self.messages:
            wrong.append("Bad Request: message to edit not found")
        if wrong or what == "answerCallbackQuery":
            return what, wrong, (200, {"ok": True, "result": True})
        number = body.get("message_id") or self.next_id
        self.next_id += what == "sendMessage"
        self.messages[number] = dict(self.messages.get(number, {}), **body)
        return what, [], (200, {"ok": True, "result": {"message_id": number, "date": 1, "chat": {"id": -100}}})

    # ---- PagerDuty ----
    def on_pd(self, method, path, body, headers):
        wrong = []
        if (method, path) != ("POST", "/v2/enqueue") or body.get("routing_key") != KEY:
            wrong.append("Invalid routing key")
        if body.get("event_action") not in ("trigger", "acknowledge", "resolve"):
            wrong.append("event_action")
        if not 1 <= len(body.get("dedup_key", "")) <= 255:
            wrong.append("dedup_key")
        payload = body.get("payload", {})
        if body.get("event_action") == "trigger":
            if not 1 <= len(payload.get("summary", "")) <= 1024 or not payload.get("source"):
                wrong.append("payload.summary, payload.source")
            if payload.get("severity") not in ("critical", "error", "warning", "info"):
                wrong.append("payload.severity")
        known = {"routing_key", "event_action", "dedup_key", "payload", "client", "client_url", "links", "images"}
        wrong += sorted(set(body) - known)
        wrong += ["links"] if any(not v.get("href") for v in body.get("links", [])) else []
        return body.get("event_action"), wrong, (202, {"status": "success", "dedup_key": body.get("dedup_key")})

    # ---- Opsgenie ----
    def on_og(self, method, path, body, headers):
        wrong = [] if headers.get("Authorization") == "GenieKey " + KEY else ["unauthorized"]
        m = re.fullmatch(r"/v2/alerts(?:/([^/?]+)/(close|acknowledge|notes)\?identifierType=alias)?", path)
        if method != "POST" or not m:
            return path, ["no such resource"], None
        limits = {"message": 130, "alias": 512, "description": 15000, "source": 100, "user": 100, "note": 25000}
        wrong += [k for k, most in limits.items() if len(body.get(k, "")) > most]
        if not m.group(1):
            wrong += [] if body.get("message") and body.get("priority") in ("P1", "P2", "P3", "P4", "P5") else ["message"]
            wrong += ["tags"] if len(body.get("tags", [])) > 20 or any(len(t) > 50 for t in body.get("tags", [])) else []
            wrong += ["details"] if any(not isinstance(v, str) for v in body.get("details", {}).values()) else []
        return (m.group(2) or "create"), wrong, (202, {"result": "Request will be processed", "took": 0.1})

    # ---- GitHub ----
    def on_gh(self, method, path, body, headers):
        if headers.get("Authorization") != "Bearer gh-token":
            return path, ["Bad credentials"], None
        m = re.fullmatch(r"/repos/([\w.-]+/[\w.-]+)/issues/(\d+)/comments(?:\?.*)?", path)
        if m:
            comments = self.comments.setdefault(m.groups(), [])
            if method == "GET":
                return "list", [], (200, comments)
            self.next_id += 1
            comments.append({"id": self.next_id, "body": body["body"], "user": {"login": "healbus"}})
            return "create", ["body"] if len(body["body"]) > 65536 else [], (201, comments[-1])
        m = re.fullmatch(r"/repos/[\w.-]+/[\w.-]+/issues/comments/(\d+)", path)
        for comments in self.comments.values():
            for c in comments:
                if m and method == "PATCH" and c["id"] == int(m.group(1)):
                    c["body"] = body["body"]
                    return "edit", [], (200, c)
        return path, ["Not Found"], None

    def on_hook(self, method, path, body, headers):
        return "%s %s" % (method, path), [], (200, {})


class Mail:
    """A mail server; got lists (from, [to], message). script lists answers to DATA that come before 250."""

    def __init__(self):
        self.got, self.script, self.lock = [], [], threading.Lock()
        mail = self

        class Handler(socketserver.StreamRequestHandler):
            def say(self, text):
                self.wfile.write(text.encode() + b"\r\n")

            def data(self):
                self.say("354 go on")
                lines = []
                while True:
                    line = self.rfile.readline()
                    if line == b".\r\n" or not line:
                        return b"".join(lines)
                    lines.append(line[1:] if line.startswith(b".") else line)

            def handle(self):
                sender, to = None, []
                self.say("220 double ESMTP")
                while True:
                    line = self.rfile.readline().decode("ascii").strip()
                    verb = line[:4].upper()
                    if verb in ("EHLO", "HELO"):
                        self.say("250 double")
                    elif verb == "MAIL":
                        sender, to = re.search("<(.*?)>", line).group(1), []
                        self.say("250 ok")
                    elif verb == "RCPT":
                        to.append(re.search("<(.*?)>", line).group(1))
                        self.say("250 ok")
                    elif verb == "DATA":
                        raw = self.data()
                        with mail.lock:
                            answer = mail.script.pop(0) if mail.script else "250 queued"
                            if answer.startswith("250"):
                                message = email.message_from_bytes(raw, policy=email.policy.default)
                                mail.got.append((sender, to, message))
                        self.say(answer)
                    elif verb == "QUIT" or not line:
                        self.say("221 bye")
                        return
                    else:
                        self.say("250 ok")

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads, allow_reuse_address = True, True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def about(self, words):
        with self.lock:
            return [(to, m) for _, to, m in self.got if words in m["Subject"]]


def links_of(message):
    """{"Approve": (path, t, i), ...} of a mail."""
    found = {}
    for label, url in re.findall(r"^(Approve|Deny): (\S+)\s*$", message.get_content(), re.M):
        parts = urllib.parse.urlsplit(url)
        query = urllib.parse.parse_qs(parts.query)
        found[label] = (parts.path, query["t"][0], query["i"][0])
    return found


def telegram_spec():
    path = os.path.join(os.environ.get("HEALBUS_CORPORA", "../shared/corpora"), "../specs/telegram.json")
    return TelegramSpec(path) if os.path.exists(path) else None

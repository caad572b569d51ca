"""Doubles of Slack's Web API with an incoming webhook, and of Discord's API with a webhook: real HTTP, state, the
limits that the vendors publish, and faults as a test scripts them. Shares no code with what they judge."""
import hashlib
import hmac
import http.server
import json
import os
import re
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

SLACK_TOKEN, DISCORD_TOKEN = "xoxb-not-a-real-one", "MTA.not-a-real-one"
SLACK_SECRET = "0a1b2c3d4e5f-not-a-real-secret"
SLACK_CHANNEL, DISCORD_CHANNEL = "C0OPS", "1100000000000000001"


class Chat:
    """What both have: a server, what came, and what to answer next instead."""

    def __init__(self):
        self.lock = threading.RLock()
        self.seen = []      # every request: {method, path, query, headers, body}
        self.scripted = []  # what to answer instead: one call each, then it works again
        self.wrong = []     # what a vendor would have refused
        self.messages = {}  # by id
        self.go = threading.Event()  # answers that are lost end with their connection then
        self.ids = 1000
        double = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def run(self):
                raw = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                path, _, query = self.path.partition("?")
                with double.lock:
                    status, headers, body = double.take(self, path, urllib.parse.parse_qs(query), raw)
                if status is None:
                    double.go.wait(60)
                    self.close_connection = True
                    return
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in dict({"Content-Type": "application/json"}, **headers).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_PATCH = run

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def take(self, h, path, query, raw):
        body = json.loads(raw)
        self.seen.append({"method": h.command, "path": path, "query": query, "headers": dict(h.headers), "body": body})
        found = next((x for x in self.scripted if path.endswith(x["end"])), None)
        if not found or found["after"] > 0:
            if found:
                found["after"] -= 1
            return self.serve(h, path, query, body)
        self.scripted.remove(found)
        if found["status"] is None:
            self.serve(h, path, query, body)
        return found["status"], found["headers"], found["answer"]

    def next_id(self):
        self.ids += 1
        return self.ids

    def next(self, end, status, answer=None, headers=None, after=0):
        """Of the next call to such a path, after so many that work. Status None: it works, and its answer is lost at `go`."""
        with self.lock:
            self.scripted.append({"end": end, "status": status, "headers": headers or {}, "answer": answer, "after": after})

    def calls(self, end, since=0):
        with self.lock:
            return [r for r in self.seen[since:] if r["path"].endswith(end)]


def texts(node):
    """Every string that is shown, with its key."""
    if isinstance(node, list):
        return [t for one in node for t in texts(one)]
    if isinstance(node, dict):
        return [(k, v) for k, v in node.items() if isinstance(v, str)] + \
            [t for v in node.values() if not isinstance(v, str) for t in texts(v)]
    return []


# ---- Slack ----
def slack_text_errors(t, at, most, kinds=("plain_text", "mrkdwn")):
    if t.get("type") not in kinds or not 0 < len(t.get("text", "")) <= most:
        return ["%s: %s" % (at, str(t)[:80])]
    allowed = {"plain_text": {"type", "text", "emoji"}, "mrkdwn": {"type", "text", "verbatim"}}[t["type"]]
    return ["%s: unknown %s" % (at, set(t) - allowed)] if set(t) - allowed else []


def slack_button_errors(b):
    found = slack_text_errors(b["text"], "button", 75, ("plain_text",))
    if len(b.get("action_id", "")) > 255 or not 0 < len(b.get("value", "")) <= 2000 or \
            b.get("style", "primary") not in ("primary", "danger"):
        found.append("button: " + str(b)[:80])
    c = b.get("confirm")
    if c:
        found += slack_text_errors(c["title"], "confirm.title", 100, ("plain_text",)) + \
            slack_text_errors(c["text"], "confirm.text", 300) + \
            slack_text_errors(c["confirm"], "confirm.confirm", 30, ("plain_text",)) + \
            slack_text_errors(c["deny"], "confirm.deny", 30, ("plain_text",))
    return found


def slack_block_errors(b):
    kind = b.get("type")
    if kind == "header":
        return slack_text_errors(b["text"], "header", 150, ("plain_text",))
    if kind == "section":
        found = slack_text_errors(b["text"], "section", 3000) if "text" in b else []
        for f in b.get("fields", []):
            found += slack_text_errors(f, "field", 2000)
        return found + ([] if len(b.get("fields", [])) <= 10 and ("text" in b or b.get("fields")) else ["section: fields"])
    if kind == "context":
        return [e for t in b["elements"] for e in slack_text_errors(t, "context", 3000)] + \
            ([] if 0 < len(b["elements"]) <= 10 else ["context: elements"])
    if kind == "actions":
        ids = [e["action_id"] for e in b["elements"]]
        return [e for x in b["elements"] for e in slack_button_errors(x)] + \
            ([] if 0 < len(ids) <= 25 and len(set(ids)) == len(ids) else ["actions: elements"])
    return ["block of type %r" % kind]


class Slack(Chat):
    def serve(self, h, path, query, body):
        if path.startswith("/hook/"):
            if not body.get("text") or len(body["text"]) > 40000:
                return 400, {}, b"invalid_payload"
            return 200, {"Content-Type": "text/html"}, b"ok"
        if h.headers.get("Authorization") != "Bearer " + SLACK_TOKEN:
            return 200, {}, {"ok": False, "error": "not_authed" if not h.headers.get("Authorization") else "invalid_auth"}
        error = self.error(path, body)
        if error:
            return 200, {}, {"ok": False, "error": error}
        return 200, {}, getattr(self, path.rsplit(".", 1)[1])(body)

    def error(self, path, body):
        if body.get("channel") != SLACK_CHANNEL:
            return "channel_not_found"
        found = [e for b in body.get("blocks", []) for e in slack_block_errors(b)]
        if found or len(body.get("blocks", [])) > 50:
            self.wrong += found or ["blocks"]
            return "invalid_blocks"
        if sum(len(v) for k, v in texts(body.get("blocks", [])) if k == "text") > 13200:
            self.wrong.append("msg_blocks_too_long")
            return "msg_blocks_too_long"
        if len(body.get("text", "")) > 40000 or not (body.get("text") or body.get("blocks")):
            return "no_text"
        if path.endswith("chat.update") and body["ts"] not in self.messages:
            return "message_not_found"
        if body.get("thread_ts") and body["thread_ts"] not in self.messages:
            return "thread_not_found"
        return None

    def postMessage(self, body):
        ts = "%d.%06d" % (time.time(), self.next_id())
        self.messages[ts] = dict(body, ts=ts)
        return {"ok": True, "channel": SLACK_CHANNEL, "ts": ts, "message": {"text": body["text"]}}

    def update(self, body):
        old = self.messages[body["ts"]]
        self.messages[body["ts"]] = dict(old, text=body.get("text"), blocks=body.get("blocks"), edited=True)
        return {"ok": True, "channel": SLACK_CHANNEL, "ts": body["ts"], "text": body.get("text")}

    def postEphemeral(self, body):
        if not body.get("user"):
            self.wrong.append("no user")
        return {"ok": True, "message_ts": "1.1"}


def slack_buttons(message):
    return {e["action_id"]: e for b in message.get("blocks") or [] if b["type"] == "actions" for e in b["elements"]}


def slack_sign(body, at, secret=SLACK_SECRET):
    return "v0=" + hmac.new(secret.encode(), b"v0:%d:" % at + body, hashlib.sha256).hexdigest()


def slack_payload(user, message, value, n, channel=SLACK_CHANNEL):
    return urllib.parse.urlencode({"payload": json.dumps({
        "type": "block_actions", "user": {"id": user, "username": "x"}, "api_app_id": "A1", "token": "legacy",
        "container": {"type": "message", "message_ts": message["ts"], "channel_id": channel,
                      **({"thread_ts": message["thread_ts"]} if message.get("thread_ts") else {})},
        "trigger_id": "12.34.%032x" % n, "team": {"id": "T1"}, "channel": {"id": channel, "name": "ops"},
        "message": {"ts": message["ts"], "text": message.get("text", "x"), "blocks": message.get("blocks", [])}, "response_url": "https://hooks.slack.invalid/actions/x",
        "actions": [{"action_id": "x", "block_id": "b", "value": value, "type": "button", "action_ts": "%d.0" % n}],
    })}).encode()


# ---- Discord ----
class Discord(Chat):
    def __init__(self):
        self.nonces, self.judged = {}, []
        super().__init__()

    def serve(self, h, path, query, body):
        hook = re.fullmatch(r"/api/webhooks/(\d+)/([\w-]+)(?:/messages/(\d+))?", path)
        bot = re.fullmatch(r"/api/v10/channels/(\d+)/messages(?:/(\d+))?", path)
        if not hook and not bot:
            return 404, {}, {"message": "404: Not Found", "code": 0}
        if bot and h.headers.get("Authorization") != "Bot " + DISCORD_TOKEN:
            return 401, {}, {"message": "401: Unauthorized", "code": 0}
        if bot and not h.headers.get("User-Agent", "").startswith("DiscordBot ("):
            self.wrong.append("User-Agent")
        template = "/channels/{channel_id}/messages" if bot else "/webhooks/{webhook_id}/{webhook_token}"
        message = (bot or hook).group(bot and 2 or 3)
        if message:
            template += "/{message_id}" if bot else "/messages/{message_id}"
        self.judged.append((h.command.lower(), template, body))
        if bot and bot.group(1) != DISCORD_CHANNEL:
            return 404, {}, {"message": "Unknown Channel", "code": 10003}
        if hook and h.command == "POST" and query.get("wait") != ["true"]:
            return 204, {}, b""
        return self.message(message, body, bot)

    def message(self, message, body, bot):
        found = self.errors(body)
        if found:
            self.wrong += found
            return 400, {}, {"message": "Invalid Form Body", "code": 50035, "errors": found}
        if message:
            if message not in self.messages:
                return 404, {}, {"message": "Unknown Message", "code": 10008}
            self.messages[message].update(body, edited=True)
            return 200, {}, self.messages[message]
        nonce = body.get("nonce") if body.get("enforce_nonce") else None
        if nonce and nonce in self.nonces:
            return 200, {}, self.messages[self.nonces[nonce]]
        name = "11%017d" % self.next_id()
        self.messages[name] = dict(body, id=name, channel_id=DISCORD_CHANNEL, hook=not bot)
        if nonce:
            self.nonces[nonce] = name
        return 200, {}, self.messages[name]

    @staticmethod
    def errors(body):
        embeds = body.get("embeds") or []
        total = sum(len(e.get("title", "")) + len(e.get("description", "")) + len(e.get("footer", {}).get("text", ""))
                    for e in embeds)
        rows = body.get("components") or []
        found = ["embeds over 6000"] if total > 6000 else []
        found += ["content over 2000"] if len(body.get("content") or "") > 2000 else []
        found += ["description"] if any(len(e.get("description", "")) > 4096 for e in embeds) else []
        found += ["title"] if any(len(e.get("title", "")) > 256 for e in embeds) else []
        found += ["embed is empty"] if any(not e.get("title") and not e.get("description") for e in embeds) else []
        found += ["buttons"] if any(not 0 < len(r["components"]) <= 5 for r in rows) else []
        found += ["custom_id"] if any(not 0 < len(b["custom_id"]) <= 100 for r in rows for b in r["components"]) else []
        found += ["mentions"] if body.get("allowed_mentions") != {"parse": []} else []
        return found


def discord_buttons(message):
    return {b["label"]: b["custom_id"] for r in message.get("components") or [] for b in r["components"]}


def discord_click(user, custom_id, n):
    return json.dumps({"type": 3, "id": "12%017d" % n, "application_id": "1", "token": "t", "version": 1,
                       "channel_id": DISCORD_CHANNEL, "guild_id": "5", "message": {"id": "1"},
                       "member": {"user": {"id": user, "username": "x"}},
                       "data": {"component_type": 2, "custom_id": custom_id}}).encode()


class Ed25519:
    """A key of openssl's."""

    def __init__(self, folder, name="ed"):
        self.key = os.path.join(folder, name + ".pem")
        self.folder = folder
        subprocess.run(["openssl", "genpkey", "-algorithm", "ED25519", "-out", self.key], check=True)
        der = subprocess.run(["openssl", "pkey", "-in", self.key, "-pubout", "-outform", "DER"], check=True,
                             capture_output=True).stdout
        self.public = der[-32:].hex()

    def sign(self, data):
        path = os.path.join(self.folder, "to-sign")
        with open(path, "wb") as f:
            f.write(data)
        return subprocess.run(["openssl", "pkeyutl", "-sign", "-inkey", self.key, "-rawin", "-in", path], check=True,
                              capture_output=True).stdout.hex()


def post(url, body, headers):
    """(status, body)"""
    req = urllib.request.Request(url, data=body, method="POST", headers=headers)
    try:
        with urllib.request.urlopen(req, timeout=15) as r:
            return r.status, r.read()
    except urllib.error.HTTPError as e:
        return e.code, e.read()

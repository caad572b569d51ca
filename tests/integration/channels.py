#!/usr/bin/env python3
"""Telegram, mail with links, PagerDuty, Opsgenie, comments of GitHub and webhooks: the real notifier and nats-server
against doubles that refuse what the vendors do. TAP."""
import json
import os
import re
import shutil
import sys
import urllib.error
import urllib.parse
import urllib.request

import lib_notifier as base
import lib
from lib import done, now_ms, ok, skip
from lib_vendors import BOT, KEY, Mail, Vendors, links_of, telegram_spec, utf16
from lib_notifier import approval, incident, plan

ANN, EVE, STRANGER, CHAT = 42, 66, 99, -100
LIMIT_S = 10  # a wait that fails here has failed
HOSTILE = "<b>&\u202e`*_@here /pause [x](http://e.example) #1 --> </pre>"

CONFIG = """state_dir: %(dir)s/state
http: {listen: '127.0.0.1:%(port)d'}
decision_key_file: %(dir)s/decision.key
approval_give_up_after: 20s
people:
  - {name: ann, roles: [admin, approver], telegram: "%(ann)d", email: ann@example.org}
  - {name: eve, roles: [viewer], telegram: "%(eve)d", email: eve@example.org}
channels:
  - {name: phone, type: telegram, token_file: bot, chat_id: "%(chat)d", api_url: '%(url)s/tg', timeout: 2s}
  - {name: tgweb, type: telegram, token_file: bot, chat_id: "%(chat)d", api_url: '%(url)s/tg', updates: webhook, secret_file: hooksecret}
  - {name: pager, type: pagerduty, url: '%(url)s/pd/v2/enqueue', routing_key_file: key, links_url: 'https://heal.example.org', timeout: 2s}
  - {name: genie, type: opsgenie, url: '%(url)s/og', key_file: key, tags: [healbus], timeout: 2s}
  - {name: pr, type: github, api_url: '%(url)s/gh', token_file: gh, timeout: 2s}
  - name: hook
    type: webhook
    url: '%(url)s/hook'
    path: '/v1/{{ .labels.service | @uri }}'
    method: PUT
    headers: {X-Severity: '{{ .severity }}'}
    body: {title: 'healbus: {{ .subject }}', kind: '{{ .kind }}', labels: '{{ .labels }}', fixed: [1, true]}
    timeout: 2s
  - {name: mail, type: email, url: 'smtp://127.0.0.1:%(smtp)d', from: heal@example.org, to: [ann@example.org, eve@example.org], links_url: 'http://127.0.0.1:%(port)d', timeout: 5s}
receivers:
  - {name: ops, channels: [phone, pager, genie, hook, mail], throttle: {limit: 0}}
  - {name: readers, channels: [pr], throttle: {limit: 0}}
route:
  receiver: ops
  group_by: ['...']
  group_wait: 0s
  group_interval: 0s
  routes:
    - {receiver: readers, matchers: ['pr=~".+"'], continue: true}
    - {receiver: ops}
"""


def wait_for(what, probe, timeout_s=LIMIT_S):
    return lib.wait_for(what, probe, timeout_s)


class World(base.World):
    def __init__(self):
        super().__init__()
        self.vendors, self.mail, self.update_id = Vendors(), Mail(), 1000

    def configure(self, extra="", token=None):
        os.makedirs(self.dir + "/etc", exist_ok=True)
        files = {"bot": BOT, "key": KEY, "gh": "gh-token", "hooksecret": "s3cret", "bus.yaml":
                 "url: nats://127.0.0.1:%d" % self.nats_port,
                 "notifier.yaml": CONFIG % {"dir": self.dir, "port": self.port, "ann": ANN, "eve": EVE, "chat": CHAT,
                                            "smtp": self.mail.port, "url": "http://127.0.0.1:%d" % self.vendors.port}}
        for name, text in files.items():
            with open(os.path.join(self.dir, "etc", name), "w") as f:
                f.write(text + "\n")
            os.chmod(os.path.join(self.dir, "etc", name), 0o600)

    def close(self):
        super().close()
        self.vendors.close()
        self.mail.close()

    # ---- people at Telegram ----
    def next_update(self):
        self.update_id += 1
        return self.update_id

    def press(self, who, data, message=1, chat=CHAT, number=None):
        self.vendors.update(number or self.next_update(), callback_query={
            "id": "press-%d" % self.update_id, "from": {"id": who, "is_bot": False, "first_name": "x"},
            "chat_instance": "1", "data": data, "message": {"message_id": message, "date": 1, "chat": {"id": chat}}})

    def type(self, who, text, chat=CHAT):
        self.vendors.update(self.next_update(), message={
            "message_id": self.update_id, "date": 1, "text": text, "chat": {"id": chat},
            "from": {"id": who, "is_bot": False, "first_name": "x"}})

    def said(self, method, start, words):
        """The first body of this method since start that has these words in its text."""
        def probe():
            return [b for b, _ in self.vendors.of("tg", method)[start:] if words in b.get("text", "")]
        found = wait_for("Telegram hears %r" % words, probe)
        return found[0] if found else None

    def answered(self, act, words, method="answerCallbackQuery"):
        start = len(self.vendors.of("tg", method))
        act()
        return self.said(method, start, words)

    def web(self, method, path, body=None, headers=None):
        req = urllib.request.Request("http://127.0.0.1:%d%s" % (self.port, path), data=body, method=method,
                                     headers=headers or {})
        try:
            with urllib.request.urlopen(req, timeout=15) as r:
                return r.status, r.read().decode(), dict(r.headers)
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode(), dict(e.headers)


def labelled(name, title, pr=None, **more):
    i = incident(name, **more)
    i["title"] = title
    if pr:
        i["labels"]["repository"] = "octo/web"
        i["events"] = [{"id": "e-" + name, "source": "github", "fingerprint": "ab" * 8, "status": "firing",
                        "name": "build", "annotations": {"pr": pr}}]
    return i


def question(w, name, deadline_ms=60000, lines=("systemctl restart nginx",), title=None):
    w.send("incident", name, labelled(name, title or name + " is down"))
    w.send("plan", name, plan("plan-" + name, name))
    asked = dict(approval("ask-" + name, name, "plan-" + name, now_ms() + deadline_ms), rendered=list(lines))
    w.send("approval", name, asked)


def buttons(w, name):
    """(message id, {label: token}) of the question about this incident."""
    def probe():
        return [(n, m) for n, m in w.vendors.messages.items()
                if "reply_markup" in m and m["reply_markup"]["inline_keyboard"] and ("ask-" + name)[:8] in m["text"]]
    found = wait_for("the question about " + name, probe)
    if not found:
        return 0, {}
    number, message = found[0]
    return number, {b["text"].split()[-1]: b["callback_data"] for b in message["reply_markup"]["inline_keyboard"][0]}


def decisions(w, name):
    return [m["message"] for m in w.dump("STORY", "heal.decision." + name)]


def test_everybody_is_told(w):
    w.send("incident", "one", labelled("one", "one is down " + HOSTILE, pr="7"))
    v = w.vendors
    told = w.said("sendMessage", 0, "one is down")
    ok(told and told["chat_id"] == CHAT and "\u202e" not in told["text"] and "<b>&" in told["text"] and
       "parse_mode" not in told and {e["type"] for e in told["entities"]} <= {"code", "pre"},
       "Telegram: text as it is, nothing in it means anything", told)
    event = wait_for("PagerDuty", lambda: v.of("pd", "trigger"))
    ok(event and event[0][0]["dedup_key"] == "one" and event[0][0]["payload"]["severity"] == "critical" and
       event[0][0]["links"][0]["href"] == "https://heal.example.org", "PagerDuty: triggered", event)
    alert = wait_for("Opsgenie", lambda: v.of("og", "create"))
    ok(alert and alert[0][0]["alias"] == "one" and alert[0][0]["priority"] == "P1" and
       alert[0][0]["details"]["service"] == "one", "Opsgenie: created", alert)
    sent = wait_for("the webhook", lambda: v.of("hook", "PUT /v1/one"))
    ok(sent and sent[0][0]["title"].startswith("healbus: [critical]") and sent[0][0]["fixed"] == [1, True] and
       sent[0][0]["labels"]["pr"] == "7" and sent[0][1]["X-Severity"] == "critical" and sent[0][1]["Idempotency-Key"],
       "webhook: body, header and path from templates", sent)
    mails = wait_for("the mail", lambda: w.mail.about("one is down"))
    ok(mails and mails[0][0] == ["ann@example.org", "eve@example.org"], "mail: one for all when nothing is asked", mails)
    comment = wait_for("the comment", lambda: v.comments.get(("octo/web", "7")))
    body = comment[0]["body"] if comment else ""
    ok(body.startswith("<!-- healbus:one -->\n<pre>") and "&lt;b&gt;&amp;" in body and "\u202e" not in body and
       "@here" not in body and body.count("</pre>") == 1 and "/heal status" in body, "GitHub: a comment, escaped", body)


def test_it_is_taken(w):
    v = w.vendors
    status, answer = w.call("POST", "/api/ack", {"incident": "one", "by": "the desk"})
    ok(status == 200, "somebody takes it", answer)
    ok(wait_for("acknowledge", lambda: v.of("pd", "acknowledge")) and v.of("pd", "acknowledge")[0][0]["dedup_key"] == "one",
       "PagerDuty: acknowledged, so that it calls nobody else")
    ok(wait_for("acknowledge", lambda: v.of("og", "acknowledge")), "Opsgenie: acknowledged")


def test_it_ends(w):
    w.send("incident", "one", labelled("one", "one is down", pr="7", state="resolved", revision=2, resolved_at_ms=now_ms()))
    v = w.vendors
    ok(wait_for("resolve", lambda: v.of("pd", "resolve")) and v.of("pd", "resolve")[0][0]["dedup_key"] == "one",
       "PagerDuty: resolved")
    ok(wait_for("close", lambda: v.of("og", "close")), "Opsgenie: closed")
    ok(wait_for("edit", lambda: v.of("gh", "edit")) and len(v.comments[("octo/web", "7")]) == 1 and
       "over since" in v.comments[("octo/web", "7")][0]["body"], "GitHub: the same comment, edited", v.comments)
    reply = w.said("sendMessage", 1, "over since")
    first = [n for n, m in v.messages.items() if "one is down" in m["text"]][:1]
    ok(reply and reply["reply_parameters"]["message_id"] in first, "Telegram: a reply to the incident's message", reply)


def test_status(w):
    v = w.vendors

    def paged():
        return [b for b, _ in v.of("pd") if b["dedup_key"] == "ask"]
    asked = {"id": "c-1", "verb": "status", "by": "ada</pre>", "text": "", "at_ms": now_ms()}
    w.send("incident", "ask", labelled("ask", "ask is down", pr="9"))
    wait_for("a comment", lambda: v.comments.get(("octo/web", "9")))
    wait_for("told", paged)
    for revision in (2, 3):
        w.send("incident", "ask", labelled("ask", "ask is down", pr="9", revision=revision, command=asked))
    w.caught_up()

    def body():
        return v.comments[("octo/web", "9")][0]["body"]
    ok(wait_for("the answer", lambda: "Asked by: ada&lt;/pre&gt;" in body()) and len(v.comments[("octo/web", "9")]) == 1,
       "/heal status is answered in the comment", v.comments)
    told = [n["message"] for n in w.dump("STORY", "heal.notice.ask")
            if n["message"]["kind"] == "status" and n["message"]["state"] == "queued"]
    ok([n["channel"] for n in told] == ["pr"] and len(paged()) == 1, "once, and there alone", told)
    v.comments[("octo/web", "9")].insert(0, {"id": 9999, "body": body(), "user": {"login": "mallory"}})
    w.send("incident", "ask", labelled("ask", "ask is down", pr="9", revision=4, state="resolved", resolved_at_ms=now_ms()))
    ok(wait_for("the end", lambda: "over since" in v.comments[("octo/web", "9")][1]["body"]),
       "who copies the marker later is not edited")


def test_come_back_later(w):
    v = w.vendors
    v.script["tg"] = [(429, {}, {"ok": False, "error_code": 429, "description": "Too Many Requests: retry after 1",
                                 "parameters": {"retry_after": 1}})]
    for vendor in ("pd", "og", "hook", "gh"):
        v.script[vendor] = [(429, {"Retry-After": "1"}, {"message": "slow down"}), (503, {}, {})]
    w.mail.script = ["451 later", "421 later still"]
    w.send("incident", "slow", labelled("slow", "slow is down", pr="8"))
    told = {
        "tg": lambda: [b for b, _ in v.of("tg", "sendMessage") if "slow is down" in b["text"]],
        "pd": lambda: [b for b, _ in v.of("pd", "trigger") if b["dedup_key"] == "slow"],
        "og": lambda: [b for b, _ in v.of("og", "create") if b["alias"] == "slow"],
        "hook": lambda: v.of("hook", "PUT /v1/slow"),
        "gh": lambda: v.comments.get(("octo/web", "8")),
        "mail": lambda: w.mail.about("slow is down"),
    }
    for name, probe in told.items():
        got = wait_for(name, probe, 40)
        ok(got and len(got) == 1, "%s: refused for now, told later, once" % name, got)
    ok(not any(v.script.values()) and not w.mail.script, "all the refusals were met", v.script)


def test_long_and_wide(w):
    lines = ["echo '%02d \U0001f525 %s'" % (n, "\u00e9\U0001f525" * 150) for n in range(20)]
    v, start = w.vendors, len(w.vendors.of("tg", "sendMessage"))
    question(w, "long", lines=lines, title="w\u00fcst " + "\U0001f525" * 60)
    number, found = buttons(w, "long")
    parts = [b for b, _ in v.of("tg", "sendMessage")[start:] if re.search(r"\(\d+ of \d+\)", b["text"])]
    of = re.search(r"\((\d+) of (\d+)\)", parts[-1]["text"]) if parts else None
    ok(found and of and len(parts) > 2 and all(utf16(b["text"]) <= 4096 for b in parts),
       "Telegram: a long question comes in parts, buttons below the last", [utf16(b["text"]) for b in parts])
    shown = "".join(b["text"] for b in parts)
    ok(all(("%02d \U0001f525" % n) in shown for n in range(20)) or re.search(r"more|cut", shown) and "healctl plan" in shown,
       "and nothing of it is lost without a word", shown[-600:])
    ok(wait_for("og", lambda: [b for b, _ in v.of("og", "create") if b["alias"] == "long"]) and
       wait_for("pd", lambda: [b for b, _ in v.of("pd", "trigger") if b["dedup_key"] == "long"]),
       "PagerDuty and Opsgenie take it within their limits")
    mail = wait_for("mail", lambda: w.mail.about("w\u00fcst"))
    asked = wait_for("asked", lambda: [m for _, m in w.mail.about("w\u00fcst") if "\u00e9\U0001f525" in m.get_content()])
    ok(mail and "\U0001f525" in mail[0][1]["Subject"] and asked, "mail: unicode, in subject and text")


def test_buttons(w):
    question(w, "press")
    number, found = buttons(w, "press")
    yes = found.get("Approve", "?")
    ok(set(found) == {"Approve", "Deny", "info"} and "press" not in json.dumps(plan("plan-press", "press")["steps"]),
       "three buttons", found)
    ok(w.answered(lambda: w.press(STRANGER, yes), "nobody"), "a stranger is refused, and told")
    ok(w.answered(lambda: w.press(EVE, yes), "eve"), "so is who may only look")
    ok(w.answered(lambda: w.press(ANN, yes, chat=-999), "chat"), "so is another chat")
    forged = yes[:-1] + ("a" if yes[-1] != "a" else "b")
    ok(w.answered(lambda: w.press(ANN, forged), "not one of ours"), "so is a forged token")
    ok(not decisions(w, "press"), "and nothing was decided")
    info = w.answered(lambda: w.press(ANN, found.get("info", "?"), message=number), "systemctl restart nginx", "sendMessage")
    ok(info and info["reply_parameters"]["message_id"] == number, "more info is said in the chat", info)
    ok(w.answered(lambda: w.press(ANN, yes, message=number), "approved by ann"), "ann approves")
    made = decisions(w, "press")
    ok(len(made) == 1 and made[0]["by"] == "ann" and made[0]["channel"] == "phone" and made[0]["verdict"] == "approve",
       "the bus has the decision", made)
    bare = wait_for("bare", lambda: [b for b, _ in w.vendors.of("tg", "editMessageReplyMarkup") if b["message_id"] == number])
    ok(bare and bare[0]["reply_markup"] == {"inline_keyboard": []}, "its buttons are taken off")
    edited = w.said("editMessageText", 0, "approved by ann")
    ok(edited and edited["message_id"] == number and edited["reply_markup"] == {"inline_keyboard": []},
       "and the question says who decided", edited)
    ok(w.answered(lambda: w.press(ANN, found.get("Deny", "?"), message=number), "approved by ann"), "a second press is told by whom")
    question(w, "late", deadline_ms=6000)  # its buttons are to be seen before
    number, found = buttons(w, "late")
    wait_for("expiry", lambda: decisions(w, "late"))
    w.caught_up()
    ok(w.answered(lambda: w.press(ANN, found.get("Approve", "?"), message=number), "expired by deadline"),
       "a press after the deadline is refused")


def test_commands(w):
    def say(who, text, words):
        return w.answered(lambda: w.type(who, text), words, "sendMessage")
    ok(say(ANN, "/status", "Healing is on"), "/status")
    ok(say(EVE, "/incidents@heal_bot", "press is down"), "/incidents, by name, for who may look")
    ok(say(ANN, "/story pres", "What broke: press is down"), "/story by a prefix")
    ok(say(ANN, "/story nothing", "no incident begins with"), "/story of nothing")
    ok(say(STRANGER, "/status", "nobody"), "a stranger learns nothing")
    ok(say(EVE, "/pause", "eve may not pause"), "a viewer cannot pause")
    ok(say(ANN, "/pause deploy \u202e5", "Paused by ann"), "an admin can")
    w.caught_up()
    paused = w.call("GET", "/api/status")[1]["paused"]
    ok(paused["on"] and paused["by"] == "ann" and paused["reason"].startswith("deploy"), "and it is paused", paused)
    ok(say(EVE, "/status", "PAUSED by ann"), "which /status says")
    ok(say(ANN, "/resume", "Resumed by ann"), "/resume")
    ok(say(ANN, '/silence service="db", severity=~"info|warning" 2h', "Silenced service"), "/silence")
    w.caught_up()
    made = w.call("GET", "/api/silences")[1]["silences"]
    ok(len(made) == 1 and made[0]["created_by"] == "ann" and len(made[0]["matchers"]) == 2, "is in force", made)
    ok(say(ANN, "/silence service=db", "write: /silence"), "a wrong one says how it is written")
    ok(say(EVE, "/ack press", "eve may not"), "a viewer takes nothing")
    ok(say(ANN, "/ack press mine", "taken by ann"), "/ack")
    acks = [m["message"] for m in w.dump("STORY", "heal.control.press") if m["message"]["kind"] == "ack"]
    ok(len(acks) == 1 and acks[0]["by"] == "ann", "is on the bus", acks)
    before = w.update_id
    w.type(ANN, "/pause", chat=-999)
    w.type(ANN, "hello")
    helped = say(ANN, "/help", "/silence")
    # Notices may come at any time: what is counted are replies.
    replied = {b["reply_parameters"]["message_id"] for b, _ in w.vendors.of("tg", "sendMessage") if "reply_parameters" in b}
    ok(helped and {n for n in replied if n > before} == {w.update_id} and
       w.call("GET", "/api/status")[1]["paused"]["on"] is False, "other chats and small talk: nothing", replied)


def repeated(w):
    text = w.raw("GET", "/metrics")[1].decode()
    return sum(float(line.split()[-1]) for line in text.splitlines()
               if line.startswith("healbus_telegram_updates_total") and 'result="repeated"' in line)


def pauses(w):
    return [m for m in w.dump("STORY", "heal.control.pause")]


def test_once(w):
    w.answered(lambda: w.type(ANN, "/pause once"), "Paused by ann", "sendMessage")
    before = len(pauses(w))
    last = w.update_id
    w.stop()
    w.vendors.confirm = False
    w.vendors.update(last, message={"message_id": 5, "date": 1, "text": "/pause once", "chat": {"id": CHAT},
                                    "from": {"id": ANN, "is_bot": False, "first_name": "x"}})
    w.start()
    ok(wait_for("it is offered again", lambda: repeated(w) >= 1), "an update is offered again after a restart")
    ok(len(pauses(w)) == before, "and counts once")
    w.vendors.updates, w.vendors.confirm = [], True
    polls = [b for b, _ in w.vendors.of("tg", "getUpdates")]
    ok(polls[-1]["offset"] == last + 1, "the offset is kept", polls[-1])


def test_webhook(w):
    body = json.dumps({"update_id": 9000001, "message": {
        "message_id": 1, "date": 1, "text": "/resume", "chat": {"id": CHAT}, "from": {"id": ANN, "is_bot": False}}}).encode()
    secret = {"X-Telegram-Bot-Api-Secret-Token": "s3cret"}
    refused = [w.web("POST", "/channel/tgweb", body, h)[0] for h in ({}, {"X-Telegram-Bot-Api-Secret-Token": "s3cre"})]
    ok(refused == [401, 401], "the webhook wants its secret", refused)
    ok(w.web("POST", "/channel/phone", body, secret)[0] == 404, "a channel that polls takes no webhook")
    before = len(pauses(w))
    ok(w.web("POST", "/channel/tgweb", body, secret)[0] == 200 and
       wait_for("resumed", lambda: len(pauses(w)) == before + 1), "with it, the command is done")
    seen = repeated(w)
    w.web("POST", "/channel/tgweb", body, secret)
    ok(wait_for("seen again", lambda: repeated(w) == seen + 1) and len(pauses(w)) == before + 1, "once")
    ok(w.web("POST", "/channel/tgweb", b"{}", secret)[0] == 400, "what is no update is refused")


def test_links(w):
    def visit(link, method="GET"):
        path, t, i = link
        if method == "GET":
            return w.web("GET", "%s?t=%s&i=%s" % (path, t, i))
        return w.web("POST", path, ("t=" + t).encode(), {"Content-Type": "application/x-www-form-urlencoded"})
    question(w, "post", title="post & <b>co</b> is down")
    mails = wait_for("two mails", lambda: len(w.mail.about("is down")) and
                     [m for m in w.mail.about("approval needed") if "post" in m[1]["Subject"]][1:] and
                     [m for m in w.mail.about("approval needed") if "post" in m[1]["Subject"]]) or []
    own = {to[0]: links_of(m) for to, m in mails}
    ok(sorted(own) == ["ann@example.org", "eve@example.org"] and
       own["ann@example.org"]["Approve"][1] != own["eve@example.org"]["Approve"][1], "each gets links of their own", own)
    ann, eve = own["ann@example.org"], own["eve@example.org"]
    status, page, headers = visit(ann["Approve"])
    ok(status == 200 and page.count("<button") == 1 and "systemctl restart nginx" in page and "<b>co" not in page and
       "default-src 'none'" in headers["Content-Security-Policy"] and headers["Cache-Control"] == "no-store",
       "opening one shows what would be done, and a button", page)
    for _ in range(3):
        visit(ann["Approve"]), visit(ann["Deny"])
    ok(not decisions(w, "post"), "opening decides nothing, however often")
    status, page, _ = visit(eve["Approve"], "POST")
    ok(status == 403 and "eve" in page and not decisions(w, "post"), "eve's link has eve's rights", page)
    forged = [token[:-1] + ("a" if token[-1] != "a" else "b") for token in ann["Approve"][1:]]
    bad = [(ann["Approve"][0], *forged), (ann["Approve"][0], "x", "y"),
           (ann["Approve"][0].replace("mail", "pager"), *ann["Approve"][1:])]
    codes = [visit(b, m)[0] for b in bad for m in ("GET", "POST")]
    ok(all(c in (401, 403, 404) for c in codes) and not decisions(w, "post"), "forged links are refused", codes)
    status, page, _ = visit(ann["Deny"], "POST")
    made = decisions(w, "post")
    ok(status == 200 and len(made) == 1 and made[0]["by"] == "ann" and made[0]["verdict"] == "deny" and
       made[0]["channel"] == "mail", "the button decides", made or page)
    w.caught_up()
    status, page, _ = visit(ann["Approve"], "POST")
    ok(status == 403 and "denied by ann" in page and len(decisions(w, "post")) == 1, "once", page)


def test_judged(w):
    ok(not w.vendors.refused, "the vendors refused nothing", w.vendors.refused)
    spec = telegram_spec()
    if not spec:
        skip("requests against the Bot API's description", "no specs")
        return
    wrong = [(m, p) for m, b, _ in w.vendors.seen["tg"] if not m.startswith("scripted") for p in spec.judge(m, b)]
    methods = {m for m, _, _ in w.vendors.seen["tg"] if not m.startswith("scripted")}
    print("# %d requests, methods %s" % (len(w.vendors.seen["tg"]), sorted(methods)))
    ok(not wrong and methods >= {"sendMessage", "answerCallbackQuery", "editMessageReplyMarkup", "getUpdates"},
       "requests are what the Bot API's description says", wrong)
    with open(w.dir + "/notifier.log") as f:
        log = f.read()
    ok(BOT not in log and "s3cret" not in log and KEY not in log, "no secret is in the log")


def main():
    if not shutil.which("nats-server"):
        print("1..0 # skip no nats-server")
        return 0
    w = World()
    try:
        w.start_nats()
        w.busctl("provision")
        w.configure()
        ok(w.start(), "starts and is ready")
        for test in (test_everybody_is_told, test_it_is_taken, test_it_ends, test_long_and_wide, test_buttons, test_commands, test_once,
                     test_webhook, test_links, test_status, test_come_back_later, test_judged):
            test(w)
        ok(w.stop() == 0, "stops")
    finally:
        w.close()
    return done()


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""notifier/openapi.yaml against the table of routes and against what a running notifier answers. TAP."""
import json
import os
import re
import shutil
import sys

from lib import done, now_ms, ok
from lib_notifier import World, approval, incident, outcome, plan
from lib_page import TOKENS, Browser, caught_up, people, restart
from page import exchange

HERE = os.path.dirname(os.path.abspath(__file__))
LEAST = {"vic": "viewer", "olga": "operator", "ann": "approver", "adam": "admin"}
WHO = {role: name for name, role in LEAST.items()}
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float),
         "null": type(None)}


def source(*path):
    with open(os.path.join(HERE, "../..", *path)) as f:
        return f.read()


def routes():
    """(method, path) -> role or roles, as the code has it."""
    code = re.sub(r"\\\n", "", source("notifier/api.c"))
    rights = {name: " or ".join(r.lower() for r in re.findall(r"ROLE_(\w+)", roles)) for name, roles in
              re.findall(r'\[RIGHT_(\w+)\] = \{"\w+",\s*([^,]+),', source("notifier/rights.c"))}
    found = {(m, p): rights[r] for m, p, r in re.findall(r'X\("(\w+)", "([^"]+)", RIGHT_(\w+),\s*\w+\)', code)}
    found[("GET", "/api/events")] = "viewer"
    for m in re.findall(r'CHANNEL_ROUTE\("(\w+)"\)', code):
        found[(m, "/channel/*")] = "none"
    for m, p in re.findall(r'PUBLIC\("(\w+)", "([^"]+)", enqueue', code):
        found[(m, p)] = "none"
    found[("GET", "/login")] = "none"
    return found


def fields():
    """Message -> names of its fields."""
    return {name: set(re.findall(r"^\s+(?:optional|repeated|map<[^>]*>)\s*\S*\s+(\w+) = \d+;", body, re.M))
            for name, body in re.findall(r"^message (\w+) \{\n(.*?)^\}", source("proto/healbus.proto"), re.M | re.S)}


class Checker:
    """So much of JSON Schema as the document uses; objects have no members but those it names."""

    def __init__(self, doc):
        self.doc, self.fields, self.used = doc, fields(), set()

    def resolve(self, node):
        while "$ref" in node:
            self.used.add(node["$ref"])
            at = self.doc
            for part in node["$ref"].lstrip("#/").split("/"):
                at = at[part]
            node = at
        return node

    def check(self, schema, value, where="$"):
        schema = self.resolve(schema)
        types = schema.get("type", [])
        types = [types] if isinstance(types, str) else types
        fits = [t for t in types if isinstance(value, TYPES[t]) and not (isinstance(value, bool) and t != "boolean")]
        if types and not fits:
            return ["%s: %r is not %s" % (where, value, types)]
        if "enum" in schema and value not in schema["enum"]:
            return ["%s: %r is none of %s" % (where, value, schema["enum"])]
        if isinstance(value, list):
            return [e for i, v in enumerate(value) for e in self.check(schema.get("items", {}), v, "%s[%d]" % (where, i))]
        return self.members(schema, value, where) if isinstance(value, dict) else []

    def members(self, schema, value, where):
        known = schema.get("properties", {})
        more = schema.get("additionalProperties")
        message = self.fields.get(schema.get("x-message"), set())
        wrong = ["%s: %s is missing" % (where, r) for r in schema.get("required", []) if r not in value]
        for name, v in value.items():
            at = "%s.%s" % (where, name)
            if name in known:
                wrong += self.check(known[name], v, at)
            elif isinstance(more, dict):
                wrong += self.check(more, v, at)
            elif name not in message and more is not True:
                wrong.append(at + ": is not in the document")
        return wrong

    def reply(self, operation, status, body):
        responses = operation["responses"]
        r = self.resolve(responses.get(str(status)) or responses["default"])
        schema = r.get("content", {}).get("application/json", {}).get("schema")
        return self.check(schema, body) if schema else []


def seed(w):
    w.send("incident", "db", incident("db"))
    w.send("plan", "db", plan("plan-db", "db"))
    w.send("approval", "db", approval("ask-db", "db", "plan-db", now_ms() + 600000))
    w.send("model", "db", exchange("x1", "db", 1500))
    w.send("outcome", "db", outcome("out-db", "db", "plan-db", "change-db"))
    w.send("control", "catalogue", {"id": "tools-1", "kind": "catalogue", "executor": "exec-1", "at_ms": now_ms(),
                                    "tools": [{"name": "restart", "level": "soft"}]})
    w.send("incident", "two", incident("two"))
    w.send("plan", "two", plan("plan-two", "two"))
    w.send("approval", "two", approval("ask-two", "two", "plan-two", now_ms() + 600000))
    w.publish_packed("dead", "dead.monitor", {"stage": "monitor", "subject": "raw.x", "error": "not JSON",
                                              "at_ms": now_ms(), "data": "7b", "message_id": "m"})


# (method, path of the document, path asked, body, status)
CALLS = [
    ("GET", "/api/session", None, None, 200), ("GET", "/api/status", None, None, 200),
    ("GET", "/api/incidents", "/api/incidents?all=1", None, 200), ("GET", "/api/search", "/api/search?q=down", None, 200),
    ("GET", "/api/incidents/{id}", "/api/incidents/db", None, 200), ("GET", "/api/story/{id}", "/api/story/db", None, 200),
    ("GET", "/api/plans/{id}", "/api/plans/db", None, 200), ("GET", "/api/approvals", None, None, 200),
    ("GET", "/api/info/{id}", "/api/info/ask-two", None, None),
    ("POST", "/api/decisions", None, {"approval": "ask-two", "verdict": "deny", "reason": "no"}, None),
    ("POST", "/api/feedback", None, {"incident": "db", "held": True}, None),
    ("POST", "/api/rehearse", None, {"plan": "plan-db"}, 202), ("POST", "/api/ack", None, {"incident": "db"}, 200),
    ("POST", "/api/pause", None, {"reason": "test"}, 200), ("POST", "/api/resume", None, {}, 200),
    ("POST", "/api/silences", None, {"matchers": ['service="db"'], "duration": "1m", "comment": "c"}, 200),
    ("GET", "/api/silences", "/api/silences?all=1", None, 200),
    ("DELETE", "/api/silences/{id}", "/api/silences/SILENCE", None, 200), ("GET", "/api/tools", None, None, 200),
    ("GET", "/api/changes", None, None, 200), ("POST", "/api/undo", None, {"change": "change-db"}, 202),
    ("GET", "/api/kpis", None, None, 200), ("GET", "/api/models", None, None, 200), ("GET", "/api/oncall", None, None, 200), ("GET", "/api/undelivered", None, None, 200),
    ("POST", "/api/oncall", None, {"rotation": "nope", "person": "olga", "duration": "1h"}, 404),
    ("DELETE", "/api/oncall/{rotation}", "/api/oncall/nope", None, 404),
    ("GET", "/api/people", None, None, 200), ("GET", "/api/shadow", None, None, 200), ("GET", "/api/dead", None, None, 200),
    ("GET", "/api/dead/{seq}", "/api/dead/1", None, 200),
    ("POST", "/api/dead/{seq}/requeue", "/api/dead/1/requeue", {}, 202), ("POST", "/logout", None, {}, 200),
    ("GET", "/api/incidents/{id}", "/api/incidents/nope", None, 404), ("GET", "/api/kpis", "/api/kpis?step=x", None, 400),
    ("POST", "/api/decisions", None, {"verdict": "maybe"}, 400),
]


def test_calls(w, doc, checker):
    b = Browser(w.port)
    silence, asked = "", set()
    for method, path, real, body, want in CALLS:
        operation = doc["paths"][path][method.lower()]
        headers = {"Authorization": "Bearer " + TOKENS[WHO[operation["x-role"].split(" or ")[0]]], "Origin": None, "Sec-Fetch-Site": None}
        real = (real or path).replace("SILENCE", silence)
        if method == "POST" and body is not None and want != 400:
            schema = checker.resolve(operation.get("requestBody", {})).get("content", {}).get("application/json", {})
            wrong = checker.check(schema.get("schema", {}), body)
            if wrong:
                ok(False, "the body for " + path, wrong)
        r = b.ask(method, real, body, headers)
        wrong = checker.reply(operation, r.status, r.json)
        asked.add((method.lower(), path))
        ok(not wrong and (want or r.status) == r.status and r.status < 500, "%s %s: %d, as documented" % (
            method, real.replace(silence, "ID") if silence else real, r.status), (wrong, r.text))
        if method == "POST":
            caught_up(w)
        silence = r.json.get("id", silence) if path == "/api/silences" and method == "POST" else silence
    r = b.ask("POST", "/login", {"token": TOKENS["vic"]})
    ok(not checker.reply(doc["paths"]["/login"]["post"], r.status, r.json), "POST /login, as documented", r.text)
    asked |= {("post", "/login"), ("get", "/login"), ("get", "/api/events"), ("get", "/channel/{name}"),
              ("post", "/channel/{name}")}
    all_of_it = {(m, p) for p, item in doc["paths"].items() for m in item}
    ok(all_of_it == asked, "every operation was tried", all_of_it ^ asked)


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
        w.start()
        seed(w)
        restart(w, people(w))
        caught_up(w)
        b = Browser(w.port)
        r = b.ask("GET", "/openapi.json")
        doc = r.json
        ok(r.status == 200 and doc.get("openapi") == "3.1.0", "it is served as JSON", r.text[:200])
        r = b.ask("GET", "/openapi.yaml")
        ok(r.status == 200 and r.text.decode() == source("notifier/openapi.yaml"), "and as it is written")
        mine = {(m.upper(), re.sub(r"\{\w+\}", "*", p).replace("/*/requeue", "/**")): o["x-role"]
                for p, item in doc["paths"].items() for m, o in item.items()}
        ok(mine == routes(), "every route is documented with who may, and nothing else",
           set(mine.items()) ^ set(routes().items()))
        checker = Checker(doc)
        ok(all(checker.fields.values()) and len(checker.fields) > 20, "the messages' fields are known")
        test_calls(w, doc, checker)
        refs = set(re.findall(r'"\$ref":\s*"([^"]+)"', json.dumps(doc)))
        ok(all(checker.resolve({"$ref": r}) for r in refs), "every reference leads somewhere", refs)
        bad = checker.check({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["b"]},
                            {"a": True, "c": 1})
        ok(len(bad) == 3, "the checker finds what is wrong", bad)
        ok(w.stop() == 0, "stops")
    finally:
        w.close()
    return done()


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Asking models, against a scripted double over HTTP: faults, budget, cache, requests as the vendors specify. TAP."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib_models  # noqa: E402
from lib import done, ok, skip  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("HEALBUS_BUILD", os.path.join(ROOT, "build"))
KEY = "sk-canary-5f8a1c"
SCHEMA = {
    "type": "object", "additionalProperties": False, "required": ["analysis", "confidence", "steps"],
    "properties": {
        "analysis": {"type": "string", "maxLength": 2000},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        "steps": {"type": "array", "maxItems": 8, "items": {
            "type": "object", "additionalProperties": False, "required": ["tool"],
            "properties": {"tool": {"type": "string"}}}},
    },
}
PATHS = {"openai_chat": "/v1/chat/completions", "openai_responses": "/v1/responses",
         "anthropic": "/v1/messages", "http": "/ask"}
MAPPED = """
      request: '{q: (.system + "\\n" + .prompt), form: .schema, most: .max_tokens}'
      response: '{text: .result.said, tokens_in: .meter[0], tokens_out: .meter[1],
                  end: (if .refused then "refusal" else "answer" end)}'"""
open_worlds = []


def check(name, good, detail=""):
    ok(good, name, detail)


class World:
    """A configuration, a state directory, and a program that asks."""

    def __init__(self, double, providers, more=""):
        self.double, self.dir = double, tempfile.mkdtemp(prefix="healbus-models-")
        os.mkdir(os.path.join(self.dir, "state"))
        key = os.path.join(self.dir, "key")
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as f:
            f.write(KEY + "\n")
        lines = ["models:", *(["  jitter: 0s"] if "jitter" not in more else []), *("  " + m for m in more.splitlines()), "  providers:"]
        for name, kind, extra in providers:
            lines += ["    - name: " + name, "      kind: " + kind, "      model: model-" + name,
                      "      key_file: key",
                      "      url: http://127.0.0.1:%d/%s%s" % (double.port, name, PATHS[kind])]
            lines += ["      " + e for e in extra.splitlines() if e]
            lines += MAPPED.splitlines()[1:] if kind == "http" else []
        with open(os.path.join(self.dir, "reasoner.yaml"), "w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")
        self.process = None
        open_worlds.append(self)
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [os.path.join(BUILD, "tests/integration/modelask"), self.dir, os.path.join(self.dir, "state")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def stop(self, kill=False):
        if kill:
            self.process.kill()
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()

    def close(self):
        open_worlds.remove(self)
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.dir)

    def ask(self, **question):
        """What was said, the results, and the pauses."""
        question = {"prompt": "What is wrong?", "system": "You mend.", "schema": SCHEMA, **question}
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        said, results, paused = [], [], []
        for line in self.process.stdout:
            if KEY in line:
                results.append({"rc": "the key is in: " + line})
            line = json.loads(line)
            if "bad" in line:
                results.append({"rc": line["bad"]})
            said += [line["said"]] if "said" in line else []
            results += [line["result"]] if "result" in line else []
            paused += [line["paused"]] if "paused" in line else []
            if "done" in line:
                return said, results, paused
        return said, results + [{"rc": "the program ended"}], paused


def world(double, providers, more=""):
    double.modes.clear()
    double.usage.clear()
    double.seen.clear()
    return World(double, providers, more)


# ---- every kind answers, and asks as its vendor specifies ----
def test_kinds(double):
    for kind in PATHS:
        w = world(double, [("one", kind, "temperature: 0.5\nmax_tokens: 999\nprice_in: 2\nprice_out: 10")])
        said, (result,), _ = w.ask(prompt="Why?  \u20ac \U0001f600 \"quoted\"")
        check(kind + " answers", result["rc"] == "ok" and result["json"] == lib_models.GOOD, result)
        e = said[0] if said else {}
        check(kind + ": the exchange is said with its cost",
              (e.get("state"), e.get("provider"), e.get("prompt_tokens"), e.get("answer_tokens"),
               e.get("cost_micro_usd")) == ("exchanged", "one", 100, 50, 700) and result.get("exchange") == e["id"]
              and "Why?" in e["prompt"] and json.loads(e["answer"]) == lib_models.GOOD, said)
        for mode, words in (("refusal", "refused"), ("length", "max_tokens"), ("filter", "filter"),
                            ("tool", "tool")):
            if (mode, PATHS[kind]) not in lib_models.SPECIAL:
                continue
            double.modes["one"] = mode
            said, (result,), _ = w.ask(prompt=mode)
            check("%s: %s is told apart" % (kind, mode),
                  result["rc"] == "unavailable" and words in result["why"] and words in said[0]["error"], result)
        w.close()


def test_requests(double):
    for spec_name, kinds in (("openai.json", ("openai_chat", "openai_responses")), ("anthropic.json", ("anthropic",))):
        path = lib_models.spec_path(spec_name)
        if not os.path.exists(path):
            skip("requests as in " + spec_name, "no specs")
            continue
        spec = lib_models.Spec(path)
        for kind in kinds:
            w = world(double, [("one", kind, "temperature: 0.5"), ("two", kind, "")])
            double.modes.update(one="wrong_schema")
            w.ask()
            w.close()
            schema = spec.body_schema(PATHS[kind])
            found, known = [], spec.properties(schema)
            for seen in double.seen:
                found += spec.errors(schema, seen["body"]) + [k for k in seen["body"] if k not in known]
            check("%s: %d requests as in %s" % (kind, len(double.seen), spec_name),
                  not found and len(double.seen) == 3, found or double.seen)
            bad = spec.errors(schema, dict(double.seen[0]["body"], model=7))
            check("%s: the judge sees a wrong request" % kind, bad, bad)
            headers = {k.lower(): v for k, v in double.seen[0]["headers"].items()}
            check(kind + ": headers", headers["content-type"] == "application/json" and (
                headers.get("anthropic-version") == "2023-06-01" and headers.get("x-api-key") == KEY
                if kind == "anthropic" else headers.get("authorization") == "Bearer " + KEY), headers)


# ---- one fault each: the next provider answers, or the caller is told why ----
FAULTS = [
    ("500", "HTTP 500: boom"), ("429", "HTTP 429"), ("503", "HTTP 503"), ("529", "Overloaded"), ("hang", "deadline"),
    ("slow", "deadline"), ("garbage", "no JSON"), ("truncated", "cut short"), ("cut_body", "cut short"),
    ("wrong_schema", "confidence: is over"), ("400", "Invalid schema"), ("refusal", "refused"),
    ("length", "max_tokens"), ("filter", "filter"), ("tool", "tool"), ("endless", "too large"),
    ("huge", "too large"), ("early", ""), ("html", "no JSON"), ("401", "Bad key"), ("redirect", "HTTP 302"),
]


def test_faults(double):
    for mode, words in FAULTS:
        w = world(double, [("one", "openai_chat", "timeout: 700ms" if mode in ("hang", "slow") else "timeout: 30s"),
                           ("two", "anthropic", "timeout: 3s" if mode in ("hang", "slow") else "timeout: 30s")])
        double.modes["one"] = mode
        said, (result,), _ = w.ask()
        check(mode + ": the next provider answers",
              result["rc"] == "ok" and result["provider"] == "two" and result["json"] == lib_models.GOOD, result)
        first = [s for s in said if s["provider"] == "one"]
        check(mode + ": both exchanges are said, the first with why",
              len(first) == (2 if mode == "wrong_schema" else 1) and words in first[0]["error"]
              and said[-1]["provider"] == "two" and "error" not in said[-1]
              and not any(c in first[0]["error"] for c in "\x1b\u202e"), said)
        double.modes["two"] = mode if mode != "filter" else "garbage"
        said, (result,), _ = w.ask(prompt="Again?")
        check(mode + " everywhere: the caller is told why",
              result["rc"] != "ok" and "one: " in result["why"] and "two: " in result["why"]
              and {s["provider"] for s in said} == {"one", "two"}, (result, said))
        check(mode + ": the redirect is not followed", all(s["name"] != "other" for s in double.seen))
        w.close()


def test_down(double):
    w = world(double, [("one", "openai_chat", "")])
    w.stop()
    text = open(os.path.join(w.dir, "reasoner.yaml"), encoding="utf-8").read()
    with open(os.path.join(w.dir, "reasoner.yaml"), "w", encoding="utf-8") as f:
        f.write(text.replace(":%d/" % double.port, ":1/"))
    w.start()
    said, (result,), _ = w.ask()
    check("nobody listens: told, and nothing was charged",
          result["rc"] == "unavailable" and said[0].get("cost_micro_usd", 0) == 0
          and said[0].get("prompt_tokens", 0) == 0, (said, result))
    w.close()


def test_mend(double):
    w = world(double, [("one", "openai_responses", ""), ("two", "openai_chat", "")])
    double.modes["one"] = ["wrong_schema", "ok"]
    said, (result,), _ = w.ask()
    check("an answer that does not meet the schema is asked to be mended, once",
          result["rc"] == "ok" and result["provider"] == "one" and len(said) == 2, (said, result))
    check("and is told what was wrong", "confidence: is over the maximum" in double.seen[1]["body"]["input"])
    said, (result,), _ = w.ask()
    check("the mended answer is in the cache under the question", result["cached"] is True, result)
    double.modes.update(one="wrong_schema", two="wrong_schema")
    said, (result,), _ = w.ask(prompt="Other?")
    check("only one repair question for all providers", len(said) == 3 and result["rc"] == "unavailable", said)
    w.close()


def test_fence(double):
    w = world(double, [("one", "openai_chat", "")])
    double.modes["one"] = "fenced"
    _, (result,), _ = w.ask()
    check("a fence around the JSON is taken off", result["rc"] == "ok" and result["json"] == lib_models.GOOD, result)
    w.close()


def test_key(double):
    w = world(double, [("one", "openai_chat", "")])
    double.modes["one"] = "leak"
    said, (result,), _ = w.ask()
    files = [os.path.join(at, f) for at, _, names in os.walk(os.path.join(w.dir, "state")) for f in names]
    held = [f for f in files if KEY.encode() in open(f, "rb").read()]
    check("no file of the state holds the key", files and not held, (files, held))
    check("a key that comes back is hidden", result["rc"] == "ok" and "Bearer ***" in result["json"]["analysis"],
          (said, result))
    w.close()


# ---- rate limits, breaker, deadline, choice ----
def test_rate_limit(double):
    w = world(double, [("one", "openai_chat", ""), ("two", "openai_chat", "")])
    double.modes["one"] = "429"
    w.ask(prompt="a")
    said, (result,), _ = w.ask(prompt="b")
    check("a provider with Retry-After is left alone",
          result["provider"] == "two" and [s["name"] for s in double.seen] == ["one", "two", "two"]
          and "rate limited" in said[0]["error"], (said, result))
    double.modes.update(one="ok", two="429_short")
    said, (result,), paused = w.ask(prompt="c", deadline_ms=20000)
    check("a rate limit that ends before the deadline is waited for",
          result["rc"] == "unavailable" and len(paused) == 1 and 0 < paused[0] <= 1000, (result, paused))
    w.close()
    w = world(double, [("two", "openai_chat", "")])
    double.modes.update(two=["429_short", "ok"])
    said, (result,), paused = w.ask(prompt="d", deadline_ms=20000)
    check("and then it is asked again", result["rc"] == "ok" and result["provider"] == "two", (result, paused))
    w.close()


def test_breaker(double):
    w = world(double, [("one", "openai_chat", "")])
    double.modes["one"] = "500"
    told = [w.ask(prompt=str(i)) for i in range(10)]
    results = [t[1][0] for t in told]
    check("a provider that keeps failing is left alone",
          any(r["rc"] == "busy" and "too often" in r["why"] for r in results) and len(double.seen) < 10, results)
    check("and the exchange says that it was, and that it cost nothing",
          all(s.get("left_alone", False) == ("too often" in s["error"]) and not s.get("budget_permille")
              for t in told for s in t[0]), told)
    w.close()


def test_deadline(double):
    w = world(double, [("one", "openai_chat", "timeout: 60s"), ("two", "openai_chat", "timeout: 60s")])
    double.modes.update(one="hang", two="hang")
    said, (result,), _ = w.ask(deadline_ms=4000)  # the first is to be asked before
    check("the question's deadline holds", result["rc"] == "timeout" and len(double.seen) == 1
          and said[0]["took_ms"] < 30000, (said, result))
    w.close()


def test_choice(double):
    w = world(double, [("big", "openai_chat", "severity: critical\ncomplexity: 0.7"),
                       ("small", "openai_chat", "")])
    chosen = [w.ask(prompt=str(i), **q)[1][0]["provider"] for i, q in enumerate(
        ({"severity": 2, "complexity": 0.2}, {"severity": 4, "complexity": 0.1}, {"severity": 1, "complexity": 0.9}))]
    check("severity or complexity choose", chosen == ["small", "big", "big"], chosen)
    w.close()


def test_jitter(double):
    w = world(double, [("one", "openai_chat", ""), ("two", "openai_chat", "")], "jitter: 200ms")
    double.modes["one"] = "500"
    first, second = w.ask(deadline_ms=60000), w.ask(deadline_ms=60000, prompt="b")
    w.ask()
    check("a question starts at a moment of its own, once", all(len(x[2]) == 1 and 0 <= x[2][0] <= 200
                                                                for x in (first, second)), (first, second))
    w.close()


def test_bad_question(double):
    w = world(double, [("one", "openai_chat", "")])
    for name, question in (("schema", {"schema": {"type": "array"}}), ("keyword", {"schema": {"type": "object", "if": {}}}),
                           ("incident", {"incident": "a b"}), ("size", {"prompt": "x" * (600 << 10)})):
        said, (result,), _ = w.ask(**question)
        check("a question with a bad %s is not asked" % name, result["rc"] == "invalid" and not double.seen, result)
    w.close()


# ---- budget ----
def spent(double):
    return sum(sum(double.usage.get(s["name"], lib_models.USAGE)) for s in double.seen)


def test_budget(double):
    small = "max_tokens: 100\nprice_in: 1\nprice_out: 1"
    for what, limits, rule in (
            ("incident", "budget: {incident: {tokens: 3000}}", lambda i: {"incident": "i1"}),
            ("day", "budget: {day: {tokens: 3000}}", lambda i: {"incident": "i%d" % i}),
            ("money", "budget: {incident: {usd: 0.003}}", lambda i: {"incident": "i1"})):
        w = world(double, [("one", "openai_chat", small)], limits)
        results = [w.ask(prompt="p%d" % i, **rule(i)) for i in range(30)]
        last = results[-1]
        check("%s: the budget ends it" % what, last[1][0]["rc"] == "denied" and "budget" in last[1][0]["why"]
              and "budget" in last[0][0]["error"], last)
        shares = [s.get("budget_permille") for said, _, *_ in results for s in said]
        check("%s: exchanges say how much of a day's budget is used" % what,
              shares == sorted(shares) and 0 < shares[0] < 500 and shares[-1] == 1000 and shares[-2] >= 500
              if what == "day" else not any(shares), shares)
        check("%s: most of it was used, no more than it" % what, 1500 < spent(double) <= 3000, spent(double))
        w.stop()
        w.start()
        before = len(double.seen)
        last = w.ask(prompt="after", **rule(0))
        check("%s: a restart forgets nothing" % what, last[1][0]["rc"] == "denied" and len(double.seen) == before, last)
        w.close()


def test_budget_provider(double):
    w = world(double, [("one", "openai_chat", "max_tokens: 100\nbudget: {tokens: 2000}"), ("two", "openai_chat", "")])
    chosen = [w.ask(prompt=str(i))[1][0]["provider"] for i in range(20)]
    check("a provider's own budget: then the next one is asked",
          chosen[0] == "one" and chosen[-1] == "two"
          and sum(sum(lib_models.USAGE) for s in double.seen if s["name"] == "one") <= 2000, chosen)
    w.close()


def test_budget_threads(double):
    w = world(double, [("one", "openai_chat", "max_tokens: 100")], "budget: {day: {tokens: 5000}}\ncache: {ttl: 0s}")
    results = []
    for _ in range(8):
        said, some, _ = w.ask(threads=8)
        results += some
    good = sum(r["rc"] == "ok" for r in results)
    check("eight threads: the budget is never exceeded", spent(double) <= 5000 and good == len(double.seen) > 10
          and any(r["rc"] == "denied" for r in results), (spent(double), good, len(results)))
    w.close()


def test_budget_crash(double):
    w = world(double, [("one", "openai_chat", "max_tokens: 100\ntimeout: 60s")], "budget: {day: {tokens: 1500}}")
    double.modes["one"] = "hang"
    w.process.stdin.write(json.dumps({"prompt": "x", "schema": SCHEMA}) + "\n")
    w.process.stdin.flush()
    import lib
    lib.wait_for("the call", lambda: double.seen)
    w.stop(kill=True)
    w.start()
    double.modes["one"] = "ok"
    said, (result,), _ = w.ask(prompt="y")
    check("what was reserved when the process was killed stays spent", result["rc"] == "denied", (said, result))
    w.close()


def test_budget_liar(double):
    w = world(double, [("one", "openai_chat", "max_tokens: 100")], "budget: {day: {tokens: 21000}}\ncache: {ttl: 0s}")
    double.usage["one"] = (3000, 200)
    results = [w.ask(prompt=str(i))[1][0]["rc"] for i in range(20)]
    check("a provider that counts more than expected: estimates follow, the budget holds",
          spent(double) <= 21000 and results[-1] == "denied" and results.count("ok") >= 4, (spent(double), results))
    double.usage["one"] = lib_models.USAGE
    w.close()


def test_budget_unknown(double):
    w = world(double, [("one", "openai_chat", "max_tokens: 100\ntimeout: 2s")],
              "budget: {incident: {tokens: 2500}}\ncache: {ttl: 0s}")
    double.modes["one"] = "no_usage"
    said, _, _ = w.ask(incident="a")
    check("no usage in the answer: the estimate is charged", said[0]["prompt_tokens"] > 500
          and said[0]["answer_tokens"] == 100, said)
    double.modes["one"] = "hang"
    said, _, _ = w.ask(incident="b")
    check("no answer: the estimate is charged", said[0]["prompt_tokens"] > 500, said)
    double.modes["one"] = "500"
    said, _, _ = w.ask(incident="c")
    check("an error costs nothing", said[0].get("prompt_tokens", 0) == 0, said)
    w.close()


# ---- cache ----
def test_cache(double):
    w = world(double, [("one", "openai_chat", "price_in: 1\nprice_out: 1")])
    w.ask()
    w.stop()
    w.start()
    said, (result,), _ = w.ask(incident="i2")
    check("an answer is kept over a restart, costs nothing and says so",
          result["cached"] and len(double.seen) == 1 and said[0]["cached"] and said[0].get("cost_micro_usd", 0) == 0
          and said[0].get("prompt_tokens", 0) == 0 and json.loads(said[0]["answer"]) == lib_models.GOOD, (said, result))
    for other in ({"prompt": "Else?"}, {"system": "Other."},
                  {"schema": dict(SCHEMA, properties=dict(SCHEMA["properties"], more={"type": "string"}))}):
        _, (result,), _ = w.ask(**other)
        check("another %s is another question" % list(other)[0], result["rc"] == "ok" and not result["cached"], result)
    double.modes["one"] = "500"
    _, (result,), _ = w.ask()
    check("the cache answers while the provider is down", result["rc"] == "ok" and result["cached"], result)
    w.close()


def main():
    double = lib_models.Double()
    tests = [f for name, f in sorted(globals().items()) if name.startswith("test_" + "".join(sys.argv[1:2]))]
    try:
        for test in tests:
            try:
                test(double)
            except Exception:  # noqa: BLE001
                check(test.__name__, False, traceback.format_exc())
    finally:
        double.close()
        for w in list(open_worlds):  # of tests that failed half-way
            w.process.kill()
            w.process.wait()
            w.close()
    return done()


if __name__ == "__main__":
    sys.exit(main())

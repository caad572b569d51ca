"""What the product itself says when all is over, asked of the notifier's API and of the bus, written down for judge.py."""
import concurrent.futures
import json

BAD = ("failed", "unknown", "rejected", "expired", "escalated")


def get(world, path):
    for _ in range(50):
        status, answer = world.api("GET", path)
        if status == 200:
            return answer
    raise RuntimeError("GET %s: %s %s" % (path, status, answer))


def run_of(plan, index):
    """RUN_ID of a step of a plan; None for a step that does not act in the ledger."""
    steps = plan.get("steps", [])
    params = steps[index].get("params", {}) if index < len(steps) else {}
    return "%s/%s" % (params["run"], params["attempt"]) if "run" in params else None


class Story:
    """One incident's messages, sorted by kind."""

    def __init__(self, answer):
        self.incident = answer["incident"]
        self.by_kind = {}
        for entry in answer["story"]:
            if entry["message"] is None:
                raise RuntimeError("a story has holes: %s" % self.incident["id"])
            self.by_kind.setdefault(entry["kind"], []).append(dict(entry["message"], seq=entry["seq"]))
        self.plans = {p["id"]: p for p in self.of("plan")}
        self.outcomes = sorted(self.of("outcome"), key=lambda o: o.get("attempt", 0))

    def of(self, kind):
        return self.by_kind.get(kind, [])

    def escalated(self):
        return any(i["state"] == "escalated" for i in self.of("incident"))

    def end(self):
        """The one word for it; None when it is not over."""
        if not self.outcomes:
            return "escalated" if self.escalated() else "done" if self.incident["state"] == "resolved" else None
        last = self.outcomes[-1]
        silent = (last.get("decision") or {}).get("by") == "deadline"
        words = {"healed": "done", "failed": "failed", "rolled-back": "failed", "rollback-failed": "failed",
                 "refused": "rejected", "denied": "expired" if silent else "rejected", "expired": "expired",
                 "observed": "rejected"}
        return words.get(last["verdict"].replace("_", "-"), "unknown")

    def acts(self):
        """{RUN_ID: [word, what settled it]}"""
        out = {}
        for plan_id, plan in self.plans.items():
            steps = [s for s in self.of("step") if s["plan_id"] == plan_id]
            steps += [s for o in self.outcomes if o["plan_id"] == plan_id for s in o.get("steps", [])]
            for s in steps:
                run = run_of(plan, s.get("index", 0))
                if s["phase"] != "act" or not run or s["state"] not in ("done", "failed", "unknown"):
                    continue
                if s["state"] == "unknown" or run not in out:
                    out[run] = [s["state"], self.settled(plan, s.get("index", 0)) if s["state"] == "unknown" else "-"]
        return out

    def overtaken(self):
        """Ids of questions that were given up after a person had answered them, and never told: nobody needs them any
        more. The order is that of the bus."""
        answered = {d.get("approval"): d["seq"] for d in self.of("decision") if d.get("by") not in (None, "", "deadline")}
        told = {n["id"] for n in self.of("notice") if n["state"] == "sent"}
        return {n["id"] for n in self.of("notice") if n["state"] == "failed" and n["id"] not in told
                and answered.get(n.get("approval"), n["seq"]) < n["seq"]}

    def settled(self, plan, index):
        if any(s["plan_id"] == plan["id"] and s["phase"] == "verify" and s.get("index", 0) == index
               and s["state"] == "done" for s in self.of("step")):
            return "check"
        if any(p.get("attempt", 0) > plan.get("attempt", 0) for p in self.plans.values()):
            return "step"
        if any(c.get("kind") == "ack" for c in self.of("control")):
            return "human"
        return "-"


def stories(world):
    """Every incident's story, through the API alone."""
    ids = [i["id"] for i in get(world, "/api/incidents?all=1")["incidents"]]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        return [Story(a) for a in pool.map(lambda i: get(world, "/api/story/" + i), ids)]


def write(path, lines):
    with open(path, "w") as f:
        f.write("".join(line + "\n" for line in lines))


def must_tell(incidents, ends, resolved, overtaken):
    """Whatever the product says: that it began, that a human is needed, that it is over, and each question that was not
    answered before."""
    for one in incidents:
        yield one.run + " *"
        if ends.get(one.run) in BAD and one.resolve != "early":
            yield one.run + " escalated"
        if one.run in resolved and one.resolve != "early":
            yield one.run + " resolved"
        asks = one.klass in ("approve", "deny", "silent") and one.resolve != "early"
        if asks and one.run not in overtaken:
            yield one.run + " approval"


def seen(world):
    """The marks of what lies on the bus: each post on RAW, each alert's states on EVENTS."""
    for row in world.dump("RAW", "raw.alertmanager"):
        for a in row["message"]["alerts"]:
            yield "%s %s" % (a["labels"]["event"], a["annotations"]["post"])
    for row in world.dump("EVENTS", "event.*.alertmanager"):
        yield "%s %s" % (row["message"]["labels"]["event"], row["message"]["status"])


def write_down(world, incidents, directory):
    """The judge's files, but those that were written on the way."""
    every = stories(world)
    outcomes, runs, plans, notices, ends, resolved, overtaken = [], [], [], [], {}, set(), set()
    for story in every:
        end = story.end()
        labels = story.incident.get("labels", {})
        for event in story.incident.get("events", []):
            if end:
                outcomes.append("%s %s" % (event["labels"]["event"], end))
        if "run" in labels:
            ends[labels["run"]] = end
            resolved.update([labels["run"]] if story.incident["state"] == "resolved" else [])
        runs += ["%s %s %s" % (run, *said) for run, said in story.acts().items()]
        plans += [p + " plan" for p in story.plans] + [o["plan_id"] + " outcome" for o in story.outcomes]
        late = story.overtaken()
        overtaken.update([labels["run"]] if late and "run" in labels else [])
        notices += [n["id"] for n in story.of("notice") if n["state"] == "queued" and n["id"] not in late]
    write(directory + "/OUTCOMES", outcomes)
    write(directory + "/RUNS", runs)
    write(directory + "/PLANS", plans)
    write(directory + "/NOTICES", notices)
    write(directory + "/MUST", must_tell(incidents, ends, resolved, overtaken))
    write(directory + "/SEEN", seen(world))
    write(directory + "/OVERTAKEN", sorted(set().union(*(story.overtaken() for story in every))))
    return every


def story_lines(story):
    """A story for people, one line a message."""
    for kind, messages in story.by_kind.items():
        for m in messages:
            yield kind + " " + json.dumps({k: m[k] for k in (
                "state", "verdict", "phase", "attempt", "reason", "kind", "executor") if k in m})

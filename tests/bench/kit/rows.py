"""A row of the benchmark: what was measured, what it is measured against, and whether its goal is reached."""
import json
import math

# How a value is compared with its goal; the third kind has no goal.
AT_LEAST, AT_MOST, EXACTLY = ">=", "<=", "="


class Goal:
    """At least (or at most, or exactly) `factor` times a reference of the same run ("limit" or "peer"), or, without
    a reference, `factor` itself."""

    def __init__(self, sign, factor, of=None):
        self.sign, self.factor, self.of = sign, factor, of

    def text(self):
        return f"{self.sign} {self.factor:g}" + (f" x {self.of}" if self.of else "")

    def reached(self, value, references):
        """True, False, or None when it cannot be told."""
        base = references.get(self.of) if self.of else 1
        if value is None or base is None:
            return None
        bound = self.factor * base
        if self.sign == EXACTLY:
            return math.isclose(value, bound)
        return value >= bound if self.sign == AT_LEAST else value <= bound


def at_least(factor, of=None):
    return Goal(AT_LEAST, factor, of)


def at_most(factor, of=None):
    return Goal(AT_MOST, factor, of)


def exactly(factor):
    return Goal(EXACTLY, factor)


class Row:
    def __init__(self, line, value, unit, goal=None, limit=None, peer=None, skipped=None):
        self.line, self.value, self.unit, self.goal = line, value, unit, goal
        self.limit, self.peer, self.skipped = limit, peer, skipped

    def reached(self):
        return self.goal.reached(self.value, {"limit": self.limit, "peer": self.peer}) if self.goal else None

    def as_json(self):
        return {"line": self.line, "value": rounded(self.value), "unit": self.unit,
                "goal": self.goal.text() if self.goal else None, "reached": self.reached(),
                "limit": rounded(self.limit), "peer": rounded(self.peer)}

    def cells(self):
        reached = {True: "yes", False: "NO", None: ""}[self.reached()]
        if self.skipped:
            return (self.line, "skipped: " + self.skipped, self.goal.text() if self.goal else "", "", "", "")
        value = f"{shown(self.value)} {self.unit}"
        goal = self.goal.text() if self.goal else ""
        if self.goal and self.goal.of and self.reached() is not None:
            base = {"limit": self.limit, "peer": self.peer}[self.goal.of]
            reached += f" ({self.value / base:.2f})" if base else ""
        return (self.line, value, goal, reached, shown(self.limit), shown(self.peer))


def skipped(line, why, goal=None):
    return Row(line, None, "", goal, skipped=why)


def rounded(x):
    return None if x is None else float(f"{x:.5g}")


def shown(x):
    if x is None:
        return ""
    if x == 0 or abs(x) >= 1000:
        return f"{x:,.0f}"
    return f"{x:.3g}"


HEAD = ("line", "value", "goal", "reached", "limit", "peer")


def table(rows):
    """Columns as wide as their widest cell; what was skipped says why across all of them."""
    lines = [HEAD] + [r.cells() for r in rows]
    plain = [c for c, r in zip(lines[1:], rows) if not r.skipped] + [HEAD]
    widths = [max(len(c[i]) for c in plain) for i in range(len(HEAD))]
    widths[0] = max(len(c[0]) for c in lines)
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(c, widths)).rstrip() for c in lines)


def verdict(rows, goals):
    """The last line. `goals`: how many there are; one that could not be measured is not reached."""
    return f"bench: {sum(r.reached() is True for r in rows)} of {goals} goals reached"


def to_json(rows):
    return json.dumps([r.as_json() for r in rows], indent=1)

#!/usr/bin/env python3
"""A small judge of recorded requests against OpenAPI descriptions. Shares no code with what it judges.

    tests/integration/lib_openapi.py DESCRIPTION REQUESTS.jsonl [PREFIX]

Prints each violation, then how many requests of how many kinds were looked at; exit code 1 when there is one."""
import json
import os
import re
import sys

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int,
         "number": (int, float)}


class Spec:
    def __init__(self, path):
        with open(path, encoding="utf-8") as f:
            self.doc = json.load(f)

    def at(self, ref):
        node = self.doc
        for part in ref[2:].split("/"):
            node = node[part.replace("~1", "/").replace("~0", "~")]
        return node

    def body_schema(self, path):
        paths = self.doc["paths"]  # some have the version in the server's address
        return paths.get(path, paths.get(path.replace("/v1", "", 1)))["post"]["requestBody"]["content"]["application/json"]["schema"]

    def properties(self, schema):
        """Every property that a schema and its parts name."""
        if "$ref" in schema:
            return self.properties(self.at(schema["$ref"]))
        names = set(schema.get("properties", {}))
        for part in schema.get("allOf", []):
            names |= self.properties(part)
        return names

    def is_type(self, name, value):
        if isinstance(value, bool) and name != "boolean":
            return False
        return isinstance(value, TYPES[name])

    def errors(self, schema, value, at="body"):
        if schema is True or schema == {}:
            return []
        if "$ref" in schema:
            return self.errors(self.at(schema["$ref"]), value, at)
        if value is None and schema.get("nullable"):
            return []
        found = []
        for part in schema.get("allOf", []):
            found += self.errors(part, value, at)
        for key in ("anyOf", "oneOf"):
            tries = [self.errors(part, value, at) for part in schema.get(key, [])]
            if tries and not any(t == [] for t in tries):
                found += min(tries, key=len)
        types = schema.get("type", [])
        types = [types] if isinstance(types, str) else types
        if types and not any(self.is_type(t, value) for t in types):
            return found + ["%s: not %s" % (at, "/".join(types))]
        if "enum" in schema and value not in schema["enum"]:
            found.append("%s: %r is none of the values" % (at, value))
        if "const" in schema and value != schema["const"]:
            found.append("%s: %r is not the constant" % (at, value))
        return found + self.shape_errors(schema, value, at)

    def shape_errors(self, schema, value, at):
        found = []
        if isinstance(value, dict):
            known = schema.get("properties", {})
            found += ["%s.%s: missing" % (at, k) for k in schema.get("required", []) if k not in value]
            for key, member in value.items():
                if key in known:
                    found += self.errors(known[key], member, "%s.%s" % (at, key))
                elif schema.get("additionalProperties") is False:
                    found.append("%s.%s: not allowed" % (at, key))
        if isinstance(value, list):
            found += ["%s: too few" % at] if len(value) < schema.get("minItems", 0) else []
            for i, one in enumerate(value):
                found += self.errors(schema.get("items", {}), one, "%s[%d]" % (at, i))
        if isinstance(value, str):
            if "pattern" in schema and not re.search(schema["pattern"], value):
                found.append("%s: does not match" % at)
            if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 1 << 30):
                found.append("%s: length" % at)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
                found.append("%s: out of range" % at)
        return found


class Calls(Spec):
    """Recorded requests {method, path, query: {name: [values]}, body} against the paths, parameters and bodies of an
    OpenAPI description whose paths stand behind `prefix`."""

    def __init__(self, path, prefix=""):
        super().__init__(path)
        self.prefix = prefix

    def operation(self, method, path):
        for template, item in self.doc["paths"].items():
            parts = template.split("/")
            got = path.split("/")
            # the last parameter of a git reference takes slashes
            if template.endswith("/git/ref/{ref}") and len(got) > len(parts):
                got = got[:len(parts) - 1] + ["x"]
            fits = len(parts) == len(got) and all(a == b or a.startswith("{") for a, b in zip(parts, got))
            if fits and method.lower() in item and not ("{" in template and self.exact(path)):
                return item, item[method.lower()]
        return None, None

    def exact(self, path):
        return path in self.doc["paths"]

    def violations(self, r):
        path = r["path"][len(self.prefix):]
        item, operation = self.operation(r["method"], path)
        if not operation:
            return ["no such operation"]
        params = [self.at(p["$ref"]) if "$ref" in p else p
                  for p in item.get("parameters", []) + operation.get("parameters", [])]
        known = {p["name"]: p for p in params if p["in"] == "query"}
        found = ["query %s: unknown" % k for k in r["query"] if k not in known]
        for name, p in known.items():
            if p.get("required") and name not in r["query"]:
                found.append("query %s: missing" % name)
            for value in r["query"].get(name, []):
                number = p["schema"].get("type") == "integer"
                found += self.errors(p["schema"], int(value) if number and value.isdigit() else value, name)
        body = operation.get("requestBody")
        if r["body"] is None:
            return found + (["body: missing"] if body and body.get("required") else [])
        if not body:
            return found + ["body: none is wanted"]
        return found + self.errors(body["content"]["application/json"]["schema"], r["body"])


def spec_path(name):
    corpora = os.environ.get("HEALBUS_CORPORA", "")
    specs = os.environ.get("HEALBUS_SPECS", os.path.join(os.path.dirname(corpora), "specs"))
    return os.path.join(specs, name)


def main(description, requests, prefix=""):
    judge, bad, kinds = Calls(description, prefix), 0, set()
    with open(requests, encoding="utf-8") as f:
        rows = [json.loads(line) for line in f if line.strip()]
    rows = [r for r in rows if r["path"].startswith(prefix + "/")]
    for r in rows:
        kinds.add((r["method"], re.sub(r"[0-9a-f]{40}|\d+", "N", r["path"])))
        for violation in judge.violations(r):
            bad += 1
            print("%s %s: %s" % (r["method"], r["path"], violation))
    print("%d requests of %d kinds, %d violations" % (len(rows), len(kinds), bad))
    return 1 if bad or not rows else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

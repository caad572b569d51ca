"""Doubles of other memories, over real HTTP: the part of Chroma's API v2, of OpenMemory's and of OpenAI's embeddings
that is used. Shares no code with what it judges."""
import hashlib
import http.server
import json
import re
import threading
import time

COLLECTIONS = re.compile(r"^/api/v2/tenants/([\w-]+)/databases/([\w-]+)/collections$")
RECORDS = re.compile(r"^/api/v2/tenants/([\w-]+)/databases/([\w-]+)/collections/([\w-]+)/(upsert|query)$")
ID = "0f3a1c52-0000-4000-8000-000000000001"


def words(text):
    return set(re.findall(r"[a-z]{3,}", text.lower()))


class Double:
    """mode: ok, down (500), garbage, hang; of every service at once."""

    def __init__(self):
        self.mode = "ok"
        self.seen = []  # (path, body, authorization)
        self.records = {}  # Chroma's: id -> (vector, document)
        self.notes = []  # OpenMemory's
        self.stop = threading.Event()
        double = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                double.seen.append((self.path, body, self.headers.get("Authorization")))
                if double.mode == "hang":
                    double.stop.wait(20)
                    return
                status, answer = double.answer(self.path, body)
                data = b"<html>" if double.mode == "garbage" else json.dumps(answer).encode()
                self.send_response(500 if double.mode == "down" else status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = "http://127.0.0.1:%d" % self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.stop.set()
        self.server.shutdown()
        self.server.server_close()

    def answer(self, path, body):
        if COLLECTIONS.match(path):
            return 200, {"id": ID, "name": body["name"], "tenant": "t", "database": "d", "configuration_json": {},
                         "log_position": 0, "version": 0}
        if RECORDS.match(path):
            return self.chroma_upsert(body) if path.endswith("upsert") else self.chroma_query(body)
        if path == "/memory/add":
            self.notes.append(body["content"])
            return 200, {"id": "m%d" % len(self.notes), "primary_sector": "episodic"}
        if path == "/memory/query":
            return 200, {"query": body["query"], "matches": self.matches(body["query"], body["k"])}
        if path == "/v1/embeddings":
            return 200, {"object": "list", "model": body["model"], "usage": {"prompt_tokens": 1, "total_tokens": 1},
                         "data": [{"object": "embedding", "index": 0, "embedding": self.embed(body["input"])}]}
        return 404, {"error": "no such path"}

    @staticmethod
    def embed(text):
        vector = [0.0] * 32
        for word in words(text):
            vector[hashlib.sha256(word.encode()).digest()[0] % 32] += 1.0
        return vector

    def chroma_upsert(self, body):
        for name, vector, document in zip(body["ids"], body["embeddings"], body["documents"]):
            self.records[name] = (vector, document)
        return 200, {}

    def chroma_query(self, body):
        asked = body["query_embeddings"][0]
        near = sorted((sum((a - b) ** 2 for a, b in zip(asked, vector)), name, document)
                      for name, (vector, document) in self.records.items())[:body["n_results"]]
        return 200, {"ids": [[n[1] for n in near]], "documents": [[n[2] for n in near]],
                     "distances": [[n[0] for n in near]], "include": body["include"]}

    def matches(self, query, k):
        asked = words(query)
        found = [{"id": "m%d" % i, "content": note, "score": len(asked & words(note)) / max(len(asked), 1)}
                 for i, note in enumerate(self.notes)]
        return sorted(found, key=lambda m: -m["score"])[:k]

    def wait_paths(self, n, end, timeout_s=20):
        """n requests whose paths end like this, or fewer when time is over."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            found = [s for s in self.seen if s[0].endswith(end)]
            if len(found) >= n:
                return found
            time.sleep(0.02)
        return [s for s in self.seen if s[0].endswith(end)]

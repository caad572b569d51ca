#!/usr/bin/env python3
"""A scripted model over real HTTP: OpenAI's chat completions. The first question gets 1.json of the directory, the
second 2.json, and so on; the last is given again. Requests go to requests.jsonl beside them.

    tests/e2e/lib_model.py PORT DIRECTORY"""
import http.server
import json
import os
import sys

PORT, DIRECTORY = int(sys.argv[1]), sys.argv[2]


def answers():
    names = [n for n in os.listdir(DIRECTORY) if n.endswith(".json") and n[0].isdigit()]
    return sorted(names, key=lambda n: int(n.split(".")[0]))


class Model(http.server.BaseHTTPRequestHandler):
    asked = 0
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        with open(os.path.join(DIRECTORY, "requests.jsonl"), "ab") as f:
            f.write(body.replace(b"\n", b" ") + b"\n")
        if self.path != "/v1/chat/completions":
            return self.reply(404, {"error": {"message": "no such path", "type": "invalid_request_error"}})
        names = answers()
        name = names[min(Model.asked, len(names) - 1)]
        Model.asked += 1
        with open(os.path.join(DIRECTORY, name), encoding="utf-8") as f:
            text = json.dumps(json.load(f))
        return self.reply(200, {
            "id": "chatcmpl-%d" % Model.asked, "object": "chat.completion", "created": 1, "model": "scripted",
            "choices": [{"index": 0, "finish_reason": "stop", "logprobs": None,
                         "message": {"role": "assistant", "content": text, "refusal": None}}],
            "usage": {"prompt_tokens": len(body) // 4, "completion_tokens": len(text) // 4,
                      "total_tokens": (len(body) + len(text)) // 4}})

    def reply(self, status, answer):
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Model).serve_forever()

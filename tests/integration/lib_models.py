"""A scripted double of the APIs of models, over real HTTP. Shares no code with what it judges."""
import http.server
import json
import os
import socket
import threading

from lib_openapi import Spec, spec_path  # noqa: F401

USAGE = (100, 50)  # tokens in and out of every answer, unless told otherwise
GOOD = {"analysis": "the port is taken", "confidence": 0.8, "steps": [{"tool": "restart"}]}


def chat(text, reason="stop", usage=USAGE, **message):
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "finish_reason": reason, "logprobs": None,
                         "message": {"role": "assistant", "content": text, **message}}],
            "usage": {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}}


def responses(text, status="completed", reason=None, content=None, items=None, usage=USAGE):
    content = content or [{"type": "output_text", "text": text, "annotations": []}]
    return {"id": "r1", "object": "response", "status": status, "error": None,
            "incomplete_details": {"reason": reason} if reason else None,
            "output": items or [{"type": "reasoning", "summary": []},
                                {"type": "message", "role": "assistant", "content": content}],
            "usage": {"input_tokens": usage[0], "output_tokens": usage[1]}}


def messages(text, reason="tool_use", content=None, usage=USAGE):
    try:
        tool = {"type": "tool_use", "id": "t1", "name": "answer", "input": json.loads(text)}
    except ValueError:
        tool = {"type": "text", "text": text}
    return {"id": "m1", "type": "message", "role": "assistant", "model": "m", "stop_reason": reason,
            "stop_sequence": None, "content": content or [tool],
            "usage": {"input_tokens": usage[0], "output_tokens": usage[1]}}


def inhouse(text, usage=USAGE, **more):
    return {"result": {"said": text}, "meter": list(usage), **more}


SHAPES = {"/v1/chat/completions": chat, "/v1/responses": responses, "/v1/messages": messages, "/ask": inhouse}
SPECIAL = {
    ("refusal", "/v1/chat/completions"): lambda: chat(None, refusal="I will not help with that."),
    ("refusal", "/v1/responses"): lambda: responses("", content=[{"type": "refusal", "refusal": "I will not."}]),
    ("refusal", "/v1/messages"): lambda: messages("I will not.", reason="refusal"),
    ("refusal", "/ask"): lambda: inhouse("no", refused=True),
    ("length", "/v1/chat/completions"): lambda: chat('{"analysis": "the po', reason="length"),
    ("length", "/v1/responses"): lambda: responses('{"an', status="incomplete", reason="max_output_tokens"),
    ("length", "/v1/messages"): lambda: messages('{"analysis": "x"}', reason="max_tokens"),
    ("filter", "/v1/chat/completions"): lambda: chat(None, reason="content_filter"),
    ("filter", "/v1/responses"): lambda: responses("", status="incomplete", reason="content_filter"),
    ("tool", "/v1/chat/completions"): lambda: chat(None, reason="tool_calls", tool_calls=[]),
    ("tool", "/v1/responses"): lambda: responses("", items=[{"type": "function_call", "name": "rm"}]),
    ("tool", "/v1/messages"): lambda: messages("", content=[
        {"type": "tool_use", "id": "t", "name": "rm", "input": {}}]),
}


class Double:
    """modes[name] says how the provider at /<name>/... behaves; usage[name] what it counts."""

    def __init__(self):
        self.modes, self.usage, self.seen, self.lock = {}, {}, [], threading.Lock()
        self.stopping = threading.Event()
        double = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                name, _, path = self.path.lstrip("/").partition("/")
                with double.lock:
                    double.seen.append({"name": name, "path": "/" + path, "headers": dict(self.headers),
                                        "body": json.loads(body), "raw": body})
                    mode = double.modes.get(name, "ok")
                    if isinstance(mode, list):
                        mode = mode.pop(0) if len(mode) > 1 else mode[0]
                try:
                    double.answer(self, name, "/" + path, mode)
                except OSError:
                    self.close_connection = True

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def close(self):
        self.stopping.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def send(self, h, status, body, headers=(), kind="application/json"):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        h.send_response(status)
        h.send_header("Content-Type", kind)
        h.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            h.send_header(name, value)
        h.end_headers()
        h.wfile.write(data)

    def answer(self, h, name, path, mode):
        shape, usage = SHAPES[path], self.usage.get(name, USAGE)
        good = json.dumps(shape(json.dumps(GOOD), usage=usage)).encode()
        plain = {
            "garbage": shape("Sure! Here is the plan: restart it.", usage=usage),
            "truncated": shape(json.dumps(GOOD)[:-9], usage=usage),
            "fenced": shape("```json\n%s\n```\n" % json.dumps(GOOD), usage=usage),
            "wrong_schema": shape(json.dumps(dict(GOOD, confidence=7)), usage=usage),
            "leak": shape(json.dumps(dict(GOOD, analysis=h.headers.get("Authorization", "?"))), usage=usage),
        }
        errors = {
            "500": (500, {"error": {"message": "boom \u202e\x1b[31m", "type": "server_error"}}, ()),
            "429": (429, {"error": {"message": "slow down"}}, (("Retry-After", "3000"),)),
            "429_short": (429, {"error": {"message": "slow down"}}, (("Retry-After", "1"),)),
            "503": (503, b"<h1>Service Unavailable</h1>", (("Retry-After", "2000"),)),
            "529": (529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, ()),
            "400": (400, {"error": {"message": "Invalid schema for response_format 'answer'"}}, ()),
            "401": (401, {"error": {"message": "Bad key " + str(h.headers.get("Authorization"))}}, ()),
            "redirect": (302, b"", (("Location", "http://127.0.0.1:%d/other%s" % (self.port, path)),)),
        }
        if mode in plain:
            self.send(h, 200, plain[mode])
        elif (mode, path) in SPECIAL:
            self.send(h, 200, SPECIAL[mode, path]())
        elif mode in errors:
            self.send(h, *errors[mode])
        elif mode == "no_usage":
            self.send(h, 200, {k: v for k, v in json.loads(good).items() if k not in ("usage", "meter")})
        elif mode == "cut_body":
            self.send(h, 200, good[:len(good) // 2])
        elif mode == "html":
            self.send(h, 200, b"<html><body>Please log in</body></html>", kind="text/html")
        elif mode == "ok":
            self.send(h, 200, good)
        else:
            h.close_connection = True
            getattr(self, mode)(h, good)

    # ---- those that break the connection in some way ----
    def head(self, h, length=None):
        h.send_response(200)
        h.send_header("Content-Type", "application/json")
        if length is not None:
            h.send_header("Content-Length", str(length))
        h.send_header("Connection", "close")
        h.end_headers()

    def hang(self, h, good):
        self.stopping.wait(300)

    def slow(self, h, good):
        self.head(h, len(good))
        for byte in good:
            if self.stopping.wait(0.1):
                return
            h.wfile.write(bytes([byte]))

    def endless(self, h, good):
        self.head(h)
        h.wfile.write(b'{"choices": "')
        while not self.stopping.is_set():
            h.wfile.write(b"a" * 4096)

    def huge(self, h, good):
        self.head(h, 10 << 20)
        h.wfile.write(b"[" + b"1," * ((10 << 19) - 1) + b"1]"[:1])

    def early(self, h, good):
        self.head(h, len(good))
        h.wfile.write(good[:20])
        h.wfile.flush()
        h.connection.shutdown(socket.SHUT_RDWR)

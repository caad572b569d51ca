"""A TCP proxy whose network can be broken: one peer's connections, under the control of a word.

pass      carries everything
stall     accepts and carries nothing; what was sent waits
oneway    carries only what the client sends
trickle   one byte every 20 ms in each direction
cut       resets every connection and every new one at once
garbage   carries the server's bytes inverted
"""
import socket
import struct
import threading
import time


class Proxy:
    """Listens on a free port of 127.0.0.1 and speaks to target_port there. Set .mode."""

    def __init__(self, target_port):
        self.target_port = target_port
        self._mode = "pass"
        self._live = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self._listener.getsockname()[1]
        self.carried = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def mode(self):
        return self._mode

    @mode.setter
    def mode(self, word):
        self._mode = word
        if word == "cut":
            with self._lock:
                live, self._live = self._live, set()
            for s in live:
                _reset(s)

    def close(self):
        self.mode = "cut"
        _reset(self._listener)

    def _accept(self):
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._join, args=(client,), daemon=True).start()

    def _join(self, client):
        if self._mode == "cut":
            _reset(client)
            return
        try:
            server = socket.create_connection(("127.0.0.1", self.target_port), 5)
            server.settimeout(None)
        except OSError:
            _reset(client)
            return
        with self._lock:
            self._live |= {client, server}
        threading.Thread(target=self._pump, args=(client, server, True), daemon=True).start()
        self._pump(server, client, False)

    def _held(self, up):
        return self._mode == "stall" or (self._mode == "oneway" and not up)

    def _send(self, to, data, up):
        while data:
            while self._held(up):
                time.sleep(0.02)
            n = 1 if self._mode == "trickle" else len(data)
            part = data[:n]
            if self._mode == "garbage" and not up:
                part = bytes(b ^ 0xFF for b in part)
            to.sendall(part)
            self.carried += n
            data = data[n:]
            if self._mode == "trickle":
                time.sleep(0.02)

    def _pump(self, source, to, up):
        try:
            while True:
                data = source.recv(65536)
                if not data:
                    break
                self._send(to, data, up)
        except OSError:
            pass
        try:
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        with self._lock:
            self._live.discard(source)


def _reset(s):
    """Closes with RST, as a peer that is gone answers. Wakes who waits on it."""
    try:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    s.close()

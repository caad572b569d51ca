#!/usr/bin/env python3
"""A reverse proxy as one stands before the page: ends TLS, says who was logged in, drops what a browser says of that itself.

    lib_tls_proxy.py DIR TARGET_PORT [SUBJECT]

Makes a key and a certificate in DIR, listens on a free port, writes it into DIR/port (DIR/port-open without SUBJECT).
One request a connection. Standard library only."""
import os
import socket
import ssl
import subprocess
import sys
import threading

OURS = (b"x-auth-subject:", b"x-forwarded-proto:", b"x-forwarded-for:", b"connection:")
HEAD_MAX = 64 << 10


def certificate(where):
    key, cert = os.path.join(where, "proxy.key"), os.path.join(where, "proxy.pem")
    if not os.path.exists(cert):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                        "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
                       check=True, capture_output=True)
    return cert, key


def head_of(client):
    data = b""
    while b"\r\n\r\n" not in data and len(data) < HEAD_MAX:
        more = client.recv(4096)
        if not more:
            return None, b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    return head.split(b"\r\n"), body


def pipe(source, sink):
    while True:
        data = source.recv(65536)
        if not data:
            return
        sink.sendall(data)


def forward(client, target, subject):
    lines, body = head_of(client)
    if not lines:
        return
    length = next((int(x.split(b":")[1]) for x in lines if x.lower().startswith(b"content-length:")), 0)
    kept = [x for x in lines if not x.lower().startswith(OURS)]
    kept += [b"X-Forwarded-Proto: https", b"X-Forwarded-For: 192.0.2.1", b"Connection: close"]
    if subject:
        kept.append(b"X-Auth-Subject: " + subject.encode())
    with socket.create_connection(("127.0.0.1", target)) as server:
        server.sendall(b"\r\n".join(kept) + b"\r\n\r\n")
        while len(body) < length:
            body += client.recv(65536)
        server.sendall(body)
        pipe(server, client)


def serve(context, raw, target, subject):
    try:
        with context.wrap_socket(raw, server_side=True) as client:
            forward(client, target, subject)
    except (OSError, ValueError):
        raw.close()


def main():
    where, target, subject = sys.argv[1], int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else ""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate(where))
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        name = os.path.join(where, "port" if subject else "port-open")
        with open(name + ".new", "w") as f:
            f.write(str(listener.getsockname()[1]))
        os.rename(name + ".new", name)
        while True:
            raw = listener.accept()[0]
            threading.Thread(target=serve, args=(context, raw, target, subject), daemon=True).start()


if __name__ == "__main__":
    main()

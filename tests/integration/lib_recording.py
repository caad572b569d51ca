"""Recordings, read and written by the description in common/recording.h. Shares no code with what it checks."""
import struct

STREAMS = ["RAW", "EVENTS", "STORY", "DEAD"]

_table = []
for _i in range(256):
    _c = _i
    for _ in range(8):
        _c = (_c >> 1) ^ (0x82F63B78 if _c & 1 else 0)
    _table.append(_c)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def write(path, records):
    """records: dicts with stream, seq, stream_ns, time_ms, subject, id, cause, content_type, data."""
    head = b"hbrecord" + struct.pack("<IIqI", 1, 32, 0, 0)
    with open(path, "wb") as f:
        f.write(head + struct.pack("<I", crc32c(head)))
        for r in records:
            texts = [r.get(name, "").encode() + b"\0" for name in ("subject", "id", "cause", "content_type")]
            body = struct.pack("<QqqI4HB3x", r["seq"], r["stream_ns"], r["time_ms"], len(r["data"]),
                               *[len(t) for t in texts], STREAMS.index(r["stream"])) + b"".join(texts) + r["data"]
            length = struct.pack("<I", len(body))
            f.write(length + struct.pack("<I", crc32c(length + body)) + body)


def read(path, check=True):
    """All records; check verifies the sums, which is slow in Python."""
    with open(path, "rb") as f:
        data = f.read()
    magic, version, size, _, _, crc = struct.unpack_from("<8sIIqII", data)
    assert magic == b"hbrecord" and version == 1 and size == 32 and crc == crc32c(data[:28])
    at, out = 32, []
    while at < len(data):
        length, crc = struct.unpack_from("<II", data, at)
        body = data[at + 8:at + 8 + length]
        assert len(body) == length, "torn"
        assert not check or crc == crc32c(data[at:at + 4] + body), "damaged"
        seq, ns, ms, data_len, *texts, stream = struct.unpack_from("<QqqI4HB3x", body)
        r = {"stream": STREAMS[stream], "seq": seq, "stream_ns": ns, "time_ms": ms, "offset": at}
        place = 40
        for name, n in zip(("subject", "id", "cause", "content_type"), texts):
            assert body[place + n - 1] == 0
            r[name] = body[place:place + n - 1].decode()
            place += n
        r["data"] = body[place:]
        assert len(r["data"]) == data_len
        out.append(r)
        at += 8 + length
    return out

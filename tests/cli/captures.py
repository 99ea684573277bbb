"""Captures and record files, made byte by byte: a client that publishes over AMQP 0-9-1."""
import json
import struct
import zlib

START = 1795608000


def frame(kind, channel, payload):
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


def short(s):
    return struct.pack(">B", len(s)) + s.encode()


def long(s):
    return struct.pack(">I", len(s)) + s


def method(channel, cls, num, args=b""):
    return frame(1, channel, struct.pack(">HH", cls, num) + args)


def publish(body):
    head = struct.pack(">HHQH", 60, 0, len(body), 0)
    return (method(1, 60, 40, b"\0\0" + short("orders") + short("order.created") + b"\0") + frame(2, 1, head) +
            b"".join(frame(3, 1, body[i:i + 4000]) for i in range(0, len(body), 4000)))


def conversation(bodies):
    """What each side says in turn: (from the client, bytes)."""
    yield True, b"AMQP\0\0\x09\x01"
    yield False, method(0, 10, 10, b"\0\x09" + long(b"") + long(b"PLAIN") + long(b"en_US"))
    yield True, method(0, 10, 11, long(b"") + short("PLAIN") + long(b"\0guest\0guest") + short("en_US"))
    yield False, method(0, 10, 30, struct.pack(">HIH", 2047, 131072, 60))
    yield True, method(0, 10, 31, struct.pack(">HIH", 2047, 131072, 60)) + method(0, 10, 40, short("/") + b"\0\0")
    yield False, method(0, 10, 41, b"\0")
    yield True, method(1, 20, 10, b"\0")
    yield False, method(1, 20, 11, long(b""))
    for body in bodies:
        yield True, publish(body)


def packet(client, seq, ack, flags, data, port):
    a, b = (b"\x0a\0\0\1", b"\x0a\0\0\2") if client else (b"\x0a\0\0\2", b"\x0a\0\0\1")
    ports = (port, 5672) if client else (5672, port)
    tcp = struct.pack(">HHIIBBHHH", *ports, seq, ack, 0x50, flags, 1000, 0, 0) + data
    return (bytes(12) + b"\x08\0" + struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 1, 0x4000, 64, 6, 0) + a + b + tcp)


def packets_of(bodies, port=40000, turns=None, start=START):
    """(microseconds, packet) of one connection from its SYN on, one each 10 ms."""
    packets = [packet(True, 99, 0, 2, b"", port), packet(False, 499, 100, 0x12, b"", port)]
    pos = {True: 100, False: 500}
    for client, data in turns or conversation(bodies):
        while data:
            packets.append(packet(client, pos[client], pos[not client], 0x18, data[:1400], port))
            pos[client] += len(data[:1400])
            data = data[1400:]
    return [(start * 1000000 + i * 10000, p) for i, p in enumerate(packets)]


def pcap(packets):
    """A file of (microseconds, packet)."""
    return struct.pack("<IHHIIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1) + b"".join(
        struct.pack("<IIII", t // 1000000, t % 1000000, len(p), len(p)) + p for t, p in packets)


def capture(bodies, port=40000, turns=None, drop=None):
    """A pcap of one connection from its SYN on, without packet number `drop`."""
    return pcap([p for i, p in enumerate(packets_of(bodies, port, turns)) if i != drop])


def orders(n, pad=0):
    return [json.dumps({"order": {"id": 4700 + i}, "note": "x" * pad}).encode() for i in range(n)]


# --- record files (user/capture/recfile_wire.h) ---

def text(s):
    return struct.pack("<I", len(s)) + s.encode()


class Recording:
    """Calls of a source, one record each; times are microseconds."""
    def __init__(self, scope="test"):
        body = struct.pack("<q", START * 10**9) + text(scope) + text("testhost")
        self.bytes = b"evtrace\n" + struct.pack("<II", 1, len(body)) + body
        self.bytes += struct.pack("<I", zlib.crc32(self.bytes))

    def record(self, kind, body):
        body = bytes([kind]) + body
        head = struct.pack("<II", len(body), zlib.crc32(body))
        self.bytes += head + struct.pack("<I", zlib.crc32(head)) + body

    def proc(self, pid, comm, service):
        self.record(1, struct.pack("<IIq", pid, 1, START * 10**9) + text(comm) + text("/usr/bin/" + comm) + text(comm) +
                    text(service) + text(""))

    def open(self, id, pid, t, local, remote, role, from_start, pos, family=2, path="", peer=0):
        """local and remote: (address, port); role: 1 client, 2 server; pos: of the next byte written, read."""
        self.record(3, struct.pack("<QIqHQ", id, pid, t * 1000, family, 1) + bytes(local[0]).ljust(16, b"\0") +
                    bytes(remote[0]).ljust(16, b"\0") + struct.pack("<HH", local[1], remote[1]) + text(path) +
                    struct.pack("<QBBQQ", peer, role, from_start, *pos))

    def chunk(self, id, pid, t, direction, pos, data, lost=0):
        self.record(4, struct.pack("<QBQIqIIQ", id, direction, pos, len(data) + lost, t * 1000, pid, pid, 0) + data)

    def close(self, id, t, by_peer=False):
        self.record(5, struct.pack("<QqB", id, t * 1000, by_peer))

    def tick(self, t):
        self.record(7, struct.pack("<q", t * 1000))

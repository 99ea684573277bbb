"""What is between a client and a server and keeps what passes; and fixtures made of it."""
import socket
import struct
import threading
import time


class Passed:
    """What passed, in the order in which it came, of one relay or of several."""

    def __init__(self):
        self.events, self.lock = [], threading.Lock()  # (connection, 0 to the server or 1 to the client, bytes)
        self.n = self.open = 0                         # connections, counted from 1; ways that are open


class Relay:
    """Any number of connections to @upstream; with @passed it keeps what passes with other relays' in one order."""

    def __init__(self, upstream, port=0, passed=None):
        self.passed, self.upstream = passed or Passed(), upstream
        self.events = self.passed.events
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.upstream))
            with self.passed.lock:
                self.passed.n += 1
                self.passed.open += 2
                number = self.passed.n
            for a in ((client, server, 0), (server, client, 1)):
                threading.Thread(target=self.pump, args=(number,) + a, daemon=True).start()

    def pump(self, number, src, dst, way):
        while True:
            try:
                data = src.recv(65536)
            except OSError:
                data = b""
            with self.passed.lock:
                if data:
                    self.events.append((number, way, data))
                else:
                    self.passed.open -= 1
                try:
                    if data:
                        dst.sendall(data)
                    else:
                        dst.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
            if not data:
                return

    def chunks(self):
        """(way, bytes) of one connection, or of all as if they were one."""
        with self.passed.lock:
            return [(way, data) for _, way, data in self.events]

    def sent(self):
        """All that clients sent."""
        return b"".join(data for way, data in self.chunks() if way == 0)

    def settle(self):
        """Everybody has hung up, or nothing has come for a while."""
        last, quiet = -1, 0
        while self.passed.open and quiet < 10:
            quiet = quiet + 1 if len(self.events) == last else 0
            last = len(self.events)
            time.sleep(0.05)


def fnv(body):
    """As fixture.h has it."""
    h = 2166136261
    for b in (body.encode() if isinstance(body, str) else body) or b"":
        h = ((h ^ b) * 16777619) & 0xffffffff
    return h


def write_bin(path, chunks):
    """Of (first byte, bytes)."""
    with open(path, "wb") as f:
        f.write(b"EVTF1\n")
        for first, data in chunks:
            f.write(struct.pack(">BI", first, len(data)) + data)


def write_lines(path, lines):
    with open(path, "w") as f:
        f.write("\n".join(lines) + "\n")


def write_fixture(path, chunks, truth):
    write_bin(path + ".bin", chunks)
    write_lines(path + ".truth", truth)

"""What the tests of evtrace replay to Kafka, Redis and NATS share: a private server behind a relay that keeps what
passes, which becomes a pcap and then a store (evtrace import); and the cases' count."""
import json
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
OUT = os.environ.get("EVTRACE_OUTPUT", os.path.join(ROOT, ".output"))
EVTRACE = os.environ.get("EVTRACE", os.path.join(OUT, "evtrace"))
sys.path[:0] = [os.path.join(ROOT, "tests", "lab"), os.path.join(ROOT, "tests", "proto")]
import servers  # noqa: E402
from relay import Relay  # noqa: E402,F401

passed = failed = 0
tmp = tempfile.mkdtemp(prefix="evtrace-test-")
env = dict(os.environ, LC_ALL="C.UTF-8", TZ="UTC", TERM="dumb", HOME=tmp)
for name in [n for n in env if n.startswith("EVTRACE_")] + ["SUDO_USER", "XDG_CONFIG_HOME"]:
    env.pop(name, None)


def check(name, ok, *shown):
    global passed, failed
    if ok:
        passed += 1
        return
    failed += 1
    print("FAIL %s" % name)
    for s in shown:
        print("    %s" % (s,))


def run(store, *args, **more):
    r = subprocess.run([EVTRACE, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60,
                       stdin=subprocess.DEVNULL, env=dict(env, EVTRACE_STORE=store, **more))
    return r.returncode, r.stdout, r.stderr


def objects(out, kind="replay"):
    return [o for o in map(json.loads, out.splitlines()) if o["type"] == kind]


def rows(store, sql, *args):
    db = sqlite3.connect(os.path.join(store, "catalogue.db"))
    db.row_factory = sqlite3.Row
    found = [dict(r) for r in db.execute(sql, args)]
    db.close()
    return found


def acts(store):
    return rows(store, "SELECT * FROM replay ORDER BY id")


def ids(store, *query):
    """Oldest first."""
    return [o["id"] for o in objects(run(store, "find", "--json", *query)[1], "message")][::-1]


def until(what, ready, seconds=10):
    end = time.monotonic() + seconds
    while True:
        got = ready()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError("%s did not happen within %d s" % (what, seconds))
        time.sleep(0.02)


def pcap(path, port, events):
    """Events of a relay as Ethernet frames of a server at @port; each connection with its own client port."""
    t = time.time() - 60
    seqs = {}
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 262144, 1))

        def packet(sport, dport, seq, ack, flags, data):
            nonlocal t
            t += 0.0005
            tcp = struct.pack(">HHIIBBHHH", sport, dport, seq, ack, 0x50, flags, 65535, 0, 0) + data
            lo = bytes([127, 0, 0, 1])
            ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, lo, lo) + tcp
            frame = b"\0" * 12 + b"\x08\0" + ip
            f.write(struct.pack("<IIII", int(t), int(t % 1 * 1e6), len(frame), len(frame)) + frame)

        for number, way, data in events:
            ends = (40000 + number, port)
            if number not in seqs:
                seqs[number] = [1001, 5001]
                packet(*ends, 1000, 0, 0x02, b"")
                packet(*ends[::-1], 5000, 1001, 0x12, b"")
                packet(*ends, 1001, 5001, 0x10, b"")
            seq = seqs[number]
            for at in range(0, len(data), 60000):
                part = data[at:at + 60000]
                packet(*(ends if way == 0 else ends[::-1]), seq[way], seq[1 - way], 0x18, part)
                seq[way] += len(part)


class Stores:
    """Stores of one recording."""

    def __init__(self, port, relay):
        relay.settle()
        self.file, self.n = os.path.join(tmp, "recorded.pcap"), 0
        pcap(self.file, port, list(relay.events))

    def new(self, *options):
        self.n += 1
        s = os.path.join(tmp, "store%d" % self.n)
        self.more(s, self.file, *options)
        return s

    def more(self, store, file, *options):
        code, out, err = run(store, "import", *options, file)
        if code:
            raise AssertionError("import: %d %s %s" % (code, out, err))


def secret_file(name, text, mode=0o600):
    path = os.path.join(tmp, name)
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)
    return path


def skip(why):
    print("skipped: %s" % why)
    shutil.rmtree(tmp, ignore_errors=True)
    sys.exit(77)


def main(server, lab, tests):
    """Starts @server, runs lab(server) for what tests take, and those."""
    why = server.missing()
    if why:
        skip(why)
    try:
        try:
            server.start()
        except servers.Missing as e:
            skip(e)
        l = lab(server)
        for name, fn in tests:
            fn(l)
    finally:
        server.stop()
        shutil.rmtree(tmp, ignore_errors=True)
    print("cases: %d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


def directory(name):
    return os.path.join(tmp, name)

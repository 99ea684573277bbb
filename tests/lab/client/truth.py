"""What the lab's Python clients share: options, message bodies, and the log of what they truly did, one JSON object a
line (the clients in other languages write the same):

  op        send, recv, settle; hold: what stands before was not watched
  pid       of the client
  dest, rk  topic and partition; stream, list or channel; subject
  queue     "TOPIC/GROUP", a list, a JetStream consumer
  log, mid  the broker's own name for the message, as the client library tells it
  key, headers ([[name, value], ...]), size, crc (CRC-32 of the body), head (that of its first MiB, when it is longer)
  how       settle: ack, requeue, reject; "upto": all that come before `mid` in `log`
  tx        send: how its transaction ended
  keyless, tombstone  Kafka: no key, no value, which is not the same as empty ones
  again     recv: not for the first time
"""
import argparse
import json
import os
import sys
import time
import zlib

MIB = 1 << 20
BURST = 20  # a Kafka producer that held goes on in bursts, so that there is more than one fetch


def parser(*commands):
    p = argparse.ArgumentParser()
    p.add_argument("command", choices=commands)
    p.add_argument("--server", required=True, help="HOST:PORT")
    p.add_argument("--log", required=True)
    p.add_argument("--dest", default="lab", help="topic, stream, list, channel or subject")
    p.add_argument("--group", default="")
    p.add_argument("--n", type=int, default=10, help="how many messages")
    p.add_argument("--sizes", default="64", help="of bodies, in turn")
    p.add_argument("--prefix", default="m", help="of what names a message in its body")
    p.add_argument("--partitions", type=int, default=1)
    p.add_argument("--codec", default="none")
    p.add_argument("--plain", action="store_true", help="no keys, no headers")
    p.add_argument("--tx", default="", help="end of the transaction of every ten messages, in turn: commit,abort")
    p.add_argument("--settle", default="ack", help="ack, none, or how the first delivery ends: nack, term, …")
    p.add_argument("--hold", default="", help="directory: wait for its file go after --warm messages")
    p.add_argument("--warm", type=int, default=0)
    p.add_argument("--ready", default="", help="file to make when subscribed")
    p.add_argument("--mode", default="")
    p.add_argument("--patience", type=float, default=30)
    return p


def body(prefix, i, size):
    """@size bytes: JSON when there is room, its own number at least."""
    text = '{"n":"%s-%d","order":{"id":%d},"pad":"' % (prefix, i, 4000 + i)
    if size >= len(text) + 2:
        return (text + "x" * (size - len(text) - 2) + '"}').encode()
    return ("%s-%d" % (prefix, i)).encode()[:size] if size else b""


class Truth:
    def __init__(self, args):
        self.args, self.file, self.end = args, open(args.log, "w", buffering=1), time.monotonic() + args.patience
        self.sizes = [int(s) for s in args.sizes.split(",")]

    def body(self, i):
        return body(self.args.prefix, i, self.sizes[i % len(self.sizes)])

    def key(self, i):
        return None if self.args.plain else "k%d" % (i % 7)

    def headers(self, i):
        return [] if self.args.plain else [["n", "%s-%d" % (self.args.prefix, i)], ["kind", "lab grün"]]

    def write(self, op, **fields):
        fields = {k: v for k, v in fields.items() if v is not None}
        self.file.write(json.dumps(dict(fields, op=op, pid=os.getpid())) + "\n")

    def message(self, op, data, **fields):
        data = data or b""
        if len(data) > MIB:
            fields["head"] = zlib.crc32(data[:MIB])
        self.write(op, size=len(data), crc=zlib.crc32(data), **fields)

    def hold(self):
        if self.args.hold:
            self.write("hold")
            open(os.path.join(self.args.hold, "held.%d" % os.getpid()), "w").close()
            while not os.path.exists(os.path.join(self.args.hold, "go")):
                self.in_time("go")
                time.sleep(0.01)

    def pause(self, i):
        if i == self.args.warm:
            self.hold()
        else:
            time.sleep(0.2)

    def ready(self):
        if self.args.ready:
            open(self.args.ready, "w").close()

    def late(self):
        return time.monotonic() > self.end

    def in_time(self, what):
        if self.late():
            sys.exit("%s: not within %g s" % (what, self.args.patience))

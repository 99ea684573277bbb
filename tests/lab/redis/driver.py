"""An ordinary client of Redis, on redis-py. Run by the interpreter of tests/lab/fetch's `python`. What it writes down:
client/truth.py; an entry of a stream is its fields, written as its headers.

--mode: stream, list, channel, shard (sharded channel); consuming also move (a list, into GROUP), pattern, claim (what
another member of the group left pending), read (a stream without a group); producing also "in flight" (of a stream). --resp 3: in RESP3.
"""
import os
import sys


sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "client"))
import redis  # noqa: E402
import truth  # noqa: E402

PIPELINED = 10


def send(r, t, a, i):
    """Queues the command of message @i on the pipeline @r; what to write down when it was answered."""
    data = t.body(i)
    if a.mode == "stream":
        fields = t.headers(i) + [["body", data.decode()]]
        r.xadd(a.dest, dict(fields))
        return lambda mid, tx: t.message("send", data, dest=a.dest, log=a.dest, mid=mid and mid.decode(), fields=fields, tx=tx)
    if a.mode == "list":
        (r.lpush if i % 2 else r.rpush)(a.dest, data)
        return lambda _, tx: t.message("send", data, dest="", rk=a.dest, tx=tx)
    (r.publish if a.mode == "channel" else lambda c, b: r.execute_command("SPUBLISH", c, b))(a.dest, data)
    return lambda _, tx: t.message("send", data, dest=a.dest, tx=tx)


def produce(r, t, a):
    """PIPELINED commands at a time; with --tx each such group is a transaction."""
    ends, other = a.tx.split(","), connect(a)
    for first in range(0, a.n, PIPELINED):
        if a.hold and first <= a.warm < first + PIPELINED:
            t.hold()
        end = ends[first // PIPELINED % len(ends)] or None
        with r.pipeline(transaction=bool(end)) as p:
            if end:
                p.watch("lab:watched")
                p.multi()
            written = [send(p, t, a, i) for i in range(first, min(first + PIPELINED, a.n))]
            if end == "abort":
                other.incr("lab:watched")  # by another connection: EXEC is refused
            try:
                answers = p.execute()
            except redis.WatchError:
                answers = [None] * len(written)
            for write, answer in zip(written, answers):
                write(answer, end)


def in_flight(r, t, a):
    """The first --warm commands are on their way, behind one that waits in the server, when the hold begins; the others
    are sent before the first of them is answered. The last --calm are sent one after the other is answered; with a single one nobody can tell the others' ids."""
    c = r.connection_pool.get_connection()
    c.send_command("BLPOP", "lab:nobody", a.wait)
    for i in range(a.n):
        if i == a.warm:
            t.hold()
        fields = t.headers(i) + [["body", t.body(i).decode()]]
        c.send_command("XADD", a.dest, "*", *[x for f in fields for x in f])
        if i >= a.n - a.calm:
            if i == a.n - a.calm:
                c.read_response()
                mids = [c.read_response() for _ in range(i)]
            mids.append(c.read_response())
    for i, mid in enumerate(mids):
        if i == a.warm:
            t.write("hold")
        fields = t.headers(i) + [["body", t.body(i).decode()]]
        t.message("send", t.body(i), dest=a.dest, log=a.dest, mid=mid.decode() if a.calm > 1 else None, fields=fields)


def entry(t, a, mid, fields, again=None):
    fields = [[k.decode(), v.decode()] for k, v in fields.items()]
    data = dict(fields).get("body", "").encode()
    t.message("recv", data, dest=a.dest, log=a.dest, mid=mid.decode(), fields=fields, again=again,
              queue=a.dest + "/" + a.group if a.group else None)


def group_of(r, a):
    try:
        r.xgroup_create(a.dest, a.group, "0", mkstream=True)
    except redis.ResponseError as e:
        if "BUSYGROUP" not in str(e):
            raise


def flat(answer):
    """The entries of XREAD and XREADGROUP, whose shape differs between RESP2 and RESP3."""
    streams = list(answer.items()) if isinstance(answer, dict) else answer or []
    for _, entries in streams:
        for e in entries:
            if isinstance(e, list) and e and isinstance(e[0], (list, tuple)):
                yield from e
            else:
                yield e


def acknowledge(r, t, a, mids):
    if a.settle == "ack" and a.group and mids:
        r.xack(a.dest, a.group, *mids)
        for mid in mids:
            t.write("settle", how="ack", queue=a.dest + "/" + a.group, log=a.dest, mid=mid.decode())


def consume_stream(r, t, a):
    n, last = 0, "0"
    if a.group:
        group_of(r, a)
    t.ready()
    while n < a.n and not t.late():
        if a.mode == "claim":
            entries = r.xautoclaim(a.dest, a.group, "rescuer", 0, count=10)[1]
        elif a.group:
            entries = flat(r.xreadgroup(a.group, "member-%d" % os.getpid(), {a.dest: ">"}, count=7, block=200))
        else:
            entries = flat(r.xread({a.dest: last}, count=7, block=200))
        mids = []
        for mid, fields in entries:
            entry(t, a, mid, fields, again=a.mode == "claim" or None)
            mids.append(mid)
            last = mid
        n += len(mids)
        acknowledge(r, t, a, mids)
    return n


def consume_list(r, t, a):
    t.ready()
    for n in range(a.n):
        if t.late():
            return n
        if a.mode == "move":
            data = r.blmove(a.dest, a.group, a.patience, "RIGHT", "LEFT")
        else:
            got = (r.blpop if n % 2 else r.brpop)([a.dest], a.patience)
            data = got and got[1]
        if data is None:
            return n
        t.message("recv", data, dest="", rk=a.dest, queue=a.dest)
        if a.mode == "move":
            r.lrem(a.group, 1, data)
            t.write("settle", how="ack", queue=a.group)
    return a.n


def consume_channel(r, t, a):
    p, n = r.pubsub(), 0
    {"channel": p.subscribe, "pattern": p.psubscribe, "shard": p.ssubscribe}[a.mode](a.dest)
    while n < a.n and not t.late():
        m = (p.get_sharded_message if a.mode == "shard" else p.get_message)(timeout=0.2)
        if not m:
            continue
        if m["type"].endswith("subscribe"):
            t.ready()
        elif m["type"].endswith("message"):
            n += 1
            t.message("recv", m["data"], dest=m["channel"].decode())
    return n


def connect(a):
    host, port = a.server.rsplit(":", 1)
    return redis.Redis(host, int(port), protocol=a.resp)


def main():
    p = truth.parser("produce", "consume")
    p.add_argument("--resp", type=int, default=2)
    p.add_argument("--wait", type=int, default=4, help="in flight: seconds of the command that waits")
    p.add_argument("--calm", type=int, default=5)
    a = p.parse_args()
    t = truth.Truth(a)
    r = connect(a)
    if a.command == "produce":
        (in_flight if a.mode == "in flight" else produce)(r, t, a)
        return
    n = {"stream": consume_stream, "read": consume_stream, "claim": consume_stream, "list": consume_list,
         "move": consume_list}.get(a.mode, consume_channel)(r, t, a)
    if n < a.n:
        sys.exit("consume: only %d of %d came in %g s" % (n, a.n, a.patience))


if __name__ == "__main__":
    main()

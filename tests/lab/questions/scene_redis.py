"""Redis: streams with groups, lists, channels, transactions."""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import redis  # noqa: E402
from scene import SERVER, linger, mark, name_of, note, order, run, wait_for  # noqa: E402


def connect():
    host, port = SERVER.split(":")
    return redis.Redis(host, int(port))


def add(r, stream, name, number=0, **more):
    mid = r.xadd(stream, dict({"data": order(name, number)}, **more))
    note(name, mid=mid.decode(), log=stream)
    return mid


def shop():
    r = connect()
    r.xgroup_create("orders", "billing", id="$", mkstream=True)
    r.xgroup_create("orders", "audit", id="0")
    add(r, "orders", "settled", 4711, type="order.created")
    for i, name in enumerate(("held-alive", "held-dead", "claimed", "claimed-open", "waiting-1", "waiting-2", "waiting-3")):
        add(r, "orders", name, 4712 + i)
    r.xdel("orders", add(r, "orders", "deleted", 4801))
    add(r, "trimmed", "trimmed", 4802)
    add(r, "trimmed", "kept", 4803)
    r.xtrim("trimmed", maxlen=1, approximate=False)
    add(r, "lonely", "lonely", 4804)
    for name in ("job-done", "job-failed"):
        r.lpush("jobs", order(name))
    r.lpush("later", order("job-first"))
    r.lpush("later", order("job-second"))
    with r.pipeline(transaction=True) as p:
        p.watch("guard")
        p.multi()
        p.xadd("orders", {"data": order("aborted", 4805)})
        connect().set("guard", "changed")
        try:
            p.execute()
        except redis.WatchError:
            note("aborted")
    try:
        r.lpush("orders", order("wrong-type"))
    except redis.ResponseError:
        note("wrong-type")
    r.publish("news", order("heard"))
    r.publish("silence", order("unheard"))


def take(r, who, n=1):
    return [(mid, fields) for mid, fields in r.xreadgroup("billing", who, {"orders": ">"}, count=n)[0][1]]


def billing():
    r = connect()
    (mid, fields), = take(r, "b1")
    add(r, "invoices", "invoice", 4711, type="invoice.created")
    r.xack("orders", "billing", mid)


def holder():
    r = connect()
    take(r, "b2")
    mark("held")
    wait_for("end")


def dier():
    take(connect(), "b3")


def loser():
    take(connect(), "b4", 2)


def claimer():
    r = connect()
    pending = r.xpending_range("orders", "billing", "-", "+", 10, consumername="b4")
    got = r.xclaim("orders", "billing", "b5", 0, [p["message_id"] for p in pending])
    for mid, fields in got:
        if name_of(fields[b"data"]) == "claimed":
            r.xack("orders", "billing", mid)


def worker():
    r = connect()
    r.brpop("jobs", 5)
    job = r.brpoplpush("jobs", "jobs:busy", 5)
    with r.pipeline(transaction=True) as p:
        p.lrem("jobs:busy", 1, job)
        p.lpush("jobs:failed", job)
        p.execute()


def listener(number):
    r = connect()
    with r.pubsub() as p:
        p.subscribe("news")
        p.get_message(timeout=5)
        mark("listens.%d" % number)
        while True:
            m = p.get_message(timeout=10)
            if m is None or m["type"] == "message":
                break


def late():
    """It read, and waits in the group, long before anybody looked."""
    r = connect()
    r.xgroup_create("old", "elders", id="0", mkstream=True)
    add(r, "old", "before", 1)
    r.xreadgroup("elders", "e1", {"old": ">"})
    mark("ready")
    wait_for("go")
    add(r, "old", "late-settled", 2)
    add(r, "old", "late-held", 3)
    (mid, _), _ = r.xreadgroup("elders", "e1", {"old": ">"}, count=2)[0][1]
    r.xack("old", "elders", mid)
    add(r, "old", "late-waiting", 4)
    linger()


run({"late": late, "shop": shop, "billing": billing, "holder": holder, "dier": dier, "loser": loser, "claimer": claimer,
     "worker": worker, "desk": lambda: listener(1), "archive": lambda: listener(2)})

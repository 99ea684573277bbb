"""What JetStream has beyond publishing and consuming, one scenario a run (--mode), on nats-py and requests of its own where
that has no function. Run by the interpreter of tests/lab/fetch's `python`. What it writes down: client/truth.py.
"""
import asyncio
import json
import os
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "client"))
import driver  # noqa: E402
import nats  # noqa: E402
import truth  # noqa: E402

NS = 10**9


class Lab:
    def __init__(self, nc, t):
        self.nc, self.t, self.js = nc, t, nc.jetstream(timeout=10)

    async def api(self, call, body=None):
        m = await self.nc.request("$JS.API." + call, json.dumps(body).encode() if body is not None else b"", timeout=10)
        answer = json.loads(m.data)
        assert "error" not in answer, (call, answer)
        return answer

    async def stream(self, name, *subjects, **config):
        await self.api("STREAM.CREATE." + name, dict({"name": name, "subjects": subjects, "storage": "memory",
                                                      "retention": "limits", "num_replicas": 1}, **config))

    async def consumer(self, stream, name, **config):
        await self.api("CONSUMER.DURABLE.CREATE.%s.%s" % (stream, name), {"stream_name": stream, "config": dict(
            {"durable_name": name, "ack_policy": "explicit", "deliver_policy": "all"}, **config)})
        return await self.js.pull_subscribe_bind(name, stream)

    def sent(self, subject, data, headers=None, **said):
        self.t.message("send", data, dest=subject, headers=[[k, v] for k, v in (headers or {}).items()], **said)

    async def keep(self, subject, data, headers=None):
        """Into a stream."""
        ack = await self.js.publish(subject, data, headers=headers)
        self.sent(subject, data, headers, log=ack.stream, mid=None if ack.duplicate else str(ack.seq))
        return ack

    async def take(self, sub, n, *hows, settle=True):
        """@n deliveries, each settled as one of @hows says."""
        got = []
        while len(got) < n:
            for m in await sub.fetch(n - len(got), timeout=5):
                driver.received(self.t, None, m, True)
                if settle:
                    await self.settle(m, (hows or ("ack",))[len(got) % max(len(hows), 1)])
                got.append(m)
        return got

    async def settle(self, m, how):
        d = m.metadata
        if how == "sync":
            await m.ack_sync()
        else:
            await self.nc.publish(m.reply, {"ack": b"+ACK", "old": b"+OK", "nak": b"-NAK", "later": b'-NAK {"delay": 200000000}',
                                            "wpi": b"+WPI", "term": b"+TERM", "why": b"+TERM no such order"}[how])
        if how != "wpi":
            self.t.write("settle", how={"nak": "requeue", "later": "requeue", "term": "reject", "why": "reject"}.get(how, "ack"),
                         queue=d.stream + "/" + d.consumer, log=d.stream, mid=str(d.sequence.stream))

    def heard(self, m, group=None):
        self.t.message("recv", m.data, dest=m.subject, headers=driver.headers_of(m), queue=group)


async def settling(l):
    """Each way to settle, the count of deliveries, what is given up, advisories, +NXT, a duplicate."""
    told = await l.nc.subscribe("$JS.EVENT.ADVISORY.CONSUMER.*.>")
    await l.stream("SET", "set.*")
    sub = await l.consumer("SET", "c", max_deliver=3, ack_wait=20 * NS)
    for i in range(10):
        await l.keep("set.%d" % (i % 3), b"settled %d" % i, {"Nats-Msg-Id": "id-%d" % i})
    dup = await l.keep("set.0", b"settled 0", {"Nats-Msg-Id": "id-0"})
    assert dup.duplicate
    first = await l.take(sub, 10, "ack", "old", "nak", "later", "term", "why", "sync", "nak")  # two more: ack, old
    assert [m.metadata.num_delivered for m in first] == [1] * 10
    # 3, 8 and, later, 4: a second time, and for the last time: given up
    for m in await l.take(sub, 6, "nak"):
        if m.metadata.num_delivered == 3:
            l.t.write("settle", how="reject", queue="SET/c", log="SET", mid=str(m.metadata.sequence.stream))
    for i in range(3):
        await l.keep("set.x", b"next %d" % i)
    (m,) = await l.take(sub, 1, settle=False)
    inbox = l.nc.new_inbox()
    more = await l.nc.subscribe(inbox)
    await l.nc.publish(m.reply, b'+NXT {"batch": 2, "no_wait": true}', reply=inbox)
    l.t.write("settle", how="ack", queue="SET/c", log="SET", mid=str(m.metadata.sequence.stream))
    for _ in range(2):
        m = await more.next_msg(5)
        driver.received(l.t, None, m, True)
        await l.settle(m, "sync")
    missing = {"MAX_DELIVERIES", "MSG_TERMINATED", "MSG_NAKED"}
    while missing:
        missing.discard((await told.next_msg(5)).subject.split(".")[4])


async def polls(l):
    """Answers to a pull that are no messages: 404, 408, 100, 409."""
    await l.stream("POLLS", "polls")
    await l.consumer("POLLS", "c")
    inbox = l.nc.new_inbox()
    sub = await l.nc.subscribe(inbox)
    await l.keep("polls", b"x" * 500)
    seen = set()
    for body in ({"batch": 1, "expires": NS, "max_bytes": 100}, {"batch": 2, "no_wait": True}, {"batch": 1, "no_wait": True},
                 {"batch": 1, "expires": NS // 5}, {"batch": 1, "expires": NS, "idle_heartbeat": NS // 5}):
        await l.nc.publish("$JS.API.CONSUMER.MSG.NEXT.POLLS.c", json.dumps(body).encode(), reply=inbox)
        while True:
            m = await sub.next_msg(5)
            if m.reply:
                driver.received(l.t, None, m, True)
                await l.settle(m, "sync")
                continue
            seen.add(m.headers["Status"])
            if m.headers["Status"] != "100":
                break
    assert seen == {"404", "408", "409", "100"}, seen


async def ordered(l):
    await l.stream("ORD", "ord.*")
    for i in range(20):
        await l.keep("ord.%d" % (i % 3), b"in order %d" % i)
    sub = await l.js.subscribe("ord.*", ordered_consumer=True)
    for i in range(20):
        m = await sub.next_msg(5)
        driver.received(l.t, None, m, True)
        l.t.write("settle", how="auto", queue="ORD/" + m.metadata.consumer, log="ORD", mid=str(i + 1))


async def buckets(l):
    """Key-value and object store: streams, both."""
    kv = await l.js.create_key_value(bucket="prices", history=3)
    for i, price in enumerate((b"1.20", b"1.30")):
        rev = await kv.put("apple", price)
        l.sent("$KV.prices.apple", price, log="KV_prices", mid=str(rev))
    watcher = await kv.watch("apple")
    await kv.delete("apple")
    l.sent("$KV.prices.apple", b"", {"KV-Operation": "DEL"}, log="KV_prices", mid="3")
    for seq, data, headers in (("2", b"1.30", []), ("3", b"", [["KV-Operation", "DEL"]])):
        while not await watcher.updates(timeout=5):  # None: what was there has been told
            pass
        consumer = (await watcher._sub.consumer_info()).name
        l.t.message("recv", data, dest="$KV.prices.apple", headers=headers, queue="KV_prices/" + consumer, log="KV_prices", mid=seq)
    await watcher.stop()


async def limits(l):
    """What streams do with what they do not want to keep, and what is taken out of them."""
    for name, retention in (("WORK", "workqueue"), ("WANTED", "interest")):
        await l.stream(name, name.lower(), retention=retention)
        sub = await l.consumer(name, "c")
        for i in range(4):
            await l.keep(name.lower(), b"%s %d" % (name.encode(), i))
        await l.take(sub, 3, "sync")
    await l.stream("FULL", "full", max_msgs=2, discard="new")
    for i in range(2):
        await l.keep("full", b"full %d" % i)
    try:
        await l.js.publish("full", b"too much")
    except nats.js.errors.APIError:
        l.sent("full", b"too much")
    await l.stream("OLD", "old.*", max_msgs=4)
    await l.consumer("OLD", "c")
    for i in range(6):
        await l.keep("old.%d" % (i % 2), b"old %d" % i)
    await l.api("STREAM.INFO.OLD")                     # the first two are gone
    await l.api("STREAM.PURGE.OLD", {"filter": "old.1"})  # 4 and 6
    await l.api("STREAM.MSG.DELETE.OLD", {"seq": 3})   # which leaves 5


async def copies(l):
    """Mirrors, sources, republishing: what the server makes out of what it got."""
    await l.stream("SRC", "src.>", republish={"src": "src.>", "dest": "again.>"})
    await l.stream("MIRROR", mirror={"name": "SRC"})
    await l.stream("SOURCED", sources=[{"name": "SRC", "filter_subject": "src.a"}])
    again = await l.nc.subscribe("again.>")
    for s in ("src.a", "src.b"):
        await l.keep(s, b"copied from " + s.encode(), {"x": s})
    for name, n in (("MIRROR", 2), ("SOURCED", 1)):
        await l.take(await l.consumer(name, "c"), n)
    for _ in range(2):
        l.heard(await again.next_msg(5))


async def wire(l):
    """By hand, as no library would write it: verbose, any bytes, nothing at all, what the server does not know."""
    host, port = l.t.args.server.split(":")
    r, w = await asyncio.open_connection(host, int(port))
    assert (await r.readline()).startswith(b"INFO ")
    w.write(b'CONNECT {"verbose":true,"pedantic":false,"headers":true,"no_responders":true,"lang":"hand","version":"1"}\r\n')

    async def until(word):
        seen = b""
        while word not in seen:
            more = await asyncio.wait_for(r.read(65536), 5)
            assert more, seen
            seen += more
        return seen

    w.write(b"SUB wire.> 7\r\nPING\r\n")
    await until(b"PONG\r\n")
    twice = [["A", "1"], ["A", "2"], ["b", "x:y"], ["none", ""]]
    block = b"NATS/1.0\r\nA: 1\r\nA: 2\r\nb:x:y\r\nnone:\r\n\r\n"
    for i, (line, headers, body) in enumerate((
            (b"PUB wire.%d %d", [], b""), (b"pub \t wire.%d  %d ", [], b"\r\n\r\n"), (b"PUB wire.%d %d", [], bytes(range(256))),
            (b"PUB wire.%d %d", [], b"MSG wire.0 7 2\r\nhi\r\n+OK\r\nPUB wire.0 1\r\nx\r\n"), (b"HPUB wire.%d %d %d", twice, b""),
            (b"HPUB wire.%d %d %d", twice, b"NATS/1.0\r\n\r\n"), (b"PUB wire.%d %d", [], b"+ACK"))):
        sizes = (i, len(block), len(block) + len(body)) if headers else (i, len(body))
        w.write(line % sizes + b"\r\n" + (block if headers else b"") + body + b"\r\n")
        l.t.message("send", body, dest="wire.%d" % i, headers=headers)
        l.t.message("recv", body, dest="wire.%d" % i, headers=headers)
    w.write(b"SUB _INBOX.hand 8\r\nPUB nobody.at.home _INBOX.hand 1\r\n?\r\nPING\r\n")
    l.t.message("send", b"?", dest="nobody.at.home", headers=[], tx="abort")
    assert b" 503" in await until(b"PONG\r\n")
    w.write(b"NONSENSE\r\n")
    assert b"Unknown Protocol Operation" in await until(b"\r\n")
    w.close()


# --- of newer servers ---

async def filters(l):
    await l.stream("FILTERED", "f.>")
    sub = await l.consumer("FILTERED", "two", filter_subjects=["f.a.*", "f.b"])
    for s in ("f.a.1", "f.b", "f.c", "f.a.2"):
        await l.keep(s, b"to " + s.encode())
    await l.take(sub, 2)  # f.a.2 waits, f.c is not for it


def part(batch, i, **more):
    return dict({"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(i)}, **more)


async def batch(l, name, first, n, end=None, **more):
    for i in range(1, n + 1):
        h = part(name, i, **({"Nats-Batch-Commit": end} if end and i == n else {}))
        data = b"%s of %s" % (str(i).encode(), name.encode())
        if i < n and i % 2 == 0:
            await l.nc.publish("batch.%d" % i, data, headers=h)
        else:
            m = await l.nc.request("batch.%d" % i, data, headers=h, timeout=10)
            assert bool(m.data) == (i == n and bool(end)), m.data
        if end != "eob" or i < n:
            l.sent("batch.%d" % i, data, h, log="BATCH" if first else None, mid=str(first + i - 1) if first else None, **more)


async def batches(l):
    """All or none; one is committed, one by what is no part of it, one breaks, one is left."""
    told = await l.nc.subscribe("$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.>")
    await l.stream("BATCH", "batch.*", allow_atomic=True)
    await batch(l, "one", 1, 5, "1")
    await batch(l, "left", 0, 2, tx="abort")
    await batch(l, "two", 6, 3, "eob")
    m = await l.nc.request("batch.9", b"a hole before it", headers=part("left", 9), timeout=10)
    assert b"error" in m.data
    l.sent("batch.9", b"a hole before it", part("left", 9), tx="abort")
    await batch(l, "forgotten", 0, 1, tx="abort")
    for _ in range(2):
        await told.next_msg(15)
    sub = await l.consumer("BATCH", "c")
    for m in await sub.fetch(7, timeout=5):
        driver.received(l.t, None, m, True) if m.metadata.sequence.stream < 7 else l.t.message(
            "recv", m.data, dest=m.subject, queue="BATCH/c", log="BATCH", mid="7")  # the server adds a header to the last
        await l.settle(m, "ack")


async def fast(l):
    """A batch that is acknowledged as it goes."""
    await l.stream("FAST", "fast.*", allow_batched=True)
    inbox = l.nc.new_inbox()
    acks = await l.nc.subscribe(inbox + ".>")
    for i in range(1, 8):
        await l.nc.publish("fast.%d" % i, b"fast %d" % i, reply="%s.id.3.fail.%d.%d.$FI" % (
            inbox, i, 0 if i == 1 else 2 if i == 7 else 1))
        l.sent("fast.%d" % i, b"fast %d" % i, log="FAST" if i == 7 else None, mid="7" if i == 7 else None)
    while b"stream" not in (await acks.next_msg(5)).data:
        pass


async def kinds(l):
    """Counters, times to live with markers, transformed subjects, a pause, direct reads."""
    await l.stream("COUNT", "count", allow_msg_counter=True, allow_direct=True)
    for i in range(3):
        m = await l.nc.request("count", b"", headers={"Nats-Incr": "+2"}, timeout=10)
        l.sent("count", b"", {"Nats-Incr": "+2"}, log="COUNT", mid=str(json.loads(m.data)["seq"]))
    for call, body in (("DIRECT.GET.COUNT.count", b""), ("DIRECT.GET.COUNT", b'{"seq":2}'), ("DIRECT.GET.COUNT", b'{"seq":99}')):
        await l.nc.request("$JS.API." + call, body, timeout=10)
    await l.stream("TTL", "ttl", allow_msg_ttl=True, subject_delete_marker_ttl=5 * NS, allow_rollup_hdrs=True)
    await l.keep("ttl", b"dies", {"Nats-TTL": "1s"})
    sub = await l.consumer("TTL", "c")
    (m,) = await sub.fetch(1, timeout=5)
    l.t.message("recv", m.data, dest="ttl", queue="TTL/c", log="TTL", mid="1")  # the server may change its header
    await l.settle(m, "sync")
    await l.take(sub, 1)  # the server's marker that it is gone
    await l.stream("TURNED", "turn.in.*", subject_transform={"src": "turn.in.*", "dest": "turn.out.{{wildcard(1)}}"})
    ack = await l.js.publish("turn.in.a", b"turned")
    l.sent("turn.in.a", b"turned", log=ack.stream, mid=str(ack.seq))
    sub = await l.consumer("TURNED", "c")
    await l.api("CONSUMER.PAUSE.TURNED.c", {"pause_until": "2100-01-01T00:00:00Z"})
    await l.api("CONSUMER.PAUSE.TURNED.c", {})
    (m,) = await sub.fetch(1, timeout=5)
    assert m.subject == "turn.out.a"
    l.t.message("recv", m.data, queue="TURNED/c", log="TURNED", mid="1")
    await l.settle(m, "sync")


async def run(t, a):
    nc = await nats.connect("nats://" + a.server, allow_reconnect=False)
    await globals()[a.mode](Lab(nc, t))
    await nc.flush()
    await nc.close()


if __name__ == "__main__":
    a = truth.parser("produce").parse_args()
    asyncio.run(run(truth.Truth(a), a))

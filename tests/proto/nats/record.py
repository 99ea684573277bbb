#!/usr/bin/python3
"""Makes fixtures/*.bin: real conversations with a private nats-server, both directions in order.

usage: record.py [DIRECTORY]      (default: fixtures/ beside this file)

Needs nats-py (PyPI) and libnats (Debian); with NODE_PATH naming a directory that has the npm package nats also
records record_node.js. NATS_SERVER and SUFFIX record with another server's program, as NAME SUFFIX.bin;
ONLY records one of them.

A fixture is "EVTF1\\n", then records: direction (0 to the server, 1 to the client), length (u32, big-endian),
bytes. Beside each stands NAME.truth: what the client knows that it did and got, one line an operation, in the
words of fixtures.c; the decoder is tested against that, not against what it said once. The client library is
listened to where it sends and gets; what a delivery is, it says itself (Msg.metadata).
"""
import asyncio
import json
import os
import subprocess
import sys
import tempfile

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import api
from nats.js.client import JetStreamContext
from nats.js.manager import JetStreamManager

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [os.path.join(HERE, "../../lab"), os.path.join(HERE, "..")]
import servers  # noqa: E402
from relay import Relay, fnv, write_fixture  # noqa: E402


class Server(servers.Nats):
    @staticmethod
    def binary():
        return os.environ.get("NATS_SERVER") or servers.Nats.binary()

    def prepare(self):
        with open(self.dir + "/nats.conf", "w") as f:
            f.write("""listen: %s
jetstream { store_dir: "%s" }
authorization { users: [ { user: shop, password: hunter2,
  permissions: { publish: { deny: "forbidden" } } } ] }
""" % (self.address, self.dir))


def save(out, name, relay, truth):
    relay.settle()
    write_fixture(os.path.join(out, name + os.environ.get("SUFFIX", "")), relay.chunks(), truth)


def inbox(subject):
    return " exclusive auto-delete" if subject.startswith("_INBOX") else ""


class Notes:
    """What the library does and gets, in the words of fixtures.c."""

    def __init__(self):
        self.lines = []
        self.sends = 0
        self.server_asked = set()  # where the server's own answers come to
        self.acked = set()         # where publish acknowledgements come to
        self.readers = {}          # (stream, consumer) -> sid
        self.subs = {}

    def say(self, fmt, *args):
        self.lines.append(fmt % args)

    def reads(self, sid, stream, consumer):
        if (stream, consumer) not in self.readers:
            self.readers[stream, consumer] = sid
            self.say("SUBSCRIBE log q=%s consumer=%s log=%s", consumer, sid, stream)

    def sent(self, subject, reply, payload):
        if subject.startswith("$JS.") or subject.startswith("$SYS."):
            if reply:
                self.server_asked.add(reply)
            if subject.startswith("$JS.API.CONSUMER.MSG.NEXT."):
                for sid, (s, _) in self.subs.items():
                    if s == reply:
                        self.reads(sid, *subject.split(".")[5:7])
            return
        self.sends += 1
        self.say("SEND channel ex=%s size=%d sum=%08x", subject, len(payload), fnv(payload))

    def got(self, nc, sid, subject, reply, data, status):
        if reply.startswith("$JS.ACK."):
            m = Msg(nc, subject, reply, data).metadata
            self.reads(sid, m.stream, m.consumer)
            self.say("RECEIVE log ex=%s q=%s consumer=%d log=%s mid=%d delivery=%d size=%d sum=%08x%s", subject,
                     m.consumer, sid, m.stream, m.sequence.stream, m.num_delivered, len(data), fnv(data),
                     " redelivered" if m.num_delivered > 1 else "")
        elif not (status or subject in self.server_asked or subject in self.acked or subject.startswith("$JS.")):
            queue = self.subs[sid][1]
            where = "channel ex=%s%s consumer=%d" % (subject, " q=" + queue if queue else "", sid)
            self.say("RECEIVE %s size=%d sum=%08x", where, len(data), fnv(data))
            self.say("SETTLE %s auto", where)

    def subscribed(self, sid, subject, queue):
        self.subs[sid] = (subject, queue)
        self.say("SUBSCRIBE channel ex=%s%s consumer=%d%s", subject, " q=" + queue if queue else "", sid,
                 inbox(subject))

    def unsubscribed(self, sid):
        if sid not in self.subs:
            return
        subject, queue = self.subs.pop(sid)
        self.say("UNSUBSCRIBE channel ex=%s%s consumer=%d%s", subject, " q=" + queue if queue else "", sid,
                 inbox(subject))
        for (stream, consumer), by in list(self.readers.items()):
            if by == sid:
                del self.readers[stream, consumer]
                self.say("UNSUBSCRIBE log q=%s consumer=%d log=%s", consumer, sid, stream)


notes = None


def text(x):
    return x.decode() if isinstance(x, (bytes, bytearray)) else x or ""


def listen():
    """Puts an ear on the library's own functions."""
    def around(cls, name, before=None, after=None):
        inner = getattr(cls, name)

        async def outer(self, *args, **kw):
            if before:
                before(self, *args, **kw)
            result = await inner(self, *args, **kw)
            if after:
                after(self, result, *args, **kw)
            return result
        setattr(cls, name, outer)

    around(Client, "_send_publish", lambda nc, subject, reply, payload, size, headers:
           notes.sent(text(subject), text(reply), payload))
    around(Client, "_send_subscribe", lambda nc, sub: notes.subscribed(sub._id, sub.subject, text(sub._queue)))

    def unsub(nc, sid, limit=0):
        sub = nc._subs.get(sid)
        if not limit or (sub and sub._received >= limit):
            notes.unsubscribed(sid)

    around(Client, "_send_unsubscribe", unsub)
    inner = Client._process_msg

    async def process(nc, sid, subject, reply, data, headers):
        status = bool(headers) and headers[8:9] == b" " and not data
        notes.got(nc, sid, text(subject), text(reply), bytes(data), status)
        sub = nc._subs.get(sid)
        limit = sub._max_msgs if sub else 0
        if limit and sub._received + 1 >= limit:
            notes.unsubscribed(sid)
        await inner(nc, sid, subject, reply, data, headers)

    Client._process_msg = process

    async def publish(js, subject, payload=b"", *args, **kw):
        of = notes.sends + 1
        seen = js._nc._resp_map.copy() if js._nc._resp_map else {}
        task = asyncio.ensure_future(js_publish(js, subject, payload, *args, **kw))
        while not task.done() and not any(k not in seen for k in js._nc._resp_map or {}):
            await asyncio.sleep(0)
        for k in js._nc._resp_map or {}:
            if k not in seen:
                notes.acked.add(text(js._nc._resp_sub_prefix) + text(k))
        try:
            ack = await task
        except nats.js.errors.NoStreamResponseError:
            notes.say("RETURN channel code=503 of=%d", of)
            raise
        except nats.js.errors.APIError as e:
            notes.say("CONFIRM log code=%d of=%d negative", e.err_code, of)
            raise
        notes.say("CONFIRM log log=%s mid=%d%s of=%d", ack.stream, ack.seq, " text=duplicate" if ack.duplicate else "",
                  of)
        return ack

    js_publish = JetStreamContext.publish
    JetStreamContext.publish = publish

    def settled(how):
        def say(msg, *args, **kw):
            m = msg.metadata
            delay = args[0] if args else kw.get("delay")
            notes.say("SETTLE log q=%s log=%s mid=%d delivery=%d %s%s", m.consumer, m.stream, m.sequence.stream,
                      m.num_delivered, how, " text=delay %.1f s" % delay if how == "requeue" and delay else "")
            if how == "requeue":  # the scenario is subscribed to advisories
                notes.say("SETTLE log q=%s log=%s mid=%d delivery=%d requeue by-broker reported", m.consumer,
                          m.stream, m.sequence.stream, m.num_delivered)
        return say

    for name, how in (("ack", "ack"), ("nak", "requeue"), ("in_progress", "progress"), ("term", "reject")):
        around(Msg, name, settled(how))
    around(Msg, "ack_sync", lambda msg, timeout=1: settled("ack")(msg))
    around(JetStreamManager, "add_stream", None, lambda js, info, *a, **kw:
           notes.say("XDECLARE log ex=%s log=%s type=stream", info.config.name, info.config.name))
    around(JetStreamManager, "delete_stream", None, lambda js, ok, name:
           notes.say("XDELETE log ex=%s log=%s type=stream", name, name))
    around(JetStreamManager, "delete_msg", None, lambda js, ok, name, seq:
           notes.say("DELETE log log=%s mid=%d", name, seq))

    def filtered(info):
        c = info.config
        return " ex=" + (c.filter_subject or ">")

    around(JetStreamManager, "add_consumer", None, lambda js, info, stream, *a, **kw:
           notes.say("QDECLARE log%s q=%s log=%s mid=0", filtered(info), info.name, stream))
    around(JetStreamManager, "delete_consumer", None, lambda js, ok, stream, name:
           notes.say("QDELETE log q=%s log=%s", name, stream))


async def core(nc):
    """Queue groups, wildcards, payloads with any bytes, headers, requests, a subscription with a maximum."""
    sub = await nc.subscribe("orders.*")
    group = await nc.subscribe("orders.new", queue="workers")
    await nc.publish("orders.new", b'{"id":4711}')
    bodies = [b"", b"\r\n", b"MSG orders.new 1 2\r\nhi\r\n", bytes(range(256)), b"x" * 7000, b"PING\r\n+OK\r\n"]
    for b in bodies:
        await nc.publish("orders.any", b)
    await nc.publish("orders.new", b"with", headers={"traceparent": "00-aa-bb-01", "Nats-Msg-Id": "m-1"})
    for _ in range(len(bodies) + 2):
        await sub.next_msg(2)
    for _ in range(2):
        await group.next_msg(2)

    async def answer(msg):
        await msg.respond(b"to " + msg.data)
    await nc.subscribe("ask", "helpers", cb=answer)
    assert (await nc.request("ask", b"one", 2)).data == b"to one"
    assert (await nc.request("ask", b"two", 2, old_style=True)).data == b"to two"
    of = notes.sends + 1
    try:
        await nc.request("nobody", b"?", 2)
    except nats.errors.NoRespondersError:
        notes.say("RETURN channel code=503 of=%d", of)
    few = await nc.subscribe("few")
    await few.unsubscribe(2)
    for i in range(3):
        await nc.publish("few", b"%d" % i)
    await nc.flush()
    await group.unsubscribe()
    of = notes.sends + 1
    await nc.publish("forbidden", b"x")
    await nc.flush()
    notes.say("CONFIRM channel ex=forbidden of=%d negative", of)


async def stream(nc):
    """A stream from its making to its end; pulled, pushed, settled in each way, delivered too often."""
    js = nc.jetstream()
    told = await nc.subscribe("$JS.EVENT.ADVISORY.CONSUMER.>")
    await js.add_stream(name="ORDERS", subjects=["orders.>"])
    for i in range(5):
        await js.publish("orders.new", b'{"id":%d}' % (4711 + i), headers={"Nats-Msg-Id": "id-%d" % i})
    await js.publish("orders.new", b"again", headers={"Nats-Msg-Id": "id-1"})
    try:
        await js.publish("orders.new", b"late", headers={"Nats-Expected-Last-Sequence": "2"})
    except nats.js.errors.APIError:
        pass
    try:
        await js.publish("nowhere", b"x", timeout=2)
    except nats.js.errors.NoStreamResponseError:
        pass
    psub = await js.pull_subscribe("orders.new", durable="billing", config=api.ConsumerConfig(
        ack_wait=30, max_deliver=3))
    m = await psub.fetch(5, timeout=2)
    await m[0].ack()
    await m[1].nak()
    await m[2].nak(delay=1)
    await m[3].in_progress()
    await m[3].term()
    notes.say("SETTLE log q=billing log=ORDERS mid=4 delivery=1 reject by-broker reported")
    await m[4].ack_sync()
    for delivery in (2, 3):
        await (await psub.fetch(1, timeout=2))[0].nak()
    await asyncio.sleep(1.2)
    await (await psub.fetch(1, timeout=2))[0].ack()
    try:
        await psub.fetch(1, timeout=0.3)
    except nats.errors.TimeoutError:
        pass
    for seq in (2, 2):  # the third nak says it, and the advisory
        notes.say("SETTLE log q=billing log=ORDERS mid=%d delivery=3 reject text=max deliveries 3 by-broker", seq)
    got = asyncio.Event()

    async def pushed(msg):
        if msg.metadata.sequence.stream == 5:
            got.set()
    push = await js.subscribe("orders.>", "mail", cb=pushed, durable="mail")
    await asyncio.wait_for(got.wait(), 3)
    await asyncio.sleep(0.1)
    await push.unsubscribe()
    ordered = await js.subscribe("orders.>", ordered_consumer=True)
    for i in range(5):
        await ordered.next_msg(2)
        notes.say("SETTLE log q=%s consumer=%d log=ORDERS mid=%d auto", (await ordered.consumer_info()).name,
                  ordered._id, i + 1)
    await ordered.unsubscribe()
    await js.add_consumer("ORDERS", durable_name="all", ack_policy="all")
    psub = await js.pull_subscribe_bind("all", "ORDERS")
    m = await psub.fetch(4, timeout=2)
    await nc.publish(m[3].reply, b"+ACK")
    notes.say("SETTLE log q=all log=ORDERS mid=5 ack up-to")
    assert (await js.get_msg("ORDERS", 3)).seq == 3
    await js.delete_msg("ORDERS", 3)
    await js.purge_stream("ORDERS", seq=3)
    notes.say("DELETE log log=ORDERS mid=3 up-to")
    await js.purge_stream("ORDERS", subject="orders.none")
    notes.say("DELETE log ex=orders.none log=ORDERS mid=6 up-to")
    await js.purge_stream("ORDERS")
    notes.say("DELETE log log=ORDERS mid=6 up-to")
    await js.delete_consumer("ORDERS", "billing")
    notes.say("QDELETE log q=billing log=ORDERS by-broker")
    await told.unsubscribe()
    await js.delete_stream("ORDERS")


async def buckets(nc):
    """A key-value bucket and an object store: streams, both."""
    js = nc.jetstream()
    kv = await js.create_key_value(bucket="prices", history=3)
    await kv.put("apple", b"1.20")
    rev = await kv.put("apple", b"1.30")
    await kv.update("apple", b"1.40", last=rev)
    try:
        await kv.update("apple", b"1.50", last=rev)
    except nats.js.errors.APIError:
        pass
    assert (await kv.get("apple")).value == b"1.40"
    await kv.delete("apple")
    os_ = await js.create_object_store("docs")
    await os_.put("invoice", b"\r\n" * 3000)
    await js.delete_key_value("prices")


async def newer(nc):
    """What came after 2.11: atomic batches (one of them broken), a consumer of several subjects, a mirror, republishing."""
    js = nc.jetstream()

    async def make(name, **config):
        await nc.request("$JS.API.STREAM.CREATE." + name, json.dumps(dict({"name": name}, **config)).encode())
        notes.say("XDECLARE log ex=%s log=%s type=stream", name, name)

    async def part(batch, seq, subject, body, **more):
        before = set(nc._resp_map or ())
        task = asyncio.ensure_future(nc.request(subject, body, headers=dict(
            {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(seq)}, **more)))
        while not task.done() and set(nc._resp_map or ()) == before:
            await asyncio.sleep(0)
        for k in set(nc._resp_map) - before:
            notes.acked.add(text(nc._resp_sub_prefix) + text(k))
        return (await task).data

    again = await nc.subscribe("again.>")
    await make("B", subjects=["b.>"], allow_atomic=True, republish={"src": "b.>", "dest": "again.>"})
    await make("M", mirror={"name": "B"})
    first = notes.sends + 1
    for i in (1, 2, 3):
        await part("one", i, "b.%d" % i, b"part %d" % i, **({"Nats-Batch-Commit": "1"} if i == 3 else {}))
    for i in range(3):
        notes.say("CONFIRM log log=B mid=%d of=%d", i + 1, first + i)
    first = notes.sends + 1
    await part("two", 1, "b.1", b"lost")
    assert b"error" in await part("two", 3, "b.3", b"and broken")
    for i in range(2):
        notes.say("CONFIRM log code=10176 of=%d negative", first + i)
    for _ in range(3):
        await again.next_msg(2)
    for stream, filters in (("B", ["b.1", "b.3"]), ("M", ["b.*"])):
        await nc.request("$JS.API.CONSUMER.DURABLE.CREATE.%s.c" % stream, json.dumps({"stream_name": stream, "config": {
            "durable_name": "c", "ack_policy": "explicit", "deliver_policy": "all", "filter_subjects": filters}}).encode())
        notes.say("QDECLARE log ex=%s q=c log=%s mid=0", " ".join(filters), stream)
        sub = await js.pull_subscribe_bind("c", stream)
        for _ in range(2):
            await (await sub.fetch(1, timeout=2))[0].ack()
    await js.purge_stream("B", subject="b.1")
    notes.say("DELETE log ex=b.1 log=B mid=4 up-to")


SCENARIOS = (core, stream, buckets)


async def record(fn, port, out):
    global notes
    notes = Notes()
    relay = Relay(port)
    nc = await nats.connect("nats://shop:hunter2@127.0.0.1:%d" % relay.port, allow_reconnect=False)
    notes.say("LOGIN text=shop")
    await fn(nc)
    await nc.close()
    save(out, fn.__name__, relay, notes.lines)


async def program(port, out, name, *command):
    """A client that writes its notes itself."""
    relay = Relay(port)
    p = await asyncio.create_subprocess_exec(*command, str(relay.port), stdout=subprocess.PIPE)
    truth, _ = await p.communicate()
    assert p.returncode == 0
    save(out, name, relay, truth.decode().splitlines())


async def node(port, out):
    await program(port, out, "node", "node", os.path.join(HERE, "record_node.js"))


async def libnats(port, out):
    with tempfile.TemporaryDirectory() as d:
        exe = os.path.join(d, "record_libnats")
        subprocess.run(["cc", "-o", exe, os.path.join(HERE, "client/record_libnats.c"), "-lnats"], check=True)
        await program(port, out, "libnats", exe)


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "fixtures")
    listen()
    for fn in SCENARIOS + (libnats,) + ((node,) if "NODE_PATH" in os.environ else ()) + (
            (newer,) if "NATS_SERVER" in os.environ else ()):
        if os.environ.get("ONLY", fn.__name__) != fn.__name__:
            continue
        with tempfile.TemporaryDirectory() as d:
            server = Server(d).start()
            try:
                asyncio.run(record(fn, server.port, out) if fn in SCENARIOS + (newer,) else fn(server.port, out))
            finally:
                server.stop()


if __name__ == "__main__":
    main()

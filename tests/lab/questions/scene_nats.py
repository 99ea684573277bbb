"""NATS: streams with consumers, core subjects with queue groups, requests."""
import asyncio
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import nats  # noqa: E402
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy  # noqa: E402
from scene import SERVER, linger, mark, name_of, note, order, run, wait_for  # noqa: E402


async def connect():
    return await nats.connect("nats://" + SERVER)


async def publish(js, subject, name, number=0, headers=None):
    ack = await js.publish(subject, order(name, number), headers=headers)
    note(name, mid=str(ack.seq), log=ack.stream)
    return ack.seq


async def shop():
    nc = await connect()
    js = nc.jetstream()
    await js.add_stream(name="ORDERS", subjects=["orders.*"])
    await js.add_stream(name="LONELY", subjects=["lonely"])
    await js.add_stream(name="LIMITED", subjects=["limited"], max_msgs=1)
    await js.add_stream(name="INVOICES", subjects=["invoices"])
    # filterless, and one of a part of the stream
    await js.add_consumer("ORDERS", ConsumerConfig(durable_name="billing", ack_wait=120, max_deliver=2, ack_policy=AckPolicy.EXPLICIT))
    await js.add_consumer("ORDERS", ConsumerConfig(durable_name="audit", ack_policy=AckPolicy.EXPLICIT, filter_subject="orders.new"))
    await js.add_consumer("ORDERS", ConsumerConfig(durable_name="odd", ack_policy=AckPolicy.EXPLICIT, filter_subject="orders.other"))
    await publish(js, "orders.new", "settled", 4711, {"tenant": "acme"})
    for i, name in enumerate(("held-alive", "held-dead", "nacked", "refused", "exhausted", "waiting-1", "waiting-2")):
        await publish(js, "orders.new", name, 4712 + i)
    await publish(js, "orders.other", "other", 4720)
    seq = await publish(js, "orders.new", "deleted", 4721)
    await js.delete_msg("ORDERS", seq)
    await publish(js, "lonely", "lonely", 4722)
    for i in range(2):  # the second one has the first one's Nats-Msg-Id
        await js.publish("lonely", order("twice-%d" % i), headers={"Nats-Msg-Id": "twice"})
    await publish(js, "limited", "pushed-out", 4723)
    await publish(js, "limited", "kept", 4724)
    # joins late: what is there before it is for it as well, or not
    await js.add_consumer("ORDERS", ConsumerConfig(durable_name="late-all", ack_policy=AckPolicy.EXPLICIT, deliver_policy=DeliverPolicy.ALL))
    await js.add_consumer("ORDERS", ConsumerConfig(durable_name="late-new", ack_policy=AckPolicy.EXPLICIT, deliver_policy=DeliverPolicy.NEW))
    await js.purge_stream("LIMITED")
    await nc.publish("news", order("heard"))
    await nc.publish("silence", order("unheard"))
    answer = await nc.request("ask.price", order("question", 4730), timeout=10)
    assert answer.data
    await nc.close()


async def pull(nc, n=1):
    js = nc.jetstream()
    return await (await js.pull_subscribe_bind("billing", "ORDERS")).fetch(n, timeout=10)


async def billing():
    nc = await connect()
    m, = await pull(nc)
    await publish(nc.jetstream(), "invoices", "invoice", 4711)
    await m.ack()
    await nc.close()


async def holder():
    nc = await connect()
    await pull(nc)
    mark("held")
    await asyncio.get_running_loop().run_in_executor(None, wait_for, "end")


async def dier():
    await pull(await connect())
    os._exit(0)


async def moody():
    """Hands one back and does it the second time, refuses one for good, hands one back as often as it comes."""
    nc = await connect()
    js = nc.jetstream()
    sub = await js.pull_subscribe_bind("billing", "ORDERS")
    done, again = 0, 0
    while done < 2 or again < 2:
        for m in await sub.fetch(1, timeout=10):
            name = name_of(m.data)
            if name == "refused":
                await m.term()
                done += 1
            elif name == "exhausted":
                await m.nak()
                again += 1
                await asyncio.sleep(0.1)
            elif m.metadata.num_delivered == 1:
                await m.nak()
                await asyncio.sleep(0.1)
            else:
                await m.ack()
                done += 1
    await nc.flush()
    await asyncio.sleep(0.3)
    await nc.close()


async def listener(number):
    nc = await connect()
    sub = await nc.subscribe("news")
    await nc.flush()
    mark("listens.%d" % number)
    await sub.next_msg(20)
    await nc.close()


async def pricer():
    nc = await connect()
    sub = await nc.subscribe("ask.*", queue="pricers")
    await nc.flush()
    mark("answers")
    m = await sub.next_msg(20)
    await m.respond(order("answer", 4730))
    await nc.flush()
    await nc.close()


async def late():
    """Connected and subscribed long before anybody looked."""
    nc = await connect()
    js = nc.jetstream()
    await js.add_stream(name="OLD", subjects=["old"])
    await publish(js, "old", "before", 1)
    sub = await js.pull_subscribe("old", "elders")
    await (await sub.fetch(1))[0].ack()
    mark("ready")
    await asyncio.get_running_loop().run_in_executor(None, wait_for, "go")
    await publish(js, "old", "late-settled", 2)
    await publish(js, "old", "late-held", 3)
    got = await sub.fetch(2, timeout=10)
    await got[0].ack()
    await publish(js, "old", "late-waiting", 4)
    await nc.flush()
    linger()
    os._exit(0)


run({k: lambda f=f: asyncio.run(f()) for k, f in dict(late=late, shop=shop, billing=billing, holder=holder, dier=dier, moody=moody, pricer=pricer,
     desk=lambda: listener(1), archive=lambda: listener(2)).items()})

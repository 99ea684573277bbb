"""An ordinary client of NATS, on nats-py. Run by the interpreter of tests/lab/fetch's `python`. What it writes down:
client/truth.py.

--mode produce: core (publish), js (into a stream, publish acknowledgements awaited ten at a time), request.
--mode consume: core, queue (of the queue group GROUP), reply (answers requests), pull, push (of the consumer GROUP).
--settle: what each first delivery gets in turn (ack, nack, term, progress, none); a second one is acknowledged.
"""
import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "client"))
import nats  # noqa: E402
import nats.js.api  # noqa: E402
import truth  # noqa: E402

WINDOW = 10


def stream_of(subject):
    """lab.orders is kept in LAB_ORDERS."""
    return subject.replace(".", "_").upper()


async def produce(nc, t, a):
    js = nc.jetstream(timeout=20)
    for first in range(0, a.n, WINDOW):
        if a.hold and first <= a.warm < first + WINDOW:
            await nc.flush()
            t.hold()
        await asyncio.gather(*[send(nc, js, t, a, i) for i in range(first, min(first + WINDOW, a.n))])
    await nc.flush()


async def send(nc, js, t, a, i):
    data, headers = t.body(i), t.headers(i)
    with_headers = {k: v for k, v in headers} or None
    said = dict(dest=a.dest, headers=headers)
    if a.mode == "js":
        ack = await js.publish(a.dest, data, headers=with_headers)
        said.update(log=ack.stream, mid=str(ack.seq))
    elif a.mode == "request":
        answer = await nc.request(a.dest, data, timeout=20, headers=with_headers)
        t.message("recv", answer.data, dest=answer.subject, headers=headers_of(answer))
    else:
        await nc.publish(a.dest, data, headers=with_headers)
    t.message("send", data, **said)


def headers_of(m):
    return [[k, v] for k, v in (m.headers or {}).items()]


def received(t, a, m, js):
    fields = dict(dest=m.subject, headers=headers_of(m))
    if js:
        d = m.metadata
        fields.update(queue=d.stream + "/" + d.consumer, log=d.stream, mid=str(d.sequence.stream), again=d.num_delivered > 1 or None)
    elif a.group:
        fields["queue"] = m.subject + "/" + a.group
    t.message("recv", m.data, **fields)


async def settle(t, a, m, i):
    """True when it is done with."""
    hows = a.settle.split(",")
    d = m.metadata
    how = "ack" if d.num_delivered > 1 else hows[i % len(hows)]
    if how == "none":
        return True
    if how == "progress":
        await m.in_progress()
        how = "ack"
    await {"ack": m.ack, "nack": m.nak, "term": m.term, "sync": m.ack_sync}[how]()
    t.write("settle", how={"nack": "requeue", "term": "reject"}.get(how, "ack"), queue=d.stream + "/" + d.consumer,
            log=d.stream, mid=str(d.sequence.stream))
    return how != "nack"


async def consume_js(nc, t, a):
    js = nc.jetstream(timeout=20)
    config = nats.js.api.ConsumerConfig(ack_wait=30)
    if a.mode == "pull":
        sub = await js.pull_subscribe(a.dest, a.group, stream=stream_of(a.dest), config=config)
    else:
        sub = await js.subscribe(a.dest, durable=a.group, stream=stream_of(a.dest), manual_ack=True, config=config)
    t.ready()
    done = n = 0
    while done < a.n and not t.late():
        try:
            got = await sub.fetch(7, timeout=0.5) if a.mode == "pull" else [await sub.next_msg(0.5)]
        except (nats.errors.TimeoutError, asyncio.TimeoutError):
            continue
        for m in got:
            received(t, a, m, True)
            done += await settle(t, a, m, n)
            n += 1
    return done


async def consume_core(nc, t, a):
    sub = await nc.subscribe(a.dest, queue=a.group)
    await nc.flush()
    t.ready()
    n = 0
    while n < a.n and not t.late():
        try:
            m = await sub.next_msg(0.5)
        except nats.errors.TimeoutError:
            continue
        received(t, a, m, False)
        if a.mode == "reply":
            answer = b"answer to " + m.data[:40]
            await m.respond(answer)  # with the request's headers, as this client does
            t.message("send", answer, dest=m.reply, headers=headers_of(m))
        n += 1
    await nc.flush()
    return n


async def run(t, a):
    nc = await nats.connect("nats://" + a.server)
    if a.command == "create":
        await nc.jetstream().add_stream(name=stream_of(a.dest), subjects=[a.dest])
    elif a.command == "produce":
        await produce(nc, t, a)
    else:
        n = await (consume_js if a.mode in ("pull", "push") else consume_core)(nc, t, a)
        if n < a.n:
            sys.exit("consume: only %d of %d in %g s" % (n, a.n, a.patience))
    await nc.close()


def main():
    a = truth.parser("create", "produce", "consume").parse_args()
    asyncio.run(run(truth.Truth(a), a))


if __name__ == "__main__":
    main()

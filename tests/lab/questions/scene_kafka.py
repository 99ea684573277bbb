"""Kafka: groups that commit, lag, die and hand over; a dead letter as Spring sends it; a request; a transaction."""
import os
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from confluent_kafka import Consumer, Producer, TopicPartition  # noqa: E402
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402
from scene import SERVER, linger, mark, name_of, note, order, run, wait_for  # noqa: E402

BASE = {"bootstrap.servers": SERVER}


def delivered(err, m):
    if err:
        sys.exit("%s: %s" % (name_of(m.value()), err))
    note(name_of(m.value()), mid=str(m.offset()), log="%s-%d" % (m.topic(), m.partition()))


def send(p, topic, name, number=0, key=None, partition=0, headers=None):
    p.produce(topic, order(name, number), key, partition, on_delivery=delivered, headers=headers)
    p.flush(20)


def setup():
    a = AdminClient(BASE)
    topics = [NewTopic("orders", 2, 1), NewTopic("narrow", 1, 1, config={"max.message.bytes": "1000"})] + [NewTopic(t, 1, 1) for t in (
        "invoices", "orders-dlt", "lonely", "ask", "answers", "trimmed", "gone", "lazy", "old")]
    for f in a.create_topics(topics).values():
        f.result(20)
    time.sleep(1)  # until all have a leader: what is sent before is refused, and tried again


def shop():
    p = Producer(dict(BASE, **{"client.id": "shop"}))
    send(p, "orders", "settled", 4711, key="acme", headers={"tenant": "acme", "type": "order.created"})
    for i, name in enumerate(("poison", "handed-over", "fetched", "held")):
        send(p, "orders", name, 4712 + i, key="k%d" % i)
    send(p, "orders", "elsewhere", 4720, partition=1)
    send(p, "lonely", "lonely", 4721)
    send(p, "trimmed", "trimmed", 4722)
    send(p, "trimmed", "kept", 4723)
    send(p, "gone", "gone", 4724)
    send(p, "lazy", "lazy", 4725)
    p.produce("narrow", order("too-large", 4728, filling=os.urandom(1500).hex()), partition=0,
              on_delivery=lambda err, m: note("too-large", error=err.name()))
    p.flush(20)
    a = AdminClient(BASE)
    for f in a.delete_records([TopicPartition("trimmed", 0, 1)]).values():
        f.result(20)
    for f in a.delete_topics(["gone"]).values():
        f.result(20)
    t = Producer(dict(BASE, **{"client.id": "till", "transactional.id": "till"}))
    t.init_transactions(20)
    t.begin_transaction()
    t.produce("lonely", order("aborted", 4726), partition=0)
    t.flush(20)
    t.abort_transaction(20)
    t.begin_transaction()
    t.produce("lonely", order("sealed", 4727), partition=0)
    t.commit_transaction(20)


def later():
    p = Producer(dict(BASE, **{"client.id": "shop"}))
    for i, name in enumerate(("waiting-1", "waiting-2", "waiting-3")):
        send(p, "orders", name, 4730 + i, key="late")


def member(group, *topics, **more):
    config = {"group.id": group, "client.id": os.path.basename(sys.argv[0]), "enable.auto.commit": False,
              "auto.offset.reset": "earliest", "session.timeout.ms": 6000, "heartbeat.interval.ms": 500}
    c = Consumer(dict(BASE, **dict(config, **more)))
    c.subscribe(list(topics))
    return c


def next_of(c, partition=0):
    for _ in range(200):
        m = c.poll(0.2)
        if m is not None and not m.error() and m.partition() == partition:
            return m
    sys.exit("%s: no message came" % sys.argv[0])


def billing():
    """Handles the first, sends the second to the dead letters as Spring's recoverer does, and dies with the third."""
    c = member("billing", "orders")
    p = Producer(dict(BASE, **{"client.id": "billing"}))
    m = next_of(c)
    send(p, "invoices", "invoice", 4711)
    c.commit(message=m, asynchronous=False)
    m = next_of(c)
    send(p, "orders-dlt", "poison", 4712, key="k0", headers=[
        ("kafka_dlt-original-topic", b"orders"), ("kafka_dlt-original-partition", struct.pack(">i", m.partition())),
        ("kafka_dlt-original-offset", struct.pack(">q", m.offset())), ("kafka_dlt-original-consumer-group", b"billing"),
        ("kafka_dlt-exception-message", b"no such customer")])
    c.commit(message=m, asynchronous=False)
    next_of(c)
    os._exit(0)


def heir():
    """Takes over what the dead one left, and keeps the one after it."""
    c = member("billing", "orders", **{"max.poll.interval.ms": 60000})
    m = next_of(c)
    c.commit(message=m, asynchronous=False)
    next_of(c)
    mark("held")
    while not os.path.exists(os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), "end")):
        c.poll(0.2)
    os._exit(0)


def lazy():
    """Commits by itself, as the client does by default."""
    c = member("lazy", "lazy", **{"enable.auto.commit": True, "auto.commit.interval.ms": 300})
    next_of(c)
    for _ in range(8):
        c.poll(0.2)
    c.close()


def audit():
    """Reads the first alone."""
    c = member("audit", "orders", **{"max.partition.fetch.bytes": 100, "queued.min.messages": 1})
    m = next_of(c)
    c.commit(message=m, asynchronous=False)
    os._exit(0)


def asker():
    p = Producer(dict(BASE, **{"client.id": "asker"}))
    c = member("asker", "answers")
    p.produce("ask", order("question", 4740), headers=[("kafka_replyTopic", b"answers"), ("kafka_correlationId", b"\x01\x02\x03\x04corr")])
    p.flush(20)
    c.commit(message=next_of(c), asynchronous=False)
    c.close()


def answerer():
    c = member("answerer", "ask")
    p = Producer(dict(BASE, **{"client.id": "answerer"}))
    m = next_of(c)
    p.produce("answers", order("answer", 4741), headers=[("kafka_correlationId", dict(m.headers())["kafka_correlationId"])])
    p.flush(20)
    c.commit(message=m, asynchronous=False)
    c.close()


def late():
    """A member of its group, and reading, long before anybody looked."""
    p = Producer(dict(BASE, **{"client.id": "late"}))
    send(p, "old", "before", 1)
    c = member("elders", "old")
    c.commit(message=next_of(c), asynchronous=False)
    mark("ready")
    wait_for("go")
    # The fetch that was asked for before has been answered then; the topic, which fetches know by its id alone, is found
    # out by what was sent by name and confirmed before it is fetched.
    c.pause(c.assignment())
    time.sleep(1)
    send(p, "old", "late-settled", 2)
    c.resume(c.assignment())
    c.commit(message=next_of(c), asynchronous=False)
    send(p, "old", "late-held", 3)
    next_of(c)
    linger()
    os._exit(0)


run({f.__name__: f for f in (setup, shop, later, billing, heir, lazy, audit, asker, answerer, late)})

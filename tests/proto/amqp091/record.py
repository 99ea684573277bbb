#!/usr/bin/python3
"""Makes fixtures/*.bin: real conversations of pika with a private RabbitMQ, both directions in order.

usage: record.py [DIRECTORY]      (default: fixtures/ beside this file)

A fixture is "EVTF1\\n", then records: direction (0 to the server, 1 to the client), length (u32, big-endian),
bytes. Beside each stands NAME.truth: what the client knows that it did and got, one line an operation, in the
words of fixtures.c; the decoder is tested against that, not against what it said once.
"""
import os
import sys
import tempfile
from datetime import datetime
from decimal import Decimal

import pika

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [os.path.join(HERE, "../../lab"), os.path.join(HERE, "..")]
import broker  # noqa: E402
from relay import Relay, fnv, write_fixture  # noqa: E402


class Scenario:
    def __init__(self, port, frame_max=131072):
        self.relay = Relay(port)
        self.truth = []
        self.conn = pika.BlockingConnection(pika.ConnectionParameters(
            "127.0.0.1", self.relay.port, "/", pika.PlainCredentials("guest", "guest"),
            frame_max=frame_max, heartbeat=60))
        self.say("LOGIN text=guest vhost=/")

    def say(self, *words):
        self.truth.append(" ".join(words))

    def publish(self, ch, exchange, key, body, props=None, mandatory=False):
        self.say("SEND ch=%d ex=%s key=%s size=%d sum=%08x%s"
                 % (ch.channel_number, exchange, key, len(body), fnv(body),
                    " mandatory" if mandatory else ""))
        ch.basic_publish(exchange, key, body, props, mandatory)

    def received(self, ch, queue, method, body, consumer=""):
        self.say("RECEIVE ch=%d q=%s ex=%s key=%s consumer=%s tag=%d size=%d sum=%08x%s"
                 % (ch.channel_number, queue, method.exchange, method.routing_key, consumer,
                    method.delivery_tag, len(body), fnv(body),
                    " redelivered" if method.redelivered else ""))

    def settle(self, ch, how, tag):
        self.say("SETTLE ch=%d tag=%d %s" % (ch.channel_number, tag, how))

    def take(self, ch, queue, n, **consume):
        """Consumes n messages; returns [(method, properties, body)] and the consumer's tag."""
        got = []

        def on_message(_ch, method, props, body):
            got.append((method, props, body))
            self.received(ch, queue, method, body, method.consumer_tag)
            if consume.get("auto_ack"):
                self.settle(ch, "auto", method.delivery_tag)

        tag = ch.basic_consume(queue, on_message, **consume)
        self.say("SUBSCRIBE ch=%d q=%s consumer=%s" % (ch.channel_number, queue, tag))
        while len(got) < n:
            self.conn.process_data_events(1)
        return got, tag

    def cancel(self, ch, queue, tag):
        ch.basic_cancel(tag)
        self.say("UNSUBSCRIBE ch=%d q=%s consumer=%s" % (ch.channel_number, queue, tag))

    def end(self, path):
        if self.conn.is_open:
            self.conn.close()
        self.relay.settle()
        write_fixture(path, self.relay.chunks(), self.truth)


def deadletter(s):
    """Topology, confirms, mandatory, every kind of settlement, dead-lettering, basic.get."""
    ch = s.conn.channel()
    ch.exchange_declare("fx.orders", "topic", durable=True)
    s.say("XDECLARE ch=1 ex=fx.orders type=topic durable")
    ch.exchange_declare("fx.dlx", "fanout")
    s.say("XDECLARE ch=1 ex=fx.dlx type=fanout")
    ch.exchange_bind("fx.dlx", "fx.orders", "copy.#")
    s.say("XBIND ch=1 q=fx.dlx ex=fx.orders key=copy.#")
    ch.exchange_unbind("fx.dlx", "fx.orders", "copy.#")
    s.say("XUNBIND ch=1 q=fx.dlx ex=fx.orders key=copy.#")
    args = {"x-dead-letter-exchange": "fx.dlx", "x-max-length": 1000}
    ch.queue_declare("fx.billing", durable=True, arguments=args)
    s.say("QDECLARE ch=1 q=fx.billing durable {x-dead-letter-exchange=fx.dlx} {x-max-length=1000}")
    ch.queue_bind("fx.billing", "fx.orders", "order.#")
    s.say("QBIND ch=1 q=fx.billing ex=fx.orders key=order.#")
    dlq = ch.queue_declare("", exclusive=True).method.queue
    s.say("QDECLARE ch=1 q=%s exclusive" % dlq)
    ch.queue_bind(dlq, "fx.dlx", "")
    s.say("QBIND ch=1 q=%s ex=fx.dlx key=" % dlq)
    ch.confirm_delivery()
    props = pika.BasicProperties(
        content_type="application/json", content_encoding="utf-8", delivery_mode=2, priority=3,
        correlation_id="corr-1", reply_to="fx.replies", expiration="600000", message_id="msg-1",
        timestamp=1700000000, type="order.created", user_id="guest", app_id="shop", headers={
            "int": 7, "long": 1 << 40, "text": "J\u00f6hn", "bytes": b"\x01\xff", "yes": True, "none": None,
            "when": datetime(2024, 2, 29, 12, 0, 0), "price": Decimal("19.99"),
            "table": {"a": {"b": [1, "two", {"c": 3}]}}, "list": [], "traceparent":
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})
    for i in range(1, 6):
        s.publish(ch, "fx.orders", "order.created", b'{"id":%d}' % (4710 + i), props, mandatory=True)
        s.say("CONFIRM ch=1 n=%d" % i)
    try:
        s.publish(ch, "fx.orders", "nowhere", b"lost", mandatory=True)
    except pika.exceptions.UnroutableError:
        s.say("RETURN ch=1 ex=fx.orders key=nowhere code=312 size=4 sum=%08x of=6" % fnv(b"lost"))
        s.say("CONFIRM ch=1 n=6")
    ch.basic_qos(prefetch_count=10)
    got, tag = s.take(ch, "fx.billing", 5)
    ch.basic_ack(1)
    s.settle(ch, "ack", 1)
    ch.basic_reject(2, requeue=False)
    s.settle(ch, "reject", 2)
    ch.basic_nack(4, multiple=True, requeue=True)
    s.settle(ch, "requeue", 3)
    s.settle(ch, "requeue", 4)
    while len(got) < 7:
        s.conn.process_data_events(1)
    ch.basic_ack(0, multiple=True)
    for t in (5, 6, 7):
        s.settle(ch, "ack", t)
    s.cancel(ch, "fx.billing", tag)
    while True:
        method, dead, body = ch.basic_get(dlq)
        if method:
            break
    s.received(ch, dlq, method, body)
    assert dead.headers["x-death"][0]["queue"] == "fx.billing"
    assert ch.basic_get(dlq, auto_ack=True)[0] is None
    ch.queue_purge("fx.billing")
    s.say("QPURGE ch=1 q=fx.billing")
    ch.queue_unbind("fx.billing", "fx.orders", "order.#")
    s.say("QUNBIND ch=1 q=fx.billing ex=fx.orders key=order.#")
    ch.queue_delete("fx.billing")
    s.say("QDELETE ch=1 q=fx.billing")
    for name in ("fx.orders", "fx.dlx"):
        ch.exchange_delete(name)
        s.say("XDELETE ch=1 ex=%s" % name)
    s.settle(ch, "lost", 8)  # never settled: the channel ends


def bodies(s):
    """Empty, tiny and many-frame bodies, both ways, on several channels; a consumer that never settles."""
    a, b = s.conn.channel(), s.conn.channel()
    a.queue_declare("fx.big")
    s.say("QDECLARE ch=1 q=fx.big")
    sizes = (0, 1, 4087, 4088, 4089, 20000, 8176)
    for i, n in enumerate(sizes):
        s.publish(a if i % 2 else b, "", "fx.big", bytes((i + k) % 256 for k in range(n)))
    got, tag = s.take(b, "fx.big", len(sizes), auto_ack=True)
    assert sorted(len(body) for _, _, body in got) == sorted(sizes)
    s.cancel(b, "fx.big", tag)
    a.queue_delete("fx.big")
    s.say("QDELETE ch=1 q=fx.big")


def transactions(s):
    ch = s.conn.channel()
    ch.queue_declare("fx.tx")
    s.say("QDECLARE ch=1 q=fx.tx")
    ch.tx_select()
    s.publish(ch, "", "fx.tx", b"one")
    s.publish(ch, "", "fx.tx", b"two")
    ch.tx_commit()
    s.say("CONFIRM ch=1 n=0")
    s.say("CONFIRM ch=1 n=0")
    s.publish(ch, "", "fx.tx", b"never")
    ch.tx_rollback()
    s.say("CONFIRM ch=1 n=0 negative")
    _, tag = s.take(ch, "fx.tx", 2)
    ch.basic_ack(1)
    ch.tx_rollback()
    ch.basic_ack(2, multiple=True)
    ch.tx_commit()
    s.settle(ch, "ack", 1)
    s.settle(ch, "ack", 2)
    s.cancel(ch, "fx.tx", tag)
    ch.queue_delete("fx.tx")
    s.say("QDELETE ch=1 q=fx.tx")


def errors(s):
    """A channel that the broker closes, one it does not, a consumer whose queue goes away."""
    ch, other = s.conn.channel(), s.conn.channel()
    other.queue_declare("fx.gone")
    s.say("QDECLARE ch=2 q=fx.gone")
    s.publish(other, "", "fx.gone", b"held")
    s.take(other, "fx.gone", 1)
    try:
        ch.queue_declare("fx.none", passive=True)
    except pika.exceptions.ChannelClosedByBroker as e:
        s.say("ERROR ch=1 code=%d text=%s" % (e.reply_code, e.reply_text))
    ch = s.conn.channel()
    ch.queue_delete("fx.gone")
    s.say("QDELETE ch=1 q=fx.gone")
    s.conn.process_data_events(1)
    s.say("UNSUBSCRIBE ch=2 q=fx.gone consumer=%s by-broker" % s.truth_tag())
    s.settle(other, "lost", 1)


def truth_tag(s):
    return [line for line in s.truth if line.startswith("SUBSCRIBE")][-1].rsplit("=", 1)[1]


Scenario.truth_tag = truth_tag


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "fixtures")
    with tempfile.TemporaryDirectory() as d:
        b = broker.Broker(d).start()
        try:
            for fn, frame_max in ((deadletter, 131072), (bodies, 4096), (transactions, 131072),
                                  (errors, 131072)):
                s = Scenario(b.port, frame_max)
                fn(s)
                s.end(os.path.join(out, fn.__name__))
        finally:
            b.stop()


if __name__ == "__main__":
    main()

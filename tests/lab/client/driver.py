#!/usr/bin/python3 -B
"""driver.py URL LOG SCENARIO[,SCENARIO]... TAG: an ordinary client on pika that acts scenarios (its queues are named
after TAG) and writes down what it truly did, in the form that driver.c explains; and three kinds of lines more, for what only the scenario knows:
   Q queue exchange key      the queue's dead-letter exchange and key
   W mid queue,queue         where the message must have been routed
   F mid queue state[/state] the state in which it must end there, when settlements alone do not say it
"""
import decimal
import os
import socket
import sys
import time
import zlib

import pika

ALL_PROPERTIES = dict(
    content_type="application/json", content_encoding="identity", delivery_mode=2, priority=5,
    correlation_id="corr-1", reply_to="answers", expiration="600000", timestamp=1700000000,
    type="lab.all", user_id="guest", app_id="driver.py", cluster_id="c",
    headers={"text": "grün", "number": 4711, "big": 1 << 40, "price": decimal.Decimal("19.99"), "yes": True, "none": None,
             "list": [1, "two", {"three": 3}], "table": {"customer": {"id": 88, "name": "John Doe"}},
             "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})


class Client:
    """One connection. Channel objects are pika's; what goes through here is logged."""

    def __init__(self, url, log, prefix):
        parameters = pika.URLParameters(url)
        self.connection = pika.BlockingConnection(parameters)
        self.url, self.log, self.prefix, self.n, self.sequence = url, log, prefix, 0, {}
        self.port = self._port(parameters.port)
        self.write("I", os.getpid(), self.port)

    @staticmethod
    def _port(server):
        """The local port of the newest connection to @server; pika has other sockets besides."""
        for fd in sorted(os.listdir("/proc/self/fd"), key=int, reverse=True):
            try:
                with socket.socket(fileno=os.dup(int(fd))) as s:
                    if s.family == socket.AF_INET and s.getpeername()[1] == server:
                        return s.getsockname()[1]
            except OSError:
                pass
        raise RuntimeError("no connection to port %d" % server)

    def write(self, *fields):
        self.log.write("\t".join(str(f) for f in fields) + "\n")

    def channel(self):
        return self.connection.channel()

    def publish(self, ch, exchange, key, body=None, routes=None, mandatory=False, confirm=False, **properties):
        mid = "%s-%d" % (self.prefix, self.n)
        self.n += 1
        body = b'{"n":"%s"}' % mid.encode() if body is None else body
        p = pika.BasicProperties(message_id=mid, **properties)
        number = ch.channel_number
        seq = self.sequence[number] = self.sequence.get(number, 0) + 1
        self.write("P", self.port, number, seq, exchange, key, mid, b"".join(p.encode()).hex(), len(body),
                   zlib.crc32(body), int(mandatory))
        if routes is not None:
            self.write("W", mid, ",".join(sorted(routes)))
        try:
            ch.basic_publish(exchange, key, body, p, mandatory=mandatory)
        except pika.exceptions.UnroutableError:
            self.write("R", self.port, number, 312, exchange, key, mid)
        if confirm:
            self.write("C", self.port, number, seq, 0, 1)
        return mid

    def on_return(self, ch):
        ch.add_on_return_callback(lambda c, m, p, b: self.write(
            "R", self.port, ch.channel_number, m.reply_code, m.exchange, m.routing_key, p.message_id))

    def received(self, ch, method, properties, body, queue, pulled):
        self.write("D", self.port, ch.channel_number, method.delivery_tag, queue, int(method.redelivered),
                   method.exchange, method.routing_key, properties.message_id or "", len(body),
                   zlib.crc32(body), int(pulled))

    def get(self, ch, queue, auto_ack=False, properties=False, patience=5):
        """basic.get until there is one; its tag (and @properties)."""
        end = time.monotonic() + patience
        while True:
            method, p, body = ch.basic_get(queue, auto_ack=auto_ack)
            if method:
                self.received(ch, method, p, body, queue, True)
                if auto_ack:
                    self.write("S", self.port, ch.channel_number, method.delivery_tag, 0, "auto")
                return (method.delivery_tag, p) if properties else method.delivery_tag
            if time.monotonic() > end:
                raise RuntimeError("nothing came to %s" % queue)
            time.sleep(0.02)

    def consume(self, ch, queue, tags, prefetch=0, **options):
        """Subscribes; delivery tags are appended to @tags as they come."""
        if prefetch:
            ch.basic_qos(prefetch_count=prefetch)

        def on_message(c, method, properties, body):
            self.received(ch, method, properties, body, queue, False)
            if options.get("auto_ack"):
                self.settled(ch, method.delivery_tag, False, "auto")
            tags.append(method.delivery_tag)
        return ch.basic_consume(queue, on_message, **options)

    def wait(self, tags, n, patience=10):
        end = time.monotonic() + patience
        while len(tags) < n:
            if time.monotonic() > end:
                raise RuntimeError("%d of %d messages came" % (len(tags), n))
            self.connection.process_data_events(0.05)

    def settled(self, ch, tag, multiple, how):
        self.write("S", self.port, ch.channel_number, tag, int(multiple), how)

    def ack(self, ch, tag, multiple=False):
        self.settled(ch, tag, multiple, "ack")
        ch.basic_ack(tag, multiple=multiple)

    def nack(self, ch, tag, requeue, multiple=False):
        self.settled(ch, tag, multiple, "requeue" if requeue else "reject")
        ch.basic_nack(tag, multiple=multiple, requeue=requeue)

    def reject(self, ch, tag, requeue):
        self.settled(ch, tag, False, "requeue" if requeue else "reject")
        ch.basic_reject(tag, requeue=requeue)

    def break_off(self):
        """The connection ends without a word of AMQP."""
        for fd in os.listdir("/proc/self/fd"):
            try:
                with socket.socket(fileno=os.dup(int(fd))) as s:
                    if s.family == socket.AF_INET and s.getsockname()[1] == self.port:
                        s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.write("E", self.port)

    def close(self):
        self.connection.close()
        self.write("E", self.port)


def queues(ch, *names, **arguments):
    for name in names:
        ch.queue_declare(name, arguments={k.replace("_", "-"): v for k, v in arguments.items()} or None)


# --- scenarios: each leaves its queues as they are ---

def default(c, p):
    """The default exchange, an empty body, a large one, every property."""
    ch = c.channel()
    queues(ch, p + "q")
    tags = []
    for body, properties in ((b"", {}), (b"x" * 1000000, {}), (b'{"order":{"id":4711}}', ALL_PROPERTIES)):
        c.publish(ch, "", p + "q", body, routes=[p + "q"], **properties)
    c.consume(ch, p + "q", tags)
    c.wait(tags, 3)
    c.ack(ch, tags[-1], multiple=True)


def topic(c, p):
    ch = c.channel()
    ex = p + "topic"
    ch.exchange_declare(ex, "topic")
    patterns = {"all": "#", "orders": "order.*", "created": "*.created", "deep": "order.#.done", "exact": "order.paid"}
    for name, pattern in patterns.items():
        queues(ch, p + name)
        ch.queue_bind(p + name, ex, pattern)
    for key, names in (("order.created", "all orders created"), ("order.paid", "all orders exact"),
                       ("order.a.b.done", "all deep"), ("order.done", "all orders deep"),
                       ("invoice.created", "all created"), ("x", "all"), ("", "all")):
        c.publish(ch, ex, key, routes=[p + n for n in names.split()])
    ch.queue_unbind(p + "all", ex, "#")
    c.publish(ch, ex, "order.paid", routes=[p + "orders", p + "exact"])
    c.publish(ch, ex, "nobody.listens.here", routes=[])


def fanout_direct(c, p):
    ch = c.channel()
    ch.exchange_declare(p + "fan", "fanout")
    ch.exchange_declare(p + "direct", "direct")
    queues(ch, p + "a", p + "b")
    for q in ("a", "b"):
        ch.queue_bind(p + q, p + "fan", "ignored")
        ch.queue_bind(p + q, p + "direct", q)
    ch.queue_bind(p + "b", p + "direct", "both")
    ch.queue_bind(p + "a", p + "direct", "both")
    c.publish(ch, p + "fan", "anything", routes=[p + "a", p + "b"])
    c.publish(ch, p + "direct", "a", routes=[p + "a"])
    c.publish(ch, p + "direct", "both", routes=[p + "a", p + "b"])
    for q, n in (("a", 3), ("b", 2)):
        for _ in range(n):
            c.ack(ch, c.get(ch, p + q))


def headers(c, p):
    ch = c.channel()
    ex = p + "headers"
    ch.exchange_declare(ex, "headers")
    queues(ch, p + "any", p + "all")
    ch.queue_bind(p + "any", ex, "", {"x-match": "any", "kind": "order", "country": "HU"})
    ch.queue_bind(p + "all", ex, "", {"x-match": "all", "kind": "order", "country": "HU"})
    for h, names in (({"kind": "order", "country": "HU"}, ["any", "all"]), ({"kind": "order"}, ["any"]),
                     ({"kind": "invoice", "country": "AT"}, []), ({"country": "HU", "x": 1}, ["any"]), ({}, [])):
        c.publish(ch, ex, "", headers=h, routes=[p + n for n in names])


def exchange_to_exchange(c, p):
    ch = c.channel()
    ch.exchange_declare(p + "in", "topic")
    ch.exchange_declare(p + "out", "fanout")
    queues(ch, p + "q", p + "r")
    ch.exchange_bind(p + "out", p + "in", "order.#")
    ch.queue_bind(p + "q", p + "out")
    ch.queue_bind(p + "r", p + "in", "order.created")
    c.publish(ch, p + "in", "order.created", routes=[p + "q", p + "r"])
    c.publish(ch, p + "in", "order.paid", routes=[p + "q"])
    c.publish(ch, p + "in", "invoice", routes=[])
    ch.exchange_unbind(p + "out", p + "in", "order.#")
    c.publish(ch, p + "in", "order.created", routes=[p + "r"])


def confirms_returns(c, p):
    ch = c.channel()
    queues(ch, p + "q")
    ch.confirm_delivery()
    for i in range(10):
        nowhere = i % 3 == 2
        c.publish(ch, "", p + ("nowhere" if nowhere else "q"), mandatory=True, confirm=True,
                  routes=[] if nowhere else [p + "q"])
    plain = c.channel()
    c.on_return(plain)
    c.publish(plain, "", p + "nowhere", mandatory=True, routes=[])
    c.publish(plain, "", p + "q", mandatory=True, routes=[p + "q"])
    for _ in range(10):
        c.connection.process_data_events(0.05)


def settlements(c, p):
    """ack, multiple ack, nack and reject with and without requeue, recover, a cancelled consumer, a closed
    channel."""
    ch = c.channel()
    queues(ch, p + "q")
    tags = []
    for _ in range(12):
        c.publish(ch, "", p + "q", routes=[p + "q"])
    c.consume(ch, p + "q", tags, prefetch=12, consumer_tag="eager")
    c.wait(tags, 12)
    c.ack(ch, tags[2], multiple=True)      # 0 1 2
    c.nack(ch, tags[4], requeue=False, multiple=True)  # 3 4
    c.reject(ch, tags[5], requeue=False)
    c.ack(ch, tags[6])
    ch.basic_cancel("eager")
    c.nack(ch, tags[8], requeue=True, multiple=True)   # 7 8
    c.reject(ch, tags[9], requeue=True)
    again = c.channel()                     # another number: tags begin anew on each channel
    ch.close()                              # 10 11 are given back
    ch = again
    for _ in range(3):
        c.ack(ch, c.get(ch, p + "q"))
    last = c.get(ch, p + "q")
    c.settled(ch, last, True, "requeue")
    ch.basic_recover(requeue=True)
    c.get(ch, p + "q", auto_ack=True)


def dead_letters(c, p):
    """Rejected, expired and pushed out by a length limit; a chain of two."""
    ch = c.channel()
    ch.exchange_declare(p + "dlx", "direct")
    queues(ch, p + "dead")
    ch.queue_bind(p + "dead", p + "dlx", "dead")
    dead = {"x-dead-letter-exchange": p + "dlx", "x-dead-letter-routing-key": "dead"}
    queues(ch, p + "work", **dead)
    queues(ch, p + "short", **dict(dead, **{"x-message-ttl": 100}))
    queues(ch, p + "small", **dict(dead, **{"x-max-length": 1}))
    for q in ("work", "short", "small"):
        c.write("Q", p + q, p + "dlx", "dead")
    refused = c.publish(ch, "", p + "work", routes=[p + "work"], headers={"kept": "yes"})
    c.reject(ch, c.get(ch, p + "work"), requeue=True)
    c.reject(ch, c.get(ch, p + "work"), requeue=False)
    c.ack(ch, c.get(ch, p + "dead"))
    late = c.publish(ch, "", p + "short", routes=[p + "short"])
    c.ack(ch, c.get(ch, p + "dead"))
    pushed = c.publish(ch, "", p + "small", routes=[p + "small"])
    kept = c.publish(ch, "", p + "small", routes=[p + "small"])
    c.ack(ch, c.get(ch, p + "dead"))
    for mid, q in ((refused, "work"), (late, "short"), (pushed, "small")):
        c.write("F", mid, p + q, "dead-lettered/expired" if q == "short" else "dead-lettered")
        c.write("F", mid, p + "dead", "acked")
    c.write("F", kept, p + "small", "queued")


def transactions(c, p):
    ch = c.channel()
    queues(ch, p + "q")
    ch.tx_select()
    for end in ("commit", "rollback", "commit"):
        for _ in range(3):
            c.publish(ch, "", p + "q", routes=[] if end == "rollback" else [p + "q"])
        getattr(ch, "tx_" + end)()
        c.write("X", c.port, ch.channel_number, end)


def purge_delete(c, p):
    ch = c.channel()
    queues(ch, p + "q", p + "d")
    for q in ("q", "d"):
        for _ in range(2):
            c.write("F", c.publish(ch, "", p + q, routes=[p + q]), p + q, "purged")
    # Publishing is asynchronous; a declare on the same channel is answered after it.
    ch.queue_declare(p + "q", passive=True)
    ch.queue_purge(p + "q")
    c.publish(ch, "", p + "q", routes=[p + "q"])
    ch.queue_delete(p + "d")


def vanished(c, p):
    """A consumer's connection breaks while it holds messages: they come back, to another."""
    ch = c.channel()
    queues(ch, p + "q")
    for _ in range(4):
        c.publish(ch, "", p + "q", routes=[p + "q"])
    other = Client(c.url, c.log, c.prefix + ".other")
    och = other.channel()
    first = other.get(och, p + "q")
    other.get(och, p + "q")
    other.get(och, p + "q")
    other.ack(och, first)
    # Its answer comes after the ack was handled.
    och.queue_declare(p + "q", passive=True)
    other.break_off()
    c.ack(ch, c.get(ch, p + "q"))
    c.nack(ch, c.get(ch, p + "q"), requeue=False)


def detours(c, p):
    """Ways that bindings alone do not show: an alternate exchange, CC and BCC headers."""
    ch = c.channel()
    ch.exchange_declare(p + "rest", "fanout")
    ch.exchange_declare(p + "main", "direct", arguments={"alternate-exchange": p + "rest"})
    queues(ch, p + "q", p + "r", p + "s")
    ch.queue_bind(p + "q", p + "main", "known")
    ch.queue_bind(p + "r", p + "rest")
    c.publish(ch, p + "main", "known", routes=[p + "q"])
    c.publish(ch, p + "main", "unknown", routes=[p + "r"])
    c.publish(ch, "", p + "q", headers={"CC": [p + "s"]}, routes=[p + "q", p + "s"])
    c.publish(ch, "", p + "q", headers={"BCC": [p + "r"]}, routes=[p + "q", p + "r"])


def quorum(c, p):
    """A quorum queue gives up on a message after its delivery limit."""
    ch = c.channel()
    queues(ch, p + "dead")
    ch.queue_declare(p + "q", durable=True, arguments={
        "x-queue-type": "quorum", "x-delivery-limit": 1, "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": p + "dead"})
    c.write("Q", p + "q", "", p + "dead")
    bad = c.publish(ch, "", p + "q", routes=[p + "q"])
    good = c.publish(ch, "", p + "q", routes=[p + "q"])
    c.nack(ch, c.get(ch, p + "q"), requeue=True)
    c.nack(ch, c.get(ch, p + "q"), requeue=True)
    c.ack(ch, c.get(ch, p + "q"))
    c.ack(ch, c.get(ch, p + "dead"))
    c.write("F", bad, p + "q", "dead-lettered")
    c.write("F", bad, p + "dead", "acked")
    c.write("F", good, p + "q", "acked")


def rpc(c, p):
    """Requests and replies: a queue that the server names, and RabbitMQ's direct reply-to."""
    ch = c.channel()
    queues(ch, p + "server")
    answers = ch.queue_declare("", exclusive=True).method.queue
    tags = []
    c.consume(ch, answers, tags, auto_ack=True)
    direct = []
    c.consume(ch, "amq.rabbitmq.reply-to", direct, auto_ack=True)
    server = Client(c.url, c.log, c.prefix + ".server")
    sch = server.channel()
    for i, reply_to in enumerate((answers, "amq.rabbitmq.reply-to")):
        c.publish(ch, "", p + "server", reply_to=reply_to, correlation_id="call-%s%d" % (p, i), routes=[p + "server"])
        tag, properties = server.get(sch, p + "server", properties=True)
        server.publish(sch, "", properties.reply_to, correlation_id=properties.correlation_id)
        server.ack(sch, tag)
        c.wait((tags, direct)[i], 1)
    server.close()


def errors(c, p):
    """The broker closes a channel on its user, then a connection."""
    ch = c.channel()
    queues(ch, p + "q")
    c.publish(ch, p + "missing", "key", routes=[])
    try:
        ch.queue_declare(p + "q", passive=True)
        raise RuntimeError("the broker took a publish to an exchange that is not there")
    except pika.exceptions.ChannelClosedByBroker as e:
        assert e.reply_code == 404
    ch = c.channel()
    c.publish(ch, "", p + "q", routes=[p + "q"])
    try:
        ch.basic_ack(99)
        ch.queue_declare(p + "q", passive=True)
        raise RuntimeError("the broker took an ack of nothing")
    except pika.exceptions.ChannelClosedByBroker as e:
        assert e.reply_code == 406


SCENARIOS = [default, topic, fanout_direct, headers, exchange_to_exchange, confirms_returns, settlements,
             dead_letters, transactions, purge_delete, vanished, detours, quorum, rpc, errors]


def main():
    url, path, names, tag = sys.argv[1:5]
    with open(path, "w") as log:
        for f in SCENARIOS:
            if names == "all" or f.__name__ in names.split(","):
                c = Client(url, log, tag + f.__name__)
                f(c, tag + f.__name__ + ".")
                c.close()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""usage: record.py --listen PORT=BROKERPORT [--listen ...] --out DIR SCENARIO...

Records the fixtures: real clients talk to a private Kafka through taps that keep every byte. The broker must
advertise the taps' ports, so that all connections of a scenario pass them (advertised.listeners); tap 1 leads to
its listener without security, tap 2 to one with SASL (user shop, password hunter2, PLAIN and SCRAM-SHA-256).

For each scenario: NAME.N.bin, one a connection ("EVTF1\\n", then direction, length, bytes), NAME.order (whose chunk
came when) and NAME.truth: what the clients know that they did and got, a line each, sorted.
Clients: confluent-kafka (librdkafka), kafka-python, and Record.java beside this file (env JAVA_CP: kafka-clients).
"""
import glob
import os
import subprocess
import sys
import time


sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from relay import Passed, Relay, fnv, write_bin, write_lines  # noqa: E402


class Truth:
    def __init__(self, port, sasl_port):
        self.addr = "127.0.0.1:%d" % port
        self.sasl_addr = "127.0.0.1:%d" % sasl_port
        self.lines = []

    def say(self, *words):
        self.lines.append(" ".join(str(w) for w in words if w != ""))

    def sent(self, topic, partition, key, value, headers="", tx=False):
        self.say("SEND", topic, partition, "key=" + (key or b"-").decode(), "size=%d" % len(value or b""),
                 "sum=%08x" % fnv(value), headers, "tx" if tx else "")

    def confirmed(self, topic, partition, offset, how=""):
        self.say("CONFIRM", "%s-%d" % (topic, partition), offset, how)

    def received(self, topic, partition, offset, key, value, client, headers=""):
        self.say("RECEIVE", topic, partition, offset, "key=" + (key or b"-").decode(), "size=%d" % len(value or b""),
                 "sum=%08x" % fnv(value), "consumer=" + client, headers)

    def committed(self, topic, partition, offset, group, client, how="up-to"):
        self.say("SETTLE", topic, partition, offset, "q=" + group, "consumer=" + client, "ack", how)


BODIES = [b'{"order":%d,"customer":"John Doe"}' % i for i in range(4711, 4719)] + [b"x" * 20000, b""]


def rd_topic(t, topic, partitions, addr=None):
    from confluent_kafka.admin import AdminClient, NewTopic
    admin = AdminClient({"bootstrap.servers": addr or t.addr, "client.id": "admin"})
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result()
    t.say("XDECLARE", topic, "topic")
    time.sleep(0.5)
    return admin


def rd_produce(t, topic, client, bodies, partition=None, **conf):
    from confluent_kafka import Producer
    conf = {k.replace("_", "."): v for k, v in conf.items()}
    p = Producer({"bootstrap.servers": conf.pop("addr", t.addr), "client.id": client, "linger.ms": 50, **conf})

    def done(err, msg):
        assert err is None, err
        t.sent(topic, msg.partition(), msg.key(), msg.value(), "{h=%s}" % client)
        t.confirmed(topic, msg.partition(), msg.offset())

    for i, body in enumerate(bodies):
        p.produce(topic, body, b"k%d" % i, partition=i % 2 if partition is None else partition,
                  headers=[("h", client)], on_delivery=done)
    assert p.flush(20) == 0


def rd_consume(t, topic, group, client, n, commit=True, **conf):
    """Reads n messages; its last commit covers them. A group of one member gets all partitions."""
    from confluent_kafka import Consumer
    conf = {k.replace("_", "."): v for k, v in conf.items()}
    c = Consumer({"bootstrap.servers": conf.pop("addr", t.addr), "client.id": client, "group.id": group,
                  "enable.auto.commit": False, "auto.offset.reset": "earliest", "fetch.wait.max.ms": 100, **conf})
    c.subscribe([topic])
    end, got = {}, 0
    until = time.time() + 40
    while got < n and time.time() < until:
        m = c.poll(0.5)
        if m is None or m.error():
            continue
        got += 1
        headers = "".join("{%s=%s}" % (k, v.decode()) for k, v in m.headers() or [])
        t.received(topic, m.partition(), m.offset(), m.key(), m.value(), client, headers)
        end[m.partition()] = m.offset() + 1
    assert got == n, got
    parts = ",".join(str(p) for p in sorted(x.partition for x in c.assignment()))
    t.say("SUBSCRIBE", topic, "q=" + group, "consumer=" + client, parts)
    if commit:
        c.commit(asynchronous=False)
        for p, offset in end.items():
            t.committed(topic, p, offset, group, client)
    t.say("UNSUBSCRIBE", topic, "q=" + group, "consumer=" + client)
    c.close()


def codecs(t):
    """Every codec by librdkafka, idempotent; a classic group reads it all and commits."""
    rd_topic(t, "fx.codecs", 2)
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        rd_produce(t, "fx.codecs", "p-" + codec, BODIES, compression_type=codec, enable_idempotence=True)
    rd_consume(t, "fx.codecs", "fx.readers", "reader", 5 * len(BODIES))


def python(t):
    """kafka-python: its own implementation of the protocol and of snappy's framing."""
    import kafka
    topic = "fx.python"
    rd_topic(t, topic, 2)
    for codec in (None, "gzip", "snappy", "lz4"):
        client = "kp-%s" % (codec or "none")
        p = kafka.KafkaProducer(bootstrap_servers=t.addr, client_id=client, compression_type=codec, linger_ms=50,
                                acks="all")
        sends = [(i, b, p.send(topic, b, b"k%d" % i, headers=[("h", client.encode())], partition=i % 2))
                 for i, b in enumerate(BODIES)]
        for i, b, f in sends:
            m = f.get(20)
            t.sent(topic, m.partition, b"k%d" % i, b, "{h=%s}" % client)
            t.confirmed(topic, m.partition, m.offset)
        p.close()
    c = kafka.KafkaConsumer(topic, bootstrap_servers=t.addr, client_id="kp-reader", group_id="fx.kp",
                            enable_auto_commit=False, auto_offset_reset="earliest", fetch_max_wait_ms=100)
    got, end = 0, {}
    while got < 4 * len(BODIES):
        for records in c.poll(500).values():
            for m in records:
                got += 1
                end[m.partition] = m.offset + 1
                t.received(topic, m.partition, m.offset, m.key, m.value, "kp-reader",
                           "".join("{%s=%s}" % (k, v.decode()) for k, v in m.headers))
    t.say("SUBSCRIBE", topic, "q=fx.kp", "consumer=kp-reader", "0,1")
    c.commit()
    for p, offset in end.items():
        t.committed(topic, p, offset, "fx.kp", "kp-reader")
    t.say("UNSUBSCRIBE", topic, "q=fx.kp", "consumer=kp-reader")
    c.close()


def transactions(t):
    """One committed, one aborted; the position of a group committed with the first; read_committed beside it."""
    from confluent_kafka import Producer, Consumer, TopicPartition
    rd_topic(t, "fx.in", 1)
    rd_topic(t, "fx.out", 1)
    rd_produce(t, "fx.in", "p-in", BODIES[:2], partition=0)
    c = Consumer({"bootstrap.servers": t.addr, "client.id": "mover", "group.id": "fx.movers",
                  "enable.auto.commit": False, "auto.offset.reset": "earliest", "fetch.wait.max.ms": 100})
    c.subscribe(["fx.in"])
    got = []
    while len(got) < 2:
        m = c.poll(0.5)
        if m is not None and not m.error():
            got.append(m)
            t.received("fx.in", 0, m.offset(), m.key(), m.value(), "mover", "{h=p-in}")
    t.say("SUBSCRIBE", "fx.in", "q=fx.movers", "consumer=mover", "0")
    p = Producer({"bootstrap.servers": t.addr, "client.id": "p-tx", "transactional.id": "fx.tx", "linger.ms": 20})
    p.init_transactions()
    for n, commit in ((3, True), (2, False)):
        offsets = []

        def done(err, msg):
            assert err is None, err
            t.sent("fx.out", 0, msg.key(), msg.value(), "", True)
            t.confirmed("fx.out", 0, msg.offset(), "tx stored")
            offsets.append(msg.offset())

        p.begin_transaction()
        for i in range(n):
            p.produce("fx.out", BODIES[i], b"t%d" % i, on_delivery=done)
        p.flush()
        if commit:
            p.send_offsets_to_transaction([TopicPartition("fx.in", 0, 2)], c.consumer_group_metadata())
            p.commit_transaction()
            t.committed("fx.in", 0, 2, "fx.movers", "p-tx")
        else:
            p.abort_transaction()
        for offset in offsets:
            t.say("CONFIRM", "fx.out-0", offset, "tx" if commit else "negative tx")
    t.say("UNSUBSCRIBE", "fx.in", "q=fx.movers", "consumer=mover")
    c.close()
    rd_produce(t, "fx.out", "p-after", BODIES[:1], partition=0)
    rd_consume(t, "fx.out", "fx.careful", "careful", 4, isolation_level="read_committed")


def sasl(t):
    t.say("LOGIN", "shop")
    for mechanism in ("PLAIN", "SCRAM-SHA-256"):
        topic = "fx." + mechanism.lower()
        conf = {"addr": t.sasl_addr, "security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": mechanism,
                "sasl_username": "shop", "sasl_password": "hunter2"}
        rd_topic(t, topic, 1)
        rd_produce(t, topic, "p-" + mechanism, BODIES[:2], partition=0, **conf)


def old(t):
    """Formats before batches: what a client of 0.9 and one of 0.10 sends, and what it is given. (Broker 2.8.)"""
    topic = "fx.old"
    rd_topic(t, topic, 1)
    for version in ("0.9.0", "0.10.0"):
        for codec in ("none", "gzip", "snappy", "lz4"):
            from confluent_kafka import Producer
            client = "p-%s-%s" % (version, codec)
            p = Producer({"bootstrap.servers": t.addr, "client.id": client, "linger.ms": 50,
                          "api.version.request": False, "broker.version.fallback": version,
                          "compression.type": codec})

            def done(err, msg):
                assert err is None, err
                t.sent(topic, 0, msg.key(), msg.value())
                t.confirmed(topic, 0, msg.offset())

            for i, body in enumerate(BODIES):
                p.produce(topic, body, b"k%d" % i, partition=0, on_delivery=done)
            assert p.flush(20) == 0
    rd_consume(t, topic, "fx.old-new", "r-new", 8 * len(BODIES))
    for version in ("0.9.0", "0.10.0"):
        rd_consume(t, topic, "fx.old-" + version, "r-" + version, 8 * len(BODIES), api_version_request=False,
                   broker_version_fallback=version)


def java(t):
    """Apache's own client: topic ids in Produce and Fetch, a group of KIP-848, a share group; see Record.java."""
    here = os.path.dirname(os.path.abspath(__file__))
    out = subprocess.run(["java", "-cp", os.environ["JAVA_CP"], here + "/Record.java", t.addr], check=True,
                         stdout=subprocess.PIPE, timeout=120).stdout.decode()
    t.lines += [line for line in out.split("\n") if line]


def main():
    ports, out, names = [], ".", []
    args = iter(sys.argv[1:])
    for a in args:
        if a == "--listen":
            ports.append([int(x) for x in next(args).split("=")])
        elif a == "--out":
            out = next(args)
        else:
            names.append(a)
    if not ports or not names:
        sys.exit(__doc__)
    passed = Passed()
    for port, broker in ports:
        Relay(broker, port, passed)
    for name in names:
        t = Truth(ports[0][0], ports[-1][0])
        with passed.lock:
            passed.events.clear()
            before = passed.n
        globals()[name](t)
        time.sleep(1)
        for old_file in glob.glob("%s/%s.[0-9]*.bin" % (out, name)):
            os.remove(old_file)
        with passed.lock:
            events = [e for e in passed.events if e[0] > before]  # those before it belong to the last scenario
            conns = passed.n - before
        for n in range(conns):
            write_bin("%s/%s.%d.bin" % (out, name, n), [e[1:] for e in events if e[0] == before + n + 1])
        with open("%s/%s.order" % (out, name), "w") as f:
            f.write(" ".join(str(e[0] - before - 1) for e in events) + "\n")
        write_lines("%s/%s.truth" % (out, name), sorted(t.lines))


main()

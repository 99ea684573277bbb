"""An ordinary client of Kafka, on kafka-python (pure Python) or, with --client confluent, on the librdkafka that PyPI has. Run by
the interpreter of tests/lab/fetch's `python`. What it writes down: client/truth.py."""
import os
import sys
import time


sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "client"))
import truth  # noqa: E402


def place(topic, partition, offset):
    return dict(dest=topic, rk=str(partition), log="%s-%d" % (topic, partition), mid=str(offset))


def text_of(b):
    return None if b is None else b.decode()


def text_headers(headers):
    return [[k, text_of(v)] for k, v in headers or []]


def binary(headers):
    return [(k, v.encode()) for k, v in headers]


def content(t, a, i):
    """Key, value and headers of message @i. Mode odd: in turn without a value (a tombstone), without a key, without either."""
    key, data, headers = t.key(i), t.body(i), binary(t.headers(i))
    if a.mode == "odd":
        # kafka-python sends no header without a value, and no record without anything.
        headers += [("void", None if a.client == "confluent" else b""), ("void", b""), ("void", b"again")]
        key = key if i % 4 < 2 else None
        data = data if i % 2 or (key is None and a.client == "pure") else None
    return key and key.encode(), data, headers


def said(key, data, headers):
    return dict(key=text_of(key), keyless=key is None, tombstone=data is None, headers=text_headers(headers))


class Pure:
    """kafka-python"""

    def produce(self, t, a):
        import kafka
        options = {"transactional_id": a.prefix} if a.tx else {}
        p = kafka.KafkaProducer(bootstrap_servers=a.server, linger_ms=20, max_request_size=8 << 20,
                                compression_type=None if a.codec == "none" else a.codec, **options)
        ends, sent = a.tx.split(","), []
        if a.tx:
            p.init_transactions()

        def settle(tx=None):
            if tx is None:
                p.flush()
            elif tx == "commit":
                p.commit_transaction()
            else:
                p.flush()
                p.abort_transaction()
            for i, data, future in sent:
                m = future.get(20)
                t.message("send", data[1], tx=tx, **said(*data), **place(m.topic, m.partition, m.offset))
            sent.clear()

        for i in range(a.n):
            if a.hold and i >= a.warm and (i - a.warm) % truth.BURST == 0:
                settle()
                t.pause(i)
            if a.tx and i % 10 == 0:
                p.begin_transaction()
            key, data, headers = content(t, a, i)
            sent.append((i, (key, data, headers), p.send(a.dest, data, key=key, headers=headers, partition=i % a.partitions)))
            if a.tx and i % 10 == 9:
                settle(ends[i // 10 % len(ends)])
        if sent:
            settle()
        p.close()

    def consume(self, t, a):
        n = 0
        while n < a.n and not t.late():
            n = self.consume_once(t, a)
            if n and n < a.n:
                break
        t.ready()
        return n

    @staticmethod
    def consume_once(t, a):
        """Gives up after some seconds without any record: now and then this client's first rebalance does not end."""
        import kafka
        c = kafka.KafkaConsumer(a.dest, bootstrap_servers=a.server, group_id=a.group, enable_auto_commit=False,
                                auto_offset_reset="earliest", max_partition_fetch_bytes=8 << 20, fetch_max_wait_ms=100,
                                session_timeout_ms=6000, heartbeat_interval_ms=1000,  # it does not always leave
                                isolation_level="read_committed" if a.mode == "committed" else "read_uncommitted")
        n, told, begin = 0, False, time.monotonic()
        while n < a.n and not t.late() and (n or told or time.monotonic() < begin + 8):
            if not told and c.assignment():
                told = True
                t.ready()
            got = c.poll(200)
            for records in got.values():
                for r in records:
                    n += 1
                    t.message("recv", r.value, **said(r.key, r.value, r.headers),
                              queue=a.dest + "/" + a.group, **place(r.topic, r.partition, r.offset))
            if got and a.settle == "ack":
                c.commit()
                for tp, records in got.items():
                    t.write("settle", queue=a.dest + "/" + a.group, how="ack", upto=True,
                            **place(tp.topic, tp.partition, records[-1].offset + 1))
        c.close(autocommit=False)
        return n


class Confluent:
    """confluent-kafka"""

    def produce(self, t, a):
        import confluent_kafka
        options = {"transactional.id": a.prefix} if a.tx else {"enable.idempotence": True}
        p = confluent_kafka.Producer({"bootstrap.servers": a.server, "linger.ms": 20, "message.max.bytes": 8 << 20,
                                      "compression.type": a.codec, **options})
        ends, sent = a.tx.split(","), []
        if a.tx:
            p.init_transactions(20)

        def settle(tx=None):
            p.flush(20)
            if tx:
                (p.commit_transaction if tx == "commit" else p.abort_transaction)(20)
            for i, m in sent:
                t.message("send", m.value(), tx=tx, **said(*content(t, a, i)), **place(m.topic(), m.partition(), m.offset()))
            sent.clear()

        def delivered(i):
            def done(error, m):
                if error:
                    sys.exit("delivery: %s" % error)
                sent.append((i, m))
            return done

        for i in range(a.n):
            if a.hold and i >= a.warm and (i - a.warm) % truth.BURST == 0:
                settle()
                t.pause(i)
            if a.tx and i % 10 == 0:
                p.begin_transaction()
            key, data, headers = content(t, a, i)
            p.produce(a.dest, data, key=key, headers=headers, partition=i % a.partitions, on_delivery=delivered(i))
            if a.tx and i % 10 == 9:
                settle(ends[i // 10 % len(ends)])
        settle()

    def consume(self, t, a):
        import confluent_kafka
        options = {"group.protocol": "consumer"} if a.mode == "new-group" else {}
        c = confluent_kafka.Consumer({
            "bootstrap.servers": a.server, "group.id": a.group, "enable.auto.commit": False,
            "auto.offset.reset": "earliest", "fetch.message.max.bytes": 8 << 20, "fetch.wait.max.ms": 100,
            "isolation.level": "read_committed" if a.mode == "committed" else "read_uncommitted", **options})
        c.subscribe([a.dest], on_assign=lambda *_: t.ready())
        n = 0
        while n < a.n and not t.late():
            m = c.poll(0.2)
            if m is None:
                continue
            if m.error():
                sys.exit("consume: %s" % m.error())
            n += 1
            where = place(m.topic(), m.partition(), m.offset())
            t.message("recv", m.value(), **said(m.key(), m.value(), m.headers()), queue=a.dest + "/" + a.group, **where)
            if a.settle == "ack":
                c.commit(m, asynchronous=False)
                where["mid"] = str(m.offset() + 1)
                t.write("settle", queue=a.dest + "/" + a.group, how="ack", upto=True, **where)
        c.close()
        return n


def create(a):
    from kafka.admin import KafkaAdminClient, NewTopic
    admin = KafkaAdminClient(bootstrap_servers=a.server)
    admin.create_topics([NewTopic(a.dest, a.partitions, 1)])
    admin.close()


def main():
    p = truth.parser("create", "produce", "consume")
    p.add_argument("--client", default="pure", choices=("pure", "confluent"))
    a = p.parse_args()
    t = truth.Truth(a)
    client = Pure() if a.client == "pure" else Confluent()
    if a.command == "create":
        create(a)
    elif a.command == "produce":
        client.produce(t, a)
    elif client.consume(t, a) < a.n:
        sys.exit("consume: fewer than %d came in %g s" % (a.n, a.patience))


if __name__ == "__main__":
    main()

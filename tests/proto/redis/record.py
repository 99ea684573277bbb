#!/usr/bin/python3
"""Makes fixtures/*.bin: real conversations of real clients with a private redis-server, both directions in order.

usage: record.py [NAME]...        (default: all that can be recorded here; says what is missing for the others)

Needs redis-server; for `lists`, `streams`, `pubsub` and `logins` redis-py; for `celery` and `rq` these; for `sidekiq`
ruby-sidekiq; for `bullmq` node with bullmq where NODE_PATH points to. Nothing of them is needed to run the tests.

A fixture is "EVTF1\\n", then records: a byte of which bit 0 is the direction (0 to the server, 1 to the client) and
bits 1, 2 and 5 the connection's number, length (u32, big-endian), bytes. Beside each stands NAME.truth: what the
client knows that it did and got, one line an operation, in the words of fixtures.c; the decoder is tested against
that, not against what it said once. A message is named by its id where a client knows one, else by a sum of its body.
"""
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [os.path.join(HERE, "../../lab"), os.path.join(HERE, "..")]
import relay  # noqa: E402
import servers  # noqa: E402

CONNS = 8


class Server(servers.Redis):
    def __init__(self, directory, *options):
        super().__init__(directory)
        self.options = options

    def argv(self):
        return super().argv() + list(self.options)


def fnv(body):
    return "%08x" % relay.fnv(body)


class Scenario:
    def __init__(self, name, port):
        self.name = name
        self.relay = relay.Relay(port)
        self.port = self.relay.port
        self.truth = []

    def say(self, *words):
        self.truth.append(" ".join(words))

    def client(self, **kw):
        import redis
        kw = {"protocol": 2, **kw}
        c = redis.Redis("127.0.0.1", self.port, single_connection_client=True, **kw)
        return c

    def send(self, where, name, *how):
        self.say("SEND", where, name)
        self.say("CONFIRM", "of=" + name, *how)

    def got(self, where, queue, name, *how):
        self.say("RECEIVE", where, "q=" + queue, name, *how)

    def popped(self, queue, name):
        self.got(queue, queue, name)
        self.say("SETTLE", "of=" + name, "auto")

    def end(self, out):
        time.sleep(0.3)
        conns = self.relay.passed.n
        if conns > CONNS:
            raise SystemExit("%s: %d connections, %d can be told apart" % (self.name, conns, CONNS))
        chunks = [(way | (n - 1 & 3) << 1 | (n - 1 & 4) << 3, data) for n, way, data in list(self.relay.events)]
        relay.write_fixture(os.path.join(out, self.name), chunks, self.truth)


def lists(s):
    """Pushes and pops of every kind, moves with LREM from another connection, transactions, errors; RESP2."""
    a, b = s.client(), s.client(db=3)
    s.say("LOGIN text=default vhost=0")
    a.lpush("fx.orders", "one", "two", b"\x00\xffbin\r\n")
    for body in (b"one", b"two", b"\x00\xffbin\r\n"):
        s.send("fx.orders", fnv(body))
    a.rpush("fx.orders", "x" * 70000)
    s.send("fx.orders", fnv("x" * 70000))
    assert a.brpop(["fx.none", "fx.orders"], 1)[1] == b"x" * 70000
    s.popped("fx.orders", fnv("x" * 70000))
    assert a.lpop("fx.orders") == b"\x00\xffbin\r\n"
    s.popped("fx.orders", fnv(b"\x00\xffbin\r\n"))
    assert a.rpop("fx.orders", 5) == [b"one", b"two"]
    s.popped("fx.orders", fnv("one"))
    s.popped("fx.orders", fnv("two"))
    assert a.lpop("fx.orders") is None
    # A reliable queue: the worker's other connection removes what is done; one is put back.
    s.say("LOGIN text=default vhost=3")
    for body in ("job1", "job2", "job3"):
        b.lpush("fx.jobs", body)
        s.send("fx.jobs", fnv(body))
    c = s.client(db=3)
    for body in ("job1", "job2"):
        assert b.lmove("fx.jobs", "fx.work", "RIGHT", "LEFT") == body.encode()
        s.got("fx.jobs", "fx.jobs", fnv(body))
    assert b.brpoplpush("fx.jobs", "fx.work", 1) == b"job3"
    s.got("fx.jobs", "fx.jobs", fnv("job3"))
    s.say("LOGIN text=default vhost=3")
    assert c.lrem("fx.work", 1, "job2") == 1
    s.say("SETTLE", "of=" + fnv("job2"), "ack")
    assert c.rpoplpush("fx.work", "fx.jobs") == b"job1"
    s.say("SETTLE", "of=" + fnv("job1"), "requeue")
    assert c.lrem("fx.work", 0, "job3") == 1
    s.say("SETTLE", "of=" + fnv("job3"), "ack")
    assert b.lmpop(1, "fx.jobs", direction="LEFT", count=2) == [b"fx.jobs", [b"job1"]]
    s.popped("fx.jobs", fnv("job1"))
    # Transactions and refusals; redis-py takes a connection of its own for a pipeline.
    s.say("LOGIN text=default vhost=0")
    p = a.pipeline(transaction=True)
    p.rpush("fx.tx", "t1").set("fx.key", "v").rpush("fx.tx", "t2")
    assert p.execute() == [1, True, 2]
    for body in ("t1", "t2"):
        s.send("fx.tx", fnv(body), "tx")
    p = a.pipeline(transaction=True)
    p.watch("fx.key")
    b.connection.send_command("SELECT", 0)
    b.connection.read_response()
    b.set("fx.key", "w")
    p.multi()
    p.rpush("fx.tx", "never")
    try:
        p.execute()
        assert False
    except Exception as e:
        assert type(e).__name__ == "WatchError", e
    s.send("fx.tx", fnv("never"), "negative", "tx")
    try:
        a.lpush("fx.key", "refused")
        assert False
    except Exception as e:
        assert "WRONGTYPE" in str(e)
    s.send("fx.key", fnv("refused"), "negative")
    assert a.lpushx("fx.nobody", "x") == 0
    s.send("fx.nobody", fnv("x"), "negative")
    a.delete("fx.tx")
    s.say("QPURGE q=fx.tx")
    # A schedule.
    a.zadd("fx.delayed", {'{"id":1}': 10, '{"id":2}': 5})
    for body in ('{"id":1}', '{"id":2}'):
        s.send("fx.delayed", fnv(body))
    assert a.zpopmin("fx.delayed") == [(b'{"id":2}', 5.0)]
    s.popped("fx.delayed", fnv('{"id":2}'))
    assert a.zrem("fx.delayed", '{"id":1}') == 1
    s.popped("fx.delayed", fnv('{"id":1}'))
    for x in (a, b, c):
        x.close()


def streams(s):
    """Groups, acknowledgement, claims, history, trimming; RESP3."""
    a, b = s.client(protocol=3), s.client(protocol=3)
    s.say("LOGIN text=default vhost=0")
    a.xgroup_create("fx.s", "g", "$", mkstream=True)
    s.say("XDECLARE fx.s")
    s.say("QDECLARE fx.s q=g mid=$")
    ids = []
    for i in range(5):
        body = b'{"order":{"id":%d}}' % (4711 + i)
        ids.append(a.xadd("fx.s", {"kind": "created", "data": body}, maxlen=1000).decode())
        s.say("SEND", "fx.s", fnv(body))
        s.say("CONFIRM", "of=" + fnv(body), "mid=" + ids[-1])
        s.say("DELETE fx.s keeps=1000 up-to unsure")
    assert a.xadd("fx.none", {"a": "b"}, nomkstream=True) is None
    s.send("fx.none", fnv("b"), "negative")

    def read(c, consumer, expected, *how, **kw):
        got = c.xreadgroup("g", consumer, {"fx.s": kw.pop("start", ">")}, block=100, **kw)
        flat = [i.decode() for entries in got.values() for part in entries for i, _ in part]
        assert flat == expected, got
        for i in flat:
            s.got("fx.s", "g", i, "c=" + consumer, *how)

    s.say("LOGIN text=default vhost=0")
    s.say("SUBSCRIBE fx.s q=g c=w1")
    read(b, "w1", ids[:3], count=3)
    assert b.xack("fx.s", "g", ids[0]) == 1
    s.say("SETTLE", "of=" + ids[0], "ack")
    read(b, "w1", ids[1:3], "redelivered", start="0")
    s.say("SUBSCRIBE fx.s q=g c=w2")
    assert [i.decode() for i, _ in a.xclaim("fx.s", "g", "w2", 0, [ids[1]])] == [ids[1]]
    s.got("fx.s", "g", ids[1], "c=w2", "redelivered")
    claimed = a.xautoclaim("fx.s", "g", "w2", 0, ids[2], count=1)
    assert [i.decode() for i, _ in claimed[1]] == [ids[2]]
    s.got("fx.s", "g", ids[2], "c=w2", "redelivered")
    read(a, "w2", ids[3:4], count=1)
    pending = a.xpending_range("fx.s", "g", "-", "+", 10)
    for p in pending:
        s.got("fx.s", "g", p["message_id"].decode(), "c=" + p["consumer"].decode(), "reported")
    assert a.xack("fx.s", "g", ids[1], ids[2]) == 2
    s.say("SETTLE", "of=" + ids[1], "ack")
    s.say("SETTLE", "of=" + ids[2], "ack")
    assert a.xack("fx.s", "g", "1-1") == 0
    got = b.xreadgroup("g", "w1", {"fx.s": ">"}, noack=True)
    assert got
    s.got("fx.s", "g", ids[4], "c=w1")
    s.say("SETTLE", "of=" + ids[4], "auto")
    got = b.xread({"fx.s": ids[3]})
    assert got
    s.got("fx.s", "-", ids[4])
    s.say("SETTLE", "of=" + ids[4], "auto")
    assert a.xdel("fx.s", ids[0]) == 1
    s.say("DELETE fx.s", ids[0])
    assert a.xtrim("fx.s", minid=ids[2], approximate=False) == 1
    s.say("DELETE fx.s", ids[2], "up-to")
    try:
        b.xreadgroup("nogroup", "w1", {"fx.s": ">"})
        assert False
    except Exception as e:
        s.say("SUBSCRIBE fx.s q=nogroup c=w1")
        s.say("ERROR text=NOGROUP %s" % str(e).removeprefix("NOGROUP "))
        s.say("UNSUBSCRIBE fx.s q=nogroup c=w1")
    a.xgroup_delconsumer("fx.s", "g", "w2")
    s.say("UNSUBSCRIBE fx.s q=g c=w2")
    assert a.xgroup_destroy("fx.s", "g")
    s.say("QDELETE fx.s q=g")
    a.delete("fx.s")
    s.say("XDELETE fx.s")
    b.close()
    s.say("UNSUBSCRIBE fx.s q=g c=w1")
    a.close()


def pubsub(s):
    """Channels, patterns and shard channels, subscribed in RESP2 and in RESP3."""
    a = s.client()
    for protocol in (2, 3):
        c = s.client(protocol=protocol)
        p = c.pubsub()
        p.subscribe("fx.news", "fx.other")
        p.psubscribe("fx.n*")
        for _ in range(3):
            assert "subscribe" in p.get_message(timeout=2)["type"]
        s.say("LOGIN text=default vhost=0")
        s.say("SUBSCRIBE fx.news q=- c=fx.news")
        s.say("SUBSCRIBE fx.other q=- c=fx.other")
        s.say("SUBSCRIBE fx.n* q=- c=fx.n*")
        if protocol == 2:
            s.say("LOGIN text=default vhost=0")
        for channel, to in (("fx.news", ("fx.news", "fx.n*")), ("fx.other", ("fx.other",)), ("fx.gone", ())):
            body = "hello %s" % channel
            assert a.publish(channel, body) == len(to)
            s.say("SEND", channel, fnv(body))
            s.say("CONFIRM" if to else "RETURN", "of=" + fnv(body))
            for consumer in to:
                assert p.get_message(timeout=2)["data"].decode() == body
                s.got(channel, "-", fnv(body), "c=" + consumer)
                s.say("SETTLE", "of=" + fnv(body), "auto")
        p.unsubscribe()
        for _ in range(2):
            assert "unsubscribe" in p.get_message(timeout=2)["type"]
        p.punsubscribe("fx.n*")
        assert "unsubscribe" in p.get_message(timeout=2)["type"]
        for name in ("fx.news", "fx.other", "fx.n*"):
            s.say("UNSUBSCRIBE %s q=- c=%s" % (name, name))
        p.close()
        c.close()
    a.close()


def logins(s):
    """HELLO with a password, AUTH, a wrong one, SELECT, RESET, rules with passwords, inline commands."""
    a = s.client(username="alice", password="hunter2", protocol=3)
    a.rpush("fx.q", "a")
    s.say("LOGIN text=alice vhost=0")
    s.send("fx.q", fnv("a"))
    a.execute_command("ACL", "SETUSER", "bob", "on", ">hunter2", "~*", "+@all", "&*")
    a.config_set("requirepass", "hunter2")
    a.close()
    c = socket.create_connection(("127.0.0.1", s.port))
    wrong = "WRONGPASS invalid username-password pair or user is disabled."
    for words, want in (("AUTH bob hunter2-wrong", "-%s\r\n" % wrong), ("AUTH bob hunter2", "+OK\r\n"),
                        ("SELECT 5", "+OK\r\n"), ("RPUSH fx.q b", ":1\r\n"), ("RESET", "+RESET\r\n"),
                        ("HELLO 2 AUTH default hunter2 SETNAME x", None), ("RPUSH fx.q d", ":2\r\n")):
        words = words.split()
        c.sendall(("*%d\r\n" % len(words) + "".join("$%d\r\n%s\r\n" % (len(w), w) for w in words)).encode())
        got = c.recv(1000).decode()
        assert want is None or got == want, got
    s.say("ERROR text=" + wrong)
    s.say("LOGIN text=default vhost=0")
    s.say("LOGIN text=bob vhost=5")
    s.send("fx.q", fnv("b"))
    s.say("LOGIN text=default vhost=0")
    s.send("fx.q", fnv("d"))
    c.close()
    c = socket.create_connection(("127.0.0.1", s.port))
    for line, want in ((b"AUTH hunter2\r\n", b"+OK\r\n"), (b'rpush fx.q "inline \\x41"\r\n', b":3\r\n"),
                       (b"SELECT 2\r\nrpush fx.q c\r\n", b"+OK\r\n:1\r\n")):
        c.sendall(line)
        got = b""
        while len(got) < len(want):
            got += c.recv(100)
        assert got == want, got
    s.say("LOGIN text=default vhost=0")
    s.send("fx.q", fnv("inline A"))
    s.send("fx.q", fnv("c"))
    c.close()


CELERY = """
import os
import celery
app = celery.Celery("fx", broker="redis://127.0.0.1:%d/1")
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1, broker_transport_options={"priority_steps": [0, 3]},
                broker_connection_retry_on_startup=False, worker_enable_remote_control=False, task_send_sent_event=False)
@app.task(name="shop.bill", bind=True)
def bill(self, order, again=False):
    if again and not self.request.delivery_info.get("redelivered"):
        raise celery.exceptions.Reject("later", requeue=True)
    os.write(1, b"done %%s\\n" %% self.request.id.encode())
"""


def celery(s):
    """Three tasks, one with a priority and one that is put back once; acknowledged late."""
    with tempfile.TemporaryDirectory() as d:
        with open(os.path.join(d, "fx.py"), "w") as f:
            f.write(CELERY % s.port)
        env = {**os.environ, "PYTHONPATH": d}
        code = ("import fx\nfor k in ({}, {'priority': 3}, {'kwargs': {'again': True}}):\n"
                "    print(fx.bill.apply_async((4711,), **k).id)")
        ids = subprocess.run([sys.executable, "-c", code], env=env, cwd=d, check=True, capture_output=True,
                             text=True).stdout.split()
        s.say("LOGIN text=default vhost=1")
        for i in ids:
            s.send("celery", i)
        w = subprocess.Popen([sys.executable, "-m", "celery", "-A", "fx", "worker", "-P", "solo", "-l", "error",
                              "--without-gossip", "--without-mingle", "--without-heartbeat"], env=env, cwd=d,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        done = []
        while len(done) < 3:
            line = w.stdout.readline()
            if not line:
                raise SystemExit("celery's worker ended")
            if line.startswith("done"):
                done.append(line.split()[1])
        time.sleep(1.5)
        w.terminate()
        w.wait()
    assert sorted(done) == sorted(ids), done
    return ids, done


RQ_TASKS = """
def bill(order, to=None):
    return "billed %s" % order
"""


def rq(s):
    """Two jobs by name, done by a simple worker."""
    with tempfile.TemporaryDirectory() as d:
        with open(os.path.join(d, "fxtasks.py"), "w") as f:
            f.write(RQ_TASKS)
        env = {**os.environ, "PYTHONPATH": d}
        code = ("import redis, rq\nq = rq.Queue('mail', connection=redis.Redis('127.0.0.1', %d))\n"
                "for i in (4711, 4712): print(q.enqueue('fxtasks.bill', i, to='J. Doe').id)") % s.port
        ids = subprocess.run([sys.executable, "-c", code], env=env, cwd=d, check=True, capture_output=True,
                             text=True).stdout.split()
        s.say("LOGIN text=default vhost=0")
        for i in ids:
            s.send("rq:queue:mail", i, "tx")
        code = ("import redis, rq\nc = redis.Redis('127.0.0.1', %d)\n"
                "rq.SimpleWorker(['mail'], connection=c).work(burst=True, with_scheduler=False)") % s.port
        subprocess.run([sys.executable, "-c", code], env=env, cwd=d, check=True, capture_output=True)
    return ids, None


SIDEKIQ = """
require "sidekiq"
require "sidekiq/scheduled"
Sidekiq.configure_client { |c| c.redis = { url: "redis://127.0.0.1:%d/0", size: 1 } }
ids = []
ids << Sidekiq::Client.push("class" => "BillJob", "args" => [4711, "J. Doe"], "queue" => "mail")
ids << Sidekiq::Client.push("class" => "LaterJob", "args" => [4712], "queue" => "mail", "at" => Time.now.to_f + 0.2)
sleep 0.5
Sidekiq::Scheduled::Enq.new.enqueue_jobs
2.times { Sidekiq.redis { |c| c.brpop("queue:mail", timeout: 1) } }
puts ids
"""


def sidekiq(s):
    """A job at once and one later, moved by Sidekiq's own scheduler, taken as its fetcher takes them."""
    ids = subprocess.run(["ruby", "-e", SIDEKIQ % s.port], check=True, capture_output=True, text=True).stdout.split()
    now, later = ids
    s.say("LOGIN text=default vhost=0")
    s.send("queue:mail", now)
    s.send("schedule", later)
    s.popped("schedule", later)
    s.send("queue:mail", later)
    s.popped("queue:mail", now)
    s.popped("queue:mail", later)


BULLMQ = """
const { Queue, Worker } = require("bullmq");
const connection = { host: "127.0.0.1", port: %d };
(async () => {
  const q = new Queue("mail", { connection });
  const print = async (p) => { const j = await p; console.log(j.id, j.name); };
  await print(q.add("welcome", { to: "4711" }));
  await print(q.add("bad", { to: "nobody" }, { attempts: 2, backoff: { type: "fixed", delay: 50 } }));
  await print(q.add("later", { to: "4712" }, { delay: 300 }));
  let done = 0;
  const w = new Worker("mail", async (j) => { if (j.name === "bad") throw new Error("no"); return "ok"; },
    { connection, concurrency: 1 });
  await new Promise((r) => {
    const one = () => { if (++done === 4) r(); };
    w.on("completed", one); w.on("failed", one); setTimeout(r, 8000);
  });
  await w.close(); await q.close();
})();
"""


def bullmq(s):
    """A job, one that fails twice, one later; ids are BullMQ's own."""
    out = subprocess.run(["node", "-e", BULLMQ % s.port], check=True, capture_output=True, text=True).stdout
    jobs = [line.split() for line in out.splitlines()]
    assert [name for _, name in jobs] == ["welcome", "bad", "later"], out
    s.say("LOGIN text=default vhost=0")
    s.say("LOGIN text=default vhost=0")
    for (i, _), body in zip(jobs, ('{"to":"4711"}', '{"to":"nobody"}', '{"to":"4712"}')):
        s.say("SEND", "bull:mail", fnv(body))
        s.say("CONFIRM", "of=" + fnv(body), "mid=" + i)
    for i, how, *again in (("1", "ack"), ("2", "requeue"), ("2", "reject", "redelivered"), ("3", "ack")):
        s.got("bull:mail", "bull:mail", i, *again)
        s.say("SETTLE", "of=" + i, how)


SCENARIOS = {f.__name__: f for f in (lists, streams, pubsub, logins, celery, rq, sidekiq, bullmq)}


def settle_late(name, s, found):
    """What the order of a library's own threads decides is told by what it printed."""
    if name == "celery":
        ids, done = found
        for i in done:
            if i == ids[2]:
                s.got("celery", "celery", i)
                s.say("SETTLE", "of=" + i, "reject", "tx")
            s.got("celery", "celery", i, *(["redelivered"] if i == ids[2] else []))
            s.say("SETTLE", "of=" + i, "ack", "tx")
        s.say("SEND", "celery", ids[2])
        s.say("CONFIRM", "of=" + ids[2], "tx")
    elif name == "rq":
        for i in found[0]:
            s.got("rq:queue:mail", "rq:queue:mail", i)
            s.say("SEND", "rq:results:" + i, fnv(""))
            s.say("SETTLE", "of=" + i, "ack", "tx")


def record(name, out):
    with tempfile.TemporaryDirectory() as d:
        server = Server(d, *("--user alice on >hunter2 ~* &* +@all".split() if name == "logins" else ())).start()
        try:
            s = Scenario(name, server.port)
            found = SCENARIOS[name](s)
            settle_late(name, s, found)
            s.end(out)
        finally:
            server.stop()


def main():
    if not shutil.which("redis-server"):
        raise SystemExit("redis-server is not installed")
    out = os.path.join(HERE, "fixtures")
    os.makedirs(out, exist_ok=True)
    bad = 0
    for name in sys.argv[1:] or SCENARIOS:
        try:
            record(name, out)
        except (ImportError, FileNotFoundError, subprocess.CalledProcessError) as e:
            print("%s: not recorded: %s" % (name, e), getattr(e, "stderr", ""), file=sys.stderr)
            bad = 1
    sys.exit(bad)


if __name__ == "__main__":
    main()

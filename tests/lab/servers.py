"""Private servers on loopback beside RabbitMQ (broker.py): Kafka, an old Kafka with ZooKeeper, Redis, NATS.

Each has its own ports and one directory for all that it writes; the pids of what was started are kept and stopped
by number. What does not come as a Debian package is got by tests/lab/fetch.
"""
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time

import broker
from broker import BrokerError

HERE = os.path.dirname(os.path.abspath(__file__))
START_TIMEOUT = 60
_fetched = {}


class Missing(Exception):
    """The machine has not what it takes to get or start it."""


def fetch(name):
    """The directory of what tests/lab/get/ calls @name."""
    if name not in _fetched:
        r = subprocess.run([os.path.join(HERE, "fetch"), name], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=1300)
        if r.returncode == 77:
            raise Missing(r.stderr.decode(errors="replace").strip().split("\n")[-1])
        if r.returncode:
            raise BrokerError(r.stderr.decode(errors="replace").strip()[-1500:])
        _fetched[name] = r.stdout.decode().strip()
    return _fetched[name]


class Server:
    """@dir is made by start() and belongs to the server. Subclasses give `name`, argv() and ready()."""
    name = "server"
    optional = False  # a line that is left out, and said to be, where it cannot be had

    def __init__(self, directory):
        self.dir, self.port, self.processes = os.path.realpath(directory), 0, []

    def missing(self):
        """Why it cannot be started here, or None."""

    def argv(self):
        raise NotImplementedError

    def ready(self):
        raise NotImplementedError

    def prepare(self):
        """Configuration files, before argv()."""

    @property
    def pid(self):
        return self.processes[-1].pid

    @property
    def address(self):
        return "127.0.0.1:%d" % self.port

    def spawn(self, name, argv, env=None):
        with open(os.path.join(self.dir, name + ".out"), "ab") as log:
            # A session of its own: Ctrl-C on the terminal is for the one who runs the lab.
            p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir,
                                 start_new_session=True, env=env)
        self.processes.append(p)
        return p

    def start(self):
        why = self.missing()
        if why:
            raise BrokerError(why)
        os.makedirs(self.dir, exist_ok=True)
        (self.port,) = broker.free_ports(1)
        try:
            self.prepare()
            self.wait(self.spawn(self.name, self.argv()), self.name, self.ready)
        except BaseException:
            self.stop()
            raise
        return self

    def wait(self, process, name, ready):
        end = time.monotonic() + START_TIMEOUT
        while not ready():
            if process.poll() is not None:
                raise BrokerError("%s ended with %d: %s" % (name, process.returncode, self.tail(name)))
            if time.monotonic() > end:
                raise BrokerError("%s was not ready within %d s: %s" % (name, START_TIMEOUT, self.tail(name)))
            time.sleep(0.05)

    def tail(self, name):
        try:
            with open(os.path.join(self.dir, name + ".out"), errors="replace") as f:
                return f.read()[-1200:]
        except OSError:
            return "(no output)"

    def stop(self):
        """The last started ends first. What it kept is thrown away anyway, so patience is short."""
        while self.processes:
            p = self.processes.pop()
            if p.poll() is None:
                p.send_signal(signal.SIGTERM)
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()

    def ask(self, request, size=4096):
        """What it first answers to @request; None when it does not."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 2) as s:
                s.settimeout(2)
                s.sendall(request)
                return s.recv(size)
        except OSError:
            return None


class Redis(Server):
    name = "redis-server"

    def missing(self):
        return None if shutil.which("redis-server") else "redis-server is not installed (make setup installs it)"

    def argv(self):
        return ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self.dir,
                "--unixsocket", self.dir + "/socket", "--proto-max-bulk-len", "64mb"]

    def ready(self):
        return (self.ask(b"PING\r\n") or b"").startswith(b"+PONG")


class Nats(Server):
    name = "nats-server"

    more = ""  # lines of its configuration

    def __init__(self, directory, first=None):
        """@first: another one, already started, whose cluster it joins."""
        super().__init__(directory)
        self.first, self.route = first, None

    def missing(self):
        return None if self.binary() else "nats-server is not installed (make setup installs it)"

    @staticmethod
    def binary():
        return shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin")

    def prepare(self):
        with open(self.dir + "/nats.conf", "w") as f:
            f.write("listen: 127.0.0.1:%d\nmax_payload: 8MB\n" % self.port)
            f.write(self.more)
            if self.route is None:
                f.write("jetstream { store_dir: \"%s/js\", domain: hub }\n" % self.dir)
            else:
                f.write("cluster { name: lab, listen: 127.0.0.1:%d, routes: [%s] }\n" % (
                    self.route, "nats-route://127.0.0.1:%d" % self.first.route if self.first else ""))

    def in_cluster(self):
        """One of several without JetStream; to be called before start()."""
        (self.route,) = broker.free_ports(1)
        return self

    def argv(self):
        return [self.binary(), "-c", self.dir + "/nats.conf"]

    def ready(self):
        return (self.ask(b"") or b"").startswith(b"INFO ")


class NatsNew(Nats):
    """The newest line."""
    name, optional = "nats-new", True

    def missing(self):
        try:
            self.binary()
            return None
        except Missing as e:
            return str(e)

    @staticmethod
    def binary():
        return fetch("nats-new") + "/nats-server"


class NatsLong(NatsNew):
    """With acknowledgement subjects of the long form, not all clients' ordered consumers read them."""
    name, more = "nats-long", "feature_flags { js_ack_fc_v2: true }\n"


class Kafka(Server):
    """The current line: one process that is broker and controller (KRaft)."""
    name = "kafka"
    lines = {"message.max.bytes": 12000000, "replica.fetch.max.bytes": 12000000, "num.partitions": 1,
             "offsets.topic.num.partitions": 2, "offsets.topic.replication.factor": 1,
             "transaction.state.log.num.partitions": 2, "transaction.state.log.replication.factor": 1,
             "transaction.state.log.min.isr": 1, "group.initial.rebalance.delay.ms": 0}

    def missing(self):
        return None if shutil.which("java") else "java is not installed (make setup installs it)"

    def java(self, main, *args, heap="512m"):
        return ["java", "-Xmx" + heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", fetch(self.name) + "/lib/*", main] + list(args)

    def configure(self, **more):
        with open(self.dir + "/server.properties", "w") as f:
            f.writelines("%s=%s\n" % kv for kv in dict(self.lines, **more).items())

    def __init__(self, directory, first=None):
        """@first: another one, already started, whose cluster it joins."""
        super().__init__(directory)
        self.first = first

    def prepare(self):
        self.controller = self.first.controller if self.first else broker.free_ports(1)[0]
        self.cluster = self.first.cluster if self.first else "".join(
            random.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuv") for _ in range(21)) + "A"
        own = "" if self.first else ",CONTROLLER://127.0.0.1:%d" % self.controller
        self.configure(**{
            "process.roles": "broker" if self.first else "broker,controller", "node.id": 2 if self.first else 1,
            "controller.quorum.voters": "1@127.0.0.1:%d" % self.controller,
            "listeners": "PLAINTEXT://%s%s" % (self.address, own),
            "controller.listener.names": "CONTROLLER", "log.dirs": self.dir + "/data",
            "share.coordinator.state.topic.num.partitions": 1,
            "share.coordinator.state.topic.replication.factor": 1, "share.coordinator.state.topic.min.isr": 1})
        r = subprocess.run(self.java("kafka.tools.StorageTool", "format", "-t", self.cluster, "-c",
                                     self.dir + "/server.properties"), cwd=self.dir, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        if r.returncode:
            raise BrokerError("kafka: its storage cannot be formatted: %s" % r.stdout.decode(errors="replace")[-800:])

    def argv(self):
        return self.java("kafka.Kafka", self.dir + "/server.properties")

    def ready(self):
        """It answers ApiVersions version 0."""
        answer = self.ask(bytes.fromhex("0000000b" "00120000" "00000007" "0001" "78"))
        return bool(answer) and answer[4:8] == b"\0\0\0\7"


class KafkaOld(Kafka):
    """2.8.2 with ZooKeeper, the last line that converts to message sets 0 and 1."""
    name = "kafka-old"

    def prepare(self):
        (zk,) = broker.free_ports(1)
        self.configure(**{"broker.id": 1, "listeners": "PLAINTEXT://" + self.address, "log.dirs": self.dir + "/data",
                          "zookeeper.connect": "127.0.0.1:%d" % zk})
        with open(self.dir + "/zoo.cfg", "w") as f:
            f.write("clientPort=%d\nclientPortAddress=127.0.0.1\ndataDir=%s/zk\nadmin.enableServer=false\n" % (zk, self.dir))
        keeper = self.spawn("zookeeper", self.java("org.apache.zookeeper.server.ZooKeeperServerMain",
                                                   self.dir + "/zoo.cfg", heap="128m"))
        self.wait(keeper, "zookeeper", lambda: self._listens(zk))

    @staticmethod
    def _listens(port):
        try:
            socket.create_connection(("127.0.0.1", port), 2).close()
            return True
        except OSError:
            return False


SERVERS = {c.name: c for c in (Redis, Nats, NatsNew, Kafka, KafkaOld)}


def main():
    """servers.py NAME...: starts them, says where, stops them at the end of standard input."""
    import tempfile
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    d, running = tempfile.mkdtemp(prefix="evtrace-servers-"), []
    try:
        for name in sys.argv[1:]:
            t = time.monotonic()
            running.append(SERVERS[name](os.path.join(d, name)).start())
            print("%s %s pid %d (%.1f s)" % (name, running[-1].address, running[-1].pid, time.monotonic() - t), flush=True)
        sys.stdin.read()
    finally:
        for s in running:
            s.stop()
        shutil.rmtree(d, ignore_errors=True)


if __name__ == "__main__":
    main()

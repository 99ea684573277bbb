"""What test_kafka, test_redis and test_nats share: one private server, clients run against it under `evtrace record`
with a capture (tcpdump on its port only) beside it, and both stores judged by what the clients wrote down."""
import os
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

import broker
import events
import lab
import servers

HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE = 60


def need(server):
    """Ends the test as skipped where the machine is not one to trace on. What the registries have and do not give is
    a failure."""
    lab.need()
    why = server("/nonexistent").missing() or (None if shutil.which("tcpdump") else "tcpdump is not installed")
    if why:
        print("skipped: %s (make setup installs what the tests need)" % why)
        sys.exit(lab.SKIP)


class Client:
    """How the driver of one language is called."""

    def __init__(self, name, *argv):
        self.name, self.argv = name, [str(a) for a in argv]


def python_client(name, *more):
    return Client("python", servers.fetch("python") + "/bin/python", "-B", os.path.join(HERE, name, "driver.py"), *more)


def c_client(name):
    return Client("C", os.path.join(lab.ROOT, ".output/tests/lab", name, "driver"))


def other_clients(name):
    """The clients in Go, Java and JavaScript that this machine has the tools for; what is missing is said."""
    found = []
    for language, start in (("go", lambda d: [d + "/driver"]), ("java", lambda d: ["java", "-XX:TieredStopAtLevel=1",
                            "-XX:+UseSerialGC", "-cp", d + ":" + d + "/lib/*", "Driver"]),
                            ("node", lambda d: ["node", d + "/driver.js"])):
        try:
            found.append(Client(language, *start(servers.fetch(language)), name))
        except servers.Missing as e:
            print("without a client in %s: %s" % (language, e), flush=True)
    return found


class Step:
    """One client's run: @line is its command and options; @background: it consumes, and is waited for at the end."""

    def __init__(self, client, line, background=False):
        self.client, self.line, self.background = client, shlex.split(line), background


def consume(client, line):
    return Step(client, "consume " + line, background=True)


def produce(client, line):
    return Step(client, "produce " + line)


class EventLab(lab.Lab):
    def __init__(self, name, server):
        lab.Cases.__init__(self)
        self.dir = tempfile.mkdtemp(prefix="evtrace-lab-%s-" % name)
        self.broker = server(os.path.join(self.dir, "server"))
        self.started, self.runs = [], 0

    def __enter__(self):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            self.broker.start()
        except BaseException:
            shutil.rmtree(self.dir, ignore_errors=True)
            raise
        return self

    def case(self, name, fn):
        """$ONLY: cases whose name holds it, for whoever works on one."""
        if os.environ.get("ONLY", "") in name:
            super().case(name, fn)

    def call(self, client, line):
        """A client's run that nobody watches."""
        r = subprocess.run(client.argv + shlex.split(line) + ["--server", self.broker.address, "--log", "/dev/null"],
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE)
        if r.returncode:
            raise lab.Fault("%s: exit code %d: %s" % (line, r.returncode, r.stdout.decode(errors="replace")[-800:]))

    def argv(self, d, i, step):
        argv = step.client.argv + step.line + ["--server", self.broker.address, "--log", "%s/%d.log" % (d, i)]
        if step.background:
            argv += ["--ready", "%s/ready.%d" % (d, i)]
        return argv

    def script(self, d, steps):
        """A shell's lines that run @steps and fail with the first that fails."""
        lines, pids = ["cd %s" % shlex.quote(d)], []
        for i, s in enumerate(steps):
            line = shlex.join(self.argv(d, i, s)) + " 2>%d.err" % i
            if not s.background:
                lines.append(line + " || exit 1")
                continue
            lines.append("%s & p%d=$!" % (line, i))
            pids.append("$p%d" % i)
            lines.append("while [ ! -e ready.%d ]; do kill -0 $p%d || exit 1; sleep 0.02; done" % (i, i))
        lines += ["wait %s || exit 1" % p for p in pids]
        return "\n".join(lines + [": >done"])

    def complaints(self, d):
        said = []
        for f in sorted(os.listdir(d)):
            if f.endswith(".err"):
                with open(os.path.join(d, f), errors="replace") as g:
                    text = g.read().strip()
                if text:
                    said.append("%s: %s" % (f, text[-600:]))
        return "\n".join(said)

    def capture(self, path):
        """tcpdump of the server's port; returns when it listens."""
        p = subprocess.Popen(["tcpdump", "--immediate-mode", "-i", "lo", "-U", "-s", "0", "-B", "65536", "-w", path, "tcp", "port",
                              str(self.broker.port)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=open(path + ".said", "wb"), start_new_session=True)
        self.started.append(p)

        def listening():
            if p.poll() is not None:
                raise lab.Fault("tcpdump ended: %s" % open(path + ".said").read())
            return "listening on" in open(path + ".said").read()
        lab.until("tcpdump listens", listening)
        return p

    def captured(self, p, path):
        """Ends a capture; False: the kernel dropped packets of it."""
        time.sleep(0.2)
        p.send_signal(signal.SIGINT)
        p.wait(20)
        with open(path + ".said") as f:
            return "\n0 packets dropped by kernel" in f.read()

    def from_start(self, steps, capture=True, env=None, **options):
        """Programs watched from their first byte; then the same from a capture."""
        d, store = self.directory("run"), self.path("store")
        pcap = d + "/pcap"
        dump = self.capture(pcap) if capture else None
        try:
            self.record(store, ["bash", "-c", self.script(d, steps)], patience=PATIENCE, env=env)
        except lab.Fault as e:
            raise lab.Fault("%s\n    %s" % (e, self.complaints(d)))
        if not os.path.exists(d + "/done"):
            raise lab.Fault("a client failed: %s" % self.complaints(d))
        whole = not dump or self.captured(dump, pcap)
        checked = events.judged(store, events.logs(d), **options)
        if dump:
            self.imported(d, pcap, whole, options)
        return store, d, checked

    def imported(self, d, pcap, whole, options):
        store = self.path("imported")
        lab.evtrace("import", pcap, store=store)
        try:
            events.judged(store, events.logs(d), **dict(options, pids=False, gaps=options.get("gaps") or not whole))
        except lab.Fault as e:
            raise lab.Fault("from the capture: %s" % e)

    def from_middle(self, steps, capture=False, **options):
        """Recording begins when all are connected: producers hold after their first --warm messages."""
        d, store = self.directory("late"), self.path("store")
        programs = []
        for i, s in enumerate(steps):
            argv = self.argv(d, i, s) + ([] if s.background else ["--hold", d])
            with open("%s/%d.err" % (d, i), "wb") as err:
                programs.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=err, cwd=d))
            self.started.append(programs[-1])
            mark = "%s/%s.%d" % (d, *(("ready", i) if s.background else ("held", programs[-1].pid)))
            lab.until("%s is there: %s" % (os.path.basename(mark), self.complaints(d)), lambda: os.path.exists(mark))
        recorder = self.recorder(store, *[a for p in programs for a in ("--pid", p.pid)]).wait_attached()
        open(d + "/go", "w").close()
        for p in programs:
            if p.wait(PATIENCE):
                raise lab.Fault("a client ended with %d: %s" % (p.returncode, self.complaints(d)))
        recorder.finish()
        return store, d, events.judged(store, events.logs(d), after_hold=True, **options)


DAMAGES = {
    "a lost message": "DELETE FROM message WHERE id = (SELECT max(id) FROM message)",
    "a message too many": "INSERT INTO message SELECT (SELECT max(id) + 1 FROM message), session, broker, proto, {columns} FROM message WHERE id = 3",
    "another's payload": "UPDATE message SET payload = (SELECT payload FROM message WHERE id = 4) WHERE id = 3",
    "a wrong destination": "UPDATE message SET exchange = 0 WHERE id = 3",
    "a wrong id": "UPDATE message SET mid = mid || '0' WHERE id = 3",
    "a lost confirmation": "UPDATE message SET flags = flags & ~16777216 WHERE id = 3",
    "another sender": "UPDATE message SET process = process + 1 WHERE id = 3",
    "a delivery too few": "DELETE FROM operation WHERE id = (SELECT max(id) FROM operation WHERE kind = 4)",
    "a delivery too many": "UPDATE operation SET kind = 4 WHERE id = (SELECT min(id) FROM operation WHERE kind = 1)",
    "a wrong state": "UPDATE copy SET state = 5 WHERE id = 3",
    "a copy too few": "DELETE FROM copy WHERE id = 3",
    "a gap": "INSERT INTO gap (bytes, records, reason) VALUES (1, 1, 'x')",
}


def no_fool(l, store, d, leave_out=(), **options):
    """Each kind of damage to a good store must be found."""
    for what, damage in DAMAGES.items():
        if what in leave_out:
            continue
        bad = l.path("bad")
        shutil.copytree(store, bad)
        db = sqlite3.connect(os.path.join(bad, "catalogue.db"))
        columns = [r[1] for r in db.execute("PRAGMA table_info(message)")][4:]
        with db:
            db.execute(damage.format(columns=", ".join(columns)))
        db.close()
        try:
            events.judged(bad, events.logs(d), **options)
        except lab.Fault:
            continue
        raise lab.Fault("the judge did not see %s" % what)


def main(name, *parts):
    """@parts: (server, cases) in turn; cases(lab) runs them."""
    passed = failed = 0
    for server, _ in parts:
        if not server.optional:
            need(server)
    try:
        for server, cases in parts:
            why = server.optional and server("/nonexistent").missing()
            if why:
                print("without %s: %s" % (server.name, why), flush=True)
                continue
            with EventLab(name, server) as l:
                cases(l)
            passed, failed = passed + l.passed, failed + l.failed
    except (servers.Missing, broker.BrokerError) as e:
        print("%s: %s" % (name, e))
        return 1
    print("cases: %d passed, %d failed" % (passed, failed))
    return 1 if failed else 0

"""What the lab's tests share: a broker, the recorder under test, the drivers, the judge, cases counted."""
import contextlib
import glob
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import broker  # noqa: E402
import judge  # noqa: E402

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
EVTRACE = os.environ.get("EVTRACE", os.path.join(ROOT, ".output/evtrace"))
# Clients are ordinary programs: a build with sanitizers does not change them.
DRIVER = os.path.join(ROOT, ".output/tests/lab/client/driver")
DRIVER_PY = os.path.join(ROOT, "tests/lab/client/driver.py")
SKIP = 77


class Fault(Exception):
    pass


def need(fail=False):
    """Ends the test as skipped (@fail: as failed) where the machine lacks what it takes."""
    why = None
    if os.geteuid() != 0:
        why = "tracing needs root"
    elif not os.path.exists("/sys/kernel/btf/vmlinux"):
        why = "this kernel has no BTF"
    else:
        why = broker.missing()
    if why and fail:
        sys.exit("%s: %s" % (os.path.basename(sys.argv[0]), why))
    if why:
        print("skipped: %s" % why)
        sys.exit(SKIP)
    for path in (EVTRACE, DRIVER):
        if not os.path.exists(path):
            sys.exit("%s is not built: make all workloads" % path)


def until(what, fn, patience=20, pause=0.02):
    """Polls fn() until it is true; returns its value."""
    end = time.monotonic() + patience
    while True:
        value = fn()
        if value:
            return value
        if time.monotonic() > end:
            raise Fault("%s: not within %g s" % (what, patience))
        time.sleep(pause)


def evtrace(*args, store=None, ok=(0,), text=True, env=None):
    """Runs one command, returns its stdout; its exit code must be one of @ok."""
    argv = [EVTRACE, args[0]] + (["--store", store] if store else []) + [str(a) for a in args[1:]]
    r = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120,
                       env=dict(os.environ, **(env or {})))
    if r.returncode not in ok:
        raise Fault("%s: exit code %d\n%s%s" % (shlex.join(argv), r.returncode, r.stdout.decode(errors="replace")[-1500:],
                                                 r.stderr.decode(errors="replace")[-1500:]))
    return r.stdout.decode() if text else r.stdout


def rows(*args, store=None, ok=(0,)):
    """A question's --json answer."""
    return [json.loads(line) for line in evtrace(*args, "--json", store=store, ok=ok).splitlines()]


class Recorder:
    """`evtrace record` in the background."""

    def __init__(self, store, *args, env=None):
        self.store, self.log = store, store + ".record"
        self.argv = [EVTRACE, "record", "--store", store] + [str(a) for a in args]
        with open(self.log, "wb") as f:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=f, stderr=f, cwd=ROOT,
                                            env=dict(os.environ, **(env or {})), start_new_session=True)

    @property
    def pid(self):
        return self.process.pid

    def said(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def wait_attached(self):
        """Until it watches: its session is in the catalogue, which it opens after its programs are attached."""
        def there():
            if self.process.poll() is not None:
                raise Fault("evtrace record ended with %d: %s" % (self.process.returncode, self.said()[-1500:]))
            return self.sessions()
        until("the recorder attaches", there)
        return self

    def sessions(self):
        import sqlite3
        path = os.path.join(self.store, "catalogue.db")
        if not os.path.exists(path):
            return 0
        try:
            db = sqlite3.connect("file:%s?mode=ro" % path, uri=True)
            with contextlib.closing(db):
                return db.execute("SELECT count(*) FROM session WHERE running = 1 AND pid = ?", (self.pid,)).fetchone()[0]
        except sqlite3.Error:
            return 0

    def finish(self, sig=signal.SIGINT, code=0, patience=30):
        """Ends it as an operator does (@sig None: it ends by itself, its command ended)."""
        if sig is not None and self.process.poll() is None:
            self.process.send_signal(sig)
        try:
            rc = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Fault("evtrace record did not end within %d s: %s" % (patience, self.said()[-1500:]))
        if rc != code:
            raise Fault("evtrace record ended with %d instead of %d: %s" % (rc, code, self.said()[-1500:]))

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Cases:
    """Counts what passes; the last line is what tests/run reads."""

    def __init__(self):
        self.passed = self.failed = 0

    def case(self, name, fn):
        try:
            fn()
            self.passed += 1
            if os.environ.get("V"):
                print("ok   %s" % name, flush=True)
        except Exception as e:
            self.failed += 1
            if not isinstance(e, Fault):
                traceback.print_exc()
            print("FAIL %s: %s" % (name, e), flush=True)

    def end(self):
        print("cases: %d passed, %d failed" % (self.passed, self.failed))
        return 1 if self.failed else 0


class Lab(Cases):
    """A directory, a broker in it, and what is started meanwhile; leaving ends all of it."""

    def __init__(self, name, tls=False):
        super().__init__()
        self.dir = tempfile.mkdtemp(prefix="evtrace-lab-%s-" % name)
        self.broker = broker.Broker(os.path.join(self.dir, "broker"))
        self.started, self.runs, self.tls = [], 0, tls

    def __enter__(self):
        # tests/run ends a test whose time is over with SIGTERM: then too nothing may be left running.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            self.broker.start(self.tls)
            self.ipv6 = broker.accepts_amqp(self.broker.port, "::1")
        except BaseException:
            shutil.rmtree(self.dir, ignore_errors=True)
            raise
        return self

    def __exit__(self, *_):
        for p in self.started:
            if p.poll() is None:
                p.kill()
                p.wait()
        self.broker.stop()
        if self.failed and os.environ.get("KEEP"):
            print("kept: %s" % self.dir)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    def path(self, name):
        """A fresh path below the lab's directory."""
        self.runs += 1
        return os.path.join(self.dir, "%03d-%s" % (self.runs, name))

    def directory(self, name):
        path = self.path(name)
        os.mkdir(path)
        return path

    def recorder(self, store, *args, env=None):
        r = Recorder(store, *args, env=env)
        self.started.append(r.process)
        return r

    def record(self, store, argv, *scope, patience=90, env=None):
        """Records a command to its end; with more in scope it still ends with the command."""
        self.recorder(store, *scope, "--", *argv, env=env).finish(sig=None, patience=patience)

    def spawn(self, *argv):
        p = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, cwd=ROOT)
        self.started.append(p)
        return p

    def driver(self, mode, log, *options, url=None):
        """@url "": it takes $AMQP_URL."""
        url = self.broker.url if url is None else url
        return [DRIVER, mode] + (["--url", url] if url else []) + ["--log", log] + [str(o) for o in options]

    def pair(self, name, sub, pub, url=None):
        """A shell line that runs a consumer and then a publisher against it, and where their logs will be."""
        d = self.directory(name)
        ready = d + "/ready"
        sub = self.driver("sub", d + "/sub", "--ready", ready, *sub, url=url)
        pub = self.driver("pub", d + "/pub", *pub, url=url)
        line = "%s & while [ ! -e %s ]; do sleep 0.02; done; %s && wait $!" % (shlex.join(sub), ready, shlex.join(pub))
        return line, d


def logs(directory):
    return sorted(glob.glob(directory + "/sub*") + glob.glob(directory + "/pub*") + glob.glob(directory + "/*.log"))


def approve(store, log_paths, at_least=None, **options):
    """Raises what the judge found."""
    faults, checked = judge.judge(store, log_paths, **options)
    for what, n in (at_least or {}).items():
        if checked.get(what, 0) < n:
            faults.append("only %d %s were compared, not %d" % (checked.get(what, 0), what, n))
    if faults:
        raise Fault("%d faults in %s\n    %s" % (len(faults), checked, "\n    ".join(faults[:12])))
    return checked

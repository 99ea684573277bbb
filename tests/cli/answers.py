"""What the tests of the commands that answer questions share: a store (tests/unit/scenario.h writes it), running a
command on it in a pipe or on a terminal, and counting cases."""
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import fcntl

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
OUT = os.environ.get("EVTRACE_OUTPUT", os.path.join(ROOT, ".output"))
EVTRACE = os.environ.get("EVTRACE", os.path.join(OUT, "evtrace"))
MAKE_STORE = os.environ.get("MAKE_STORE", os.path.join(OUT, "tests", "unit", "test_answers"))

tmp = tempfile.mkdtemp(prefix="evtrace-test-")
store = os.path.join(tmp, "store")
env = dict(os.environ, EVTRACE_STORE=store, LC_ALL="C.UTF-8", TZ="UTC", TERM="dumb")
for name in ("SUDO_USER", "NO_COLOR", "COLUMNS"):
    env.pop(name, None)
log_store = os.path.join(tmp, "log")  # of records that a group reads: tests/unit/scenario_log.h
passed = failed = 0
subprocess.run([MAKE_STORE, "make", store], check=True)
subprocess.run([MAKE_STORE, "make-log", log_store], check=True)


def no_key_twice(pairs):
    names = [name for name, _ in pairs]
    assert len(set(names)) == len(names), f"a key comes twice: {names}"
    return dict(pairs)


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return f"exit code {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"

    def json(self):
        return [json.loads(line, object_pairs_hook=no_key_twice) for line in self.out.splitlines()]


def run(*args, **more):
    p = subprocess.run([EVTRACE, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                       stdin=subprocess.DEVNULL, env=dict(env, **more))
    return Result(p.returncode, p.stdout.decode("utf-8", "backslashreplace"), p.stderr.decode())


def run_bytes(*args):
    p = subprocess.run([EVTRACE, *args], stdout=subprocess.PIPE, timeout=60, stdin=subprocess.DEVNULL, env=env)
    return p.returncode, p.stdout


def on_terminal(columns, *args, **more):
    """Exit code and output on a terminal that is so wide."""
    pid, fd = pty.fork()
    if not pid:
        os.execve(EVTRACE, [EVTRACE, *args], dict(env, **more))
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    out = b""
    while True:
        try:
            part = os.read(fd, 65536)
        except OSError:
            break
        if not part:
            break
        out += part
    os.close(fd)
    return Result(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), out.decode().replace("\r\n", "\n"), "")


def case(fn):
    """Runs a function as one case; an assertion that fails is told and counted."""
    global passed, failed
    try:
        fn()
        passed += 1
    except (AssertionError, ValueError, KeyError, IndexError, subprocess.TimeoutExpired) as e:
        failed += 1
        where = e.__traceback__
        while where.tb_next:
            where = where.tb_next
        print(f"{fn.__name__}, line {where.tb_lineno}: {type(e).__name__}: {e}")


def equal(got, want):
    assert got == want, f"got:\n{got}\nwant:\n{want}"


def holds(text, part):
    assert part in text, f"{part!r} is not in:\n{text}"


def lacks(text, part):
    assert part not in text, f"{part!r} is in:\n{text}"


def common_refusals(cmd, *args):
    """What every one of these commands does alike."""
    r = run(cmd, "--help")
    equal(r.code, 0)
    assert r.out.startswith(f"usage: evtrace {cmd} "), r.out
    holds(r.out, "Exit code")
    takes_since = "--since" in r.out
    assert max(len(line) for line in r.out.splitlines()) <= 120, r.out
    r = run(cmd, "--no-such-option", *args)
    equal((r.code, r.err), (2, f'evtrace {cmd}: there is no option "--no-such-option"\n'
                               f"  evtrace {cmd} --help lists them\n"))
    r = run(cmd, "--since", "whenever", *args)
    equal(r.code, 2)
    holds(r.err, '--since takes a time, not "whenever"' if takes_since else 'there is no option "--since"')
    r = run(cmd, "--store", os.path.join(tmp, "nowhere"), *args)
    equal((r.code, r.out), (5, ""))
    holds(r.err, "nowhere")
    r = run(cmd, "--limit", "-1", *args)
    equal(r.code, 2)


def end():
    shutil.rmtree(tmp)
    print(f"cases: {passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)

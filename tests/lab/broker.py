"""A private RabbitMQ on loopback: own node name, ports, directories and epmd; never the system's.

Everything it writes is below one directory. What was started is stopped by the pids kept there, and stop()
says whether anything was left.
"""
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time

# The scripts in /usr/sbin switch to the user rabbitmq; this one does not.
SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
CTL = "/usr/lib/rabbitmq/bin/rabbitmqctl"
START_TIMEOUT = 60


class BrokerError(Exception):
    pass


def missing():
    """Why no broker can be started here, or None."""
    if not os.path.exists(SERVER):
        return "rabbitmq-server is not installed (make setup installs it)"
    return None


def free_ports(n):
    """Ports that nobody listens on, below the range from which the kernel picks for connect()."""
    taken = []
    try:
        while len(taken) < n:
            s = socket.socket()
            try:
                s.bind(("127.0.0.1", random.randint(20000, 32000)))
            except OSError:
                s.close()
                continue
            taken.append(s)
        return [s.getsockname()[1] for s in taken]
    finally:
        for s in taken:
            s.close()


def alive(pid):
    """True for a process that runs; a zombie does not."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def wait_gone(pids, timeout):
    end = time.monotonic() + timeout
    while any(alive(p) for p in pids):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def accepts_amqp(port, host="127.0.0.1"):
    """True when the broker answers a protocol header with a method frame (Connection.Start)."""
    try:
        with socket.create_connection((host, port), 2) as s:
            s.settimeout(5)
            s.sendall(b"AMQP\0\0\x09\x01")
            return s.recv(1) == b"\x01"
    except OSError:
        return False


class Broker:
    def __init__(self, directory):
        self.dir = os.path.realpath(directory)
        self.state = os.path.join(self.dir, "broker.json")
        self.port = self.tls_port = self.dist = self.epmd = 0
        self.pids = {}

    @property
    def url(self):
        return "amqp://guest:guest@127.0.0.1:%d/%%2F" % self.port

    @property
    def pid(self):
        return self.pids["server"]

    def load(self):
        with open(self.state) as f:
            saved = json.load(f)
        self.port, self.dist, self.epmd, self.pids = saved["port"], saved["dist"], saved["epmd"], saved["pids"]
        return self

    def _save(self):
        with open(self.state, "w") as f:
            json.dump({"port": self.port, "dist": self.dist, "epmd": self.epmd, "pids": self.pids}, f)

    def _spawn(self, name, argv, env):
        log = open(os.path.join(self.dir, name + ".out"), "ab")
        # A session of its own: Ctrl-C on the terminal is for the one who runs the lab.
        p = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                             cwd=self.dir, start_new_session=True)
        log.close()
        self.pids[name] = p.pid
        self._save()
        return p

    def env(self):
        d = self.dir
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "HOME": d,
            # An address as the host part: needs no resolver, not even /etc/hosts.
            "RABBITMQ_NODENAME": "evt-%d@127.0.0.1" % self.port,
            "RABBITMQ_USE_LONGNAME": "true",
            "RABBITMQ_MNESIA_BASE": d + "/mnesia",
            "RABBITMQ_LOG_BASE": d + "/log",
            "RABBITMQ_CONF_ENV_FILE": d + "/none",
            "RABBITMQ_CONFIG_FILE": d + "/rabbitmq",
            "RABBITMQ_ADVANCED_CONFIG_FILE": d + "/none",
            "RABBITMQ_ENABLED_PLUGINS_FILE": d + "/enabled_plugins",
            "RABBITMQ_PID_FILE": d + "/rabbitmq.pid",
            "RABBITMQ_DIST_PORT": str(self.dist),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self.epmd),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            # Makes the start script exec the server instead of waiting for it: its pid is ours.
            "RUNNING_UNDER_SYSTEMD": "1",
        }

    def _tls(self):
        """Configuration lines for TLS with a certificate of its own, where openssl is there to make one."""
        key, cert = self.dir + "/key.pem", self.dir + "/cert.pem"
        if not shutil.which("openssl"):
            return ""
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                        "/CN=localhost", "-keyout", key, "-out", cert], check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        (self.tls_port,) = free_ports(1)
        return ("listeners.ssl.1 = 127.0.0.1:%d\nssl_options.cacertfile = %s\nssl_options.certfile = %s\n"
                "ssl_options.keyfile = %s\nssl_options.verify = verify_none\n" % (self.tls_port, cert, cert, key))

    def start(self, tls=False):
        """@tls: also on `tls_port`, which stays 0 when that cannot be had."""
        why = missing()
        if why:
            raise BrokerError(why)
        os.makedirs(self.dir, exist_ok=True)
        if os.path.exists(self.state):
            raise BrokerError("%s is in use: a broker was started there already" % self.dir)
        self.port, self.dist, self.epmd = free_ports(3)
        with open(os.path.join(self.dir, "rabbitmq.conf"), "w") as f:
            f.write("listeners.tcp.1 = 127.0.0.1:%d\n" % self.port)
            if self.ipv6():
                f.write("listeners.tcp.2 = ::1:%d\n" % self.port)
            f.write("disk_free_limit.absolute = 1MB\n"
                    "vm_memory_high_watermark.absolute = 1GB\n"
                    "log.file.level = info\n")
            f.write(self._tls() if tls else "")
        with open(os.path.join(self.dir, "enabled_plugins"), "w") as f:
            f.write("[].\n")
        env = self.env()
        try:
            # In the foreground, so that its pid is known; the node would start one that outlives it.
            self._spawn("epmd", ["epmd", "-port", str(self.epmd), "-address", "127.0.0.1"], env)
            server = self._spawn("server", [SERVER], env)
            self._wait_ready(server)
        except BaseException:
            self.stop()
            raise
        return self

    def ipv6(self):
        """Whether ::1 can be listened on here too."""
        try:
            with socket.socket(socket.AF_INET6) as s:
                s.bind(("::1", self.port))
                return True
        except OSError:
            return False

    def _wait_ready(self, server):
        end = time.monotonic() + START_TIMEOUT
        while not accepts_amqp(self.port):
            if server.poll() is not None:
                raise BrokerError("rabbitmq-server ended with %d; its output: %s"
                                  % (server.returncode, self._tail()))
            if time.monotonic() > end:
                raise BrokerError("rabbitmq-server did not accept AMQP on port %d within %d s: %s"
                                  % (self.port, START_TIMEOUT, self._tail()))
            time.sleep(0.1)

    def _tail(self):
        try:
            with open(os.path.join(self.dir, "server.out"), errors="replace") as f:
                return f.read()[-800:]
        except OSError:
            return "(none)"

    def ctl(self, *args):
        """rabbitmqctl on this node."""
        r = subprocess.run([CTL, *args], env=self.env(), cwd=self.dir, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        if r.returncode:
            raise BrokerError("rabbitmqctl %s: %s" % (" ".join(args), r.stdout.decode(errors="replace")[-500:]))
        return r.stdout.decode()

    def stop(self):
        """Ends the node and its epmd. The data is thrown away anyway, so patience is short."""
        for name in ("server", "epmd"):
            pid = self.pids.get(name)
            if not pid:
                continue
            # Children of the server (erl_child_setup, inet_gethost) end with it.
            for sig, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
                try:
                    os.kill(pid, sig)
                except ProcessLookupError:
                    break
                self._reap(pid)
                if wait_gone([pid], patience):
                    break
            self._reap(pid)
        self.pids = {}
        if os.path.exists(self.state):
            os.unlink(self.state)
        end = time.monotonic() + 5
        while self.left() and time.monotonic() < end:
            time.sleep(0.05)
        for pid in self.left():
            os.kill(pid, signal.SIGKILL)

    @staticmethod
    def _reap(pid):
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass

    def left(self):
        """Processes that carry this broker's own environment."""
        mark = b"RABBITMQ_MNESIA_BASE=" + os.fsencode(self.dir) + b"/mnesia\0"
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    with open("/proc/%s/environ" % entry, "rb") as f:
                        if mark in f.read():
                            found.append(int(entry))
                except OSError:
                    pass
        return found

"""Compares a store with what clients wrote down in the form of client/truth.py: every message sent and received and
every settlement must be there, exact in destination, key, headers, body and broker's id, or be covered by a counted
gap. Rows come from `evtrace sql --json`; bytes are read by judge.Payloads, whose code is not evtrace's."""
import collections
import json
import os
import sqlite3
import zlib

import judge
import lab

HEADER, TYPE_NULL = 0x40, 6  # user/proto/pairs.h


def pairs(envelope):
    """Properties and headers of an envelope of pairs: {name: value}, [[name, value], ...]."""
    properties, headers, at = {}, [], 1

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = envelope[at]
            at += 1
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value

    def text():
        nonlocal at
        n = number()
        at += n
        return envelope[at - n:at].decode(errors="surrogateescape")

    while at < len(envelope):
        kind = envelope[at]
        at += 1
        name, value = text(), text()
        value = None if kind & 0x3f == TYPE_NULL else value
        if kind & HEADER:
            headers.append([name, value])
        else:
            properties[name] = value
    return properties, headers


class Truth:
    """@after_hold: what stands before a hold was not watched."""

    def __init__(self, paths, after_hold=False):
        self.sends, self.receives, self.settles, self.unwatched = [], [], [], set()
        for path in paths:
            with open(path, encoding="utf-8") as f:
                lines = [json.loads(line) for line in f]
            held = max((i for i, x in enumerate(lines) if x["op"] == "hold"), default=-1) if after_hold else -1
            for i, x in enumerate(lines):
                if x["op"] == "send" and i > held:
                    self.sends.append(x)
                elif x["op"] == "send":
                    self.unwatched.add(name_of(x))
                elif x["op"] == "recv":
                    self.receives.append(x)
                elif x["op"] == "settle":
                    self.settles.append(x)
        self.receives = [x for x in self.receives if name_of(x) not in self.unwatched]
        self.settles = [x for x in self.settles if x.get("upto") or name_of(x) not in self.unwatched]


def name_of(x):
    """What tells one message from others: the broker's name for it, else where it went and its bytes."""
    if x.get("mid"):
        return x["log"], x["mid"]
    return bytes_name(x.get("dest", ""), x.get("rk", ""), x.get("size", 0), x.get("head", x.get("crc")), x.get("headers") or x.get("fields"))


def bytes_name(dest, rk, size, crc, headers):
    return dest, rk, size, crc, number_of(headers)


def number_of(headers):
    """The driver's own name for a message, which tells apart those with the same body."""
    return next((value for name, value in headers or () if name == "n"), None)


class Store:
    def __init__(self, path):
        self.path = path
        self.payloads = judge.Payloads(path, sqlite3.connect("file:%s/catalogue.db?mode=ro" % path, uri=True))
        self.messages = {m["id"]: m for m in self.sql("SELECT * FROM messages")}
        for m in self.messages.values():
            m["copies"], m["receives"] = [], []
            envelope, body = self.payloads.get(m["payload"]) if m["payload"] else (b"\x81", b"")
            m["envelope"], m["body"] = envelope, body
            m["properties"], m["headers"] = pairs(envelope)
            m["crc"] = zlib.crc32(body)
        self.orphans = 0
        for c in self.sql("SELECT * FROM copies"):
            if c["message"] in self.messages:
                self.messages[c["message"]]["copies"].append(c)
            else:
                self.orphans += 1
        self.receives = self.sql("SELECT o.message, o.pid, c.queue, o.redelivered FROM operations o"
                                 " LEFT JOIN copies c ON c.id = o.copy WHERE o.kind = 'receive'")
        self.gaps = self.sql("SELECT g.*, p.pid FROM gaps g LEFT JOIN connection c ON c.id = g.connection"
                             " LEFT JOIN process p ON p.id = c.client")
        # What was said on a connection that was never understood is told as such.
        self.dark = {r["pid"] for r in self.sql("SELECT p.pid FROM connection c LEFT JOIN process p ON p.id = c.client"
                                                " WHERE c.state = 0 AND c.bytes_to_server + c.bytes_to_client > 0")}
        self.lost = sum(r["n"] or 0 for r in self.sql("SELECT sum(lost_records) + sum(lost_bytes) AS n FROM session"))

    def sql(self, query):
        return lab.rows("sql", query, store=self.path, ok=(0, 1))

    def names(self, m):
        """As name_of() would call it, both ways."""
        if m["broker_id"]:
            yield m["log"], m["broker_id"]
        yield bytes_name(m["exchange"] or "", m["routing_key"] or "", m["body_size"], m["crc"], m["headers"])


class Judge:
    """@pids: the store knows who did it. @gaps: a counted gap may be there and excuses what is missing.
    @more: clients take more than they hand on to the program that we wrote (they fetch ahead).
    @confirmed: the broker says what it took. @states: what stands in the end is compared too. @ordered: so is the order of headers.
    @outstanding: of what each client took first, so many may be answers to what it asked before we watched."""

    def __init__(self, truth, store, pids=True, gaps=False, more=False, confirmed=True, states=True, sent=True,
                 ordered=False, outstanding=0):
        self.truth, self.store, self.faults, self.checked = truth, store, [], collections.Counter()
        self.pids, self.may_gap, self.more, self.confirmed, self.states = pids, gaps, more, confirmed, states
        self.sent, self.ordered, self.outstanding = sent, ordered, outstanding
        self.asked_before = set()
        self.by_name = collections.defaultdict(list)
        for m in store.messages.values():
            for name in store.names(m):
                self.by_name[name].append(m)

    def fault(self, text, *args):
        self.faults.append(text % args)

    def missing(self, x, text, *args):
        """Only a gap on a connection of the one who did it (it is not known whose, in a capture) excuses that."""
        pids = {g["pid"] for g in self.store.gaps} | self.store.dark
        if self.may_gap and (x["pid"] in pids or None in pids):
            self.checked["excused"] += 1
        else:
            self.fault(text, *args)

    def run(self):
        if (self.store.gaps or self.store.lost) and not self.may_gap:
            self.fault("%d gaps (%s), %d lost", len(self.store.gaps),
                       ", ".join(sorted({str(g["reason"]) for g in self.store.gaps})), self.store.lost)
        if self.store.orphans:
            self.fault("%d copies of no message", self.store.orphans)
        self.judge_sends()
        self.judge_receives()
        self.judge_settles()
        return self.faults

    def find(self, x, what, used):
        """The message of @x that was not @used before."""
        found = [m for m in self.by_name[name_of(x)] if m["id"] not in used]
        if not found:
            near = [m for m in self.store.messages.values() if m["body_size"] == x.get("size") and m["crc"] == x.get("crc")]
            self.missing(x, "%s %s is not in the store%s", what, name_of(x), "".join(
                "; like it: m%d %s" % (m["id"], [m[k] for k in ("exchange", "routing_key", "log", "broker_id", "state")])
                for m in near[:1]))
            return None
        if x.get("mid") and len(found) > 1:
            self.fault("%s %s is %d messages in the store", what, name_of(x), len(found))
        return found[0]

    def same(self, x, m, who):
        told = {"dest": m["exchange"] or "", "rk": m["routing_key"] or "", "key": m["properties"].get("key"),
                "headers": m["headers"], "fields": m["headers"], "size": m["body_size"], "log": m["log"] or "",
                "mid": m["broker_id"], "keyless": "key" not in m["properties"], "tombstone": "tombstone" in m["properties"]}
        for k in ("dest", "rk", "key", "keyless", "tombstone", "headers", "fields", "size", "log", "mid"):
            if k == "headers" and k in x and not self.ordered and sorted(told[k]) == sorted(x[k]):
                continue
            if k in x and told[k] != x[k]:
                self.fault("%s: %s is %r, the store says %r", name_of(x), k, x[k], told[k])
        if who and self.pids and m["pid"] != x["pid"]:
            self.fault("%s: sent by %d, the store says %s", name_of(x), x["pid"], m["pid"])
        if m["truncated"] and x["size"] > judge.PAYLOAD_LIMIT:
            self.checked["truncated"] += 1
            if m["crc"] != x["head"]:
                self.fault("%s: what is kept of its body differs", name_of(x))
        elif m["crc"] != x["crc"] or len(m["body"]) != x["size"]:
            self.missing(x, "%s: the body of %d B differs (%d B in the store)", name_of(x), x["size"], len(m["body"]))

    def judge_sends(self):
        used = set()
        for x in self.truth.sends:
            self.checked["sends"] += 1
            m = self.find(x, "sent", used)
            if not m:
                continue
            used.add(m["id"])
            if self.sent and m["origin"] != "client":
                self.missing(x, "%s: its send was not seen", name_of(x))
                continue
            self.same(x, m, self.sent)
            if self.confirmed and x.get("mid") and x.get("tx") != "abort" and not m["confirmed"]:
                self.missing(x, "%s: is not confirmed in the store", name_of(x))
            if self.states and x.get("tx") == "abort" and m["state"] != "returned":
                self.fault("%s: its transaction was aborted, the store says %s", name_of(x), m["state"])
        again = {name_of(dict(x, mid=None)) for x in self.truth.sends}
        for m in self.store.messages.values():
            if m["state"] == "returned" and not m["broker_id"] and again.intersection(self.store.names(m)):
                self.checked["refused, sent again"] += 1  # by the client library, which told its program only the end
            elif m["origin"] == "client" and m["id"] not in used and not self.truth.unwatched.intersection(
                    self.store.names(m)):
                self.fault("m%d was not sent by anybody: %s", m["id"],
                           [m[k] for k in ("exchange", "routing_key", "log", "broker_id", "body_size", "state")])

    def judge_receives(self):
        """Each that a client took, from its queue, no more often than it came."""
        have, names = collections.Counter(), {}
        for o in self.store.receives:
            m = self.store.messages.get(o["message"])
            for name in self.store.names(m) if m else ():
                have[name, o["pid"] if self.pids else 0, o["queue"] or ""] += 1
                have[name, o["pid"] if self.pids else 0, None] += 1  # for a client that knows of no queue
                names[name] = m
        seen, taken = set(), collections.Counter()
        for x in self.truth.receives:
            self.checked["receives"] += 1
            taken[x["pid"]] += 1
            key = name_of(x), x["pid"] if self.pids else 0, x.get("queue")
            have[key] -= 1
            have[key[:2] + (None,)] -= key[2] is not None
            if have[key] < 0 and taken[x["pid"]] <= self.outstanding:
                self.checked["asked before"] += 1
                self.asked_before.add(key[0])
            elif have[key] < 0:
                others = [k[1:] for k in have if k[0] == key[0]]
                self.missing(x, "%s was received by %s from %r, the store has %s", key[0], key[1], key[2], others[:4] or "nothing")
            elif key[0] not in seen:
                seen.add(key[0])
                self.checked["received"] += 1
                self.same(x, names[key[0]], False)
        self.checked["fetched ahead"] = sum(1 for k, n in have.items() if n > 0 and len(k[0]) == 2 and k[2] is None)
        if self.more:
            return
        told = {name_of(x) for x in self.truth.receives}
        for (name, pid, queue), n in have.items():
            m = names.get(name)
            if n <= 0 or queue is not None or self.truth.unwatched.intersection(self.store.names(m)):
                continue
            # A message has two names; what its client told of it goes by one.
            if name in told or not told.intersection(self.store.names(m)):
                self.fault("%s was received %d times more by %s than that one took it", name, n, pid)

    def judge_settles(self):
        """The last that was said of a message to a group is its copy's state."""
        last, upto = {}, collections.Counter()
        for x in self.truth.settles:
            self.checked["settles"] += 1
            if x.get("upto"):
                upto[x["queue"], x["log"]] = max(upto[x["queue"], x["log"]], int(x["mid"]))
            elif x.get("mid"):
                last[x["queue"], x["log"], x["mid"]] = x["how"], x
        for x in self.truth.receives:
            if x.get("mid") and upto[x.get("queue"), x["log"]] > int(x["mid"] if x["mid"].isdigit() else 0) and x["mid"].isdigit():
                last[x["queue"], x["log"], x["mid"]] = "ack", x
        for (queue, log, mid), (how, x) in last.items():
            want = {"ack": "acked", "auto": "acked", "requeue": "requeued", "reject": "rejected"}[how]
            copies = [c for m in self.by_name[log, mid] for c in m["copies"] if c["queue"] == queue]
            if not copies and (log, mid) not in self.asked_before:
                self.missing(x, "%s/%s: was settled (%s) in %s, no copy there", log, mid, how, queue)
            elif copies and self.states and copies[0]["state"] != want:
                self.missing(x, "%s/%s: %s in %s, the store says %s", log, mid, want, queue, copies[0]["state"])


def judged(store, paths, after_hold=False, at_least=None, **options):
    """Raises what is wrong; what was compared."""
    j = Judge(Truth(paths, after_hold), Store(store), **options)
    faults = j.run()
    for what, n in (at_least or {}).items():
        if j.checked[what] < n:
            faults.append("only %d %s were compared, not %d" % (j.checked[what], what, n))
    if faults:
        raise lab.Fault("%d faults in %s\n    %s" % (len(faults), dict(j.checked), "\n    ".join(faults[:12])))
    return j.checked


def logs(directory):
    return sorted(os.path.join(directory, f) for f in os.listdir(directory) if f.endswith(".log"))

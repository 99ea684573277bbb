"""Compares a store with what the drivers wrote down: every publish, delivery and settlement must be there with
exact routing, properties, body and state, or be covered by a counted gap.

The catalogue is read as any operator may read it (SQLite, the documented views), the payload blocks after
user/store/block.h with code of their own, so that a fault of evtrace's reader cannot hide one of its writer.
"""
import collections
import ctypes
import ctypes.util
import os
import sqlite3
import struct
import zlib

from pika import spec

PAYLOAD_LIMIT = 1 << 20
F_PULLED = 0x2000  # OPF_PULLED of user/proto/op.h


# --- what the drivers did ---

Publish = collections.namedtuple("Publish", "pid port ch seq exchange key mid envelope size crc mandatory")
Delivery = collections.namedtuple("Delivery", "pid port ch tag queue redelivered exchange key mid size crc pulled")


class Logs:
    """The drivers' logs of one run. @after_hold: what stands before a hold was not watched. @ignore: messages whose
    id starts like this are noise."""

    def __init__(self, paths, after_hold=False, ignore=None):
        self.publishes, self.deliveries, self.settles = [], [], {}  # settles: (port, ch, tag) -> how
        self.confirms = {}                                          # (port, ch) -> numbers of publishes
        self.returns, self.routes, self.final, self.dead_letter = {}, {}, {}, {}
        self.unwatched = set()                                      # mids published before the hold
        self.ignore = ignore                                        # prefix of mids that are not judged
        self.in_tx, self.rolled_back = set(), set()
        for path in paths:
            self._read(path, after_hold)

    def _read(self, path, after_hold):
        pid, open_tags, published, in_tx = 0, collections.defaultdict(list), collections.Counter(), {}
        confirmed, upto, mark = collections.defaultdict(set), collections.Counter(), collections.Counter()
        with open(path, encoding="utf-8", errors="surrogateescape") as f:
            lines = [line.rstrip("\n").split("\t") for line in f]
        held = max((i for i, x in enumerate(lines) if x[0] == "H"), default=-1) if after_hold else -1
        for i, x in enumerate(lines):
            kind, watched = x[0], i > held
            if kind == "I":
                pid = int(x[1])
            elif kind == "P":
                port, ch, seq = int(x[1]), int(x[2]), int(x[3])
                p = Publish(pid, port, ch, seq, x[4], x[5], x[6], bytes.fromhex(x[7]), int(x[8]), int(x[9]),
                            x[10] == "1")
                if watched and not (self.ignore and p.mid.startswith(self.ignore)):
                    self.publishes.append(p)
                    in_tx.setdefault((port, ch), []).append(p.mid)
                else:
                    self.unwatched.add(p.mid)
                    mark[port, ch] = seq
                published[port, ch] = seq
            elif kind == "C":
                key, tag = (int(x[1]), int(x[2])), int(x[3])
                confirmed[key].update(range(upto[key] + 1, tag + 1) if x[4] == "1" else [tag])
                if x[4] == "1":
                    upto[key] = max(upto[key], tag)
            elif kind == "R":
                self.returns[x[6]] = int(x[3])
            elif kind == "X":
                mids = in_tx.pop((int(x[1]), int(x[2])), [])
                self.in_tx.update(mids)
                if x[3] == "rollback":
                    self.rolled_back.update(mids)
            elif kind == "D":
                d = Delivery(pid, int(x[1]), int(x[2]), int(x[3]), x[4], x[5] == "1", x[6], x[7], x[8], int(x[9]),
                             int(x[10]), x[11] == "1")
                self.deliveries.append(d)
                open_tags[d.port, d.ch].append(d.tag)
            elif kind == "S":
                self._settle(open_tags[int(x[1]), int(x[2])], x)
            elif kind == "W":
                self.routes[x[1]] = set(filter(None, x[2].split(",")))
            elif kind == "F":
                self.final[x[1], x[2]] = x[3]
            elif kind == "Q":
                self.dead_letter[x[1]] = x[2], x[3]
        for key, tags in confirmed.items():
            self.confirms[key] = {t for t in tags if t > mark[key]}

    def _settle(self, open_tags, x):
        port, ch, tag, multiple, how = int(x[1]), int(x[2]), int(x[3]), x[4] == "1", x[5]
        for t in [t for t in open_tags if t == tag or (multiple and t <= tag)]:
            open_tags.remove(t)
            self.settles[port, ch, t] = how


# --- what the store says ---

class Payloads:
    """Envelope and body of a reference (user/store/block.h)."""

    def __init__(self, path, db):
        self.path, self.cache = path, {}
        self.blocks = {r[0]: r[1:] for r in db.execute("SELECT id, segment, offset, raw_size FROM block")}
        self.zstd = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
        self.zstd.ZSTD_decompress.restype = ctypes.c_size_t

    def block(self, number):
        if number in self.cache:
            return self.cache[number]
        segment, offset, raw_size = self.blocks[number]
        with open(os.path.join(self.path, "blocks", "%06d" % segment), "rb") as f:
            f.seek(offset)
            magic, stored, raw, _, _ = struct.unpack("<4sIIIQ", f.read(24))
            data = f.read(stored)
        if magic != b"EVB1" or raw != raw_size:
            raise ValueError("block %d is not where the catalogue says" % number)
        out = ctypes.create_string_buffer(raw)
        n = self.zstd.ZSTD_decompress(out, ctypes.c_size_t(raw), data, ctypes.c_size_t(stored))
        if n != raw:
            raise ValueError("block %d does not decompress" % number)
        if len(self.cache) > 4:
            self.cache.clear()
        self.cache[number] = out.raw
        return self.cache[number]

    def get(self, ref):
        raw, at = self.block(ref >> 28), ref & ((1 << 28) - 1)
        _, envelope, body = struct.unpack_from("<B3xII", raw, at)
        at += 12
        return raw[at:at + envelope], raw[at + envelope:at + envelope + body]


def message_id(envelope):
    try:
        p = spec.BasicProperties()
        p.decode(envelope)
        return p.message_id or ""
    except Exception:
        return ""


class Message:
    """A row of the view `messages`, with its bytes and its copies."""

    def __init__(self, row):
        self.__dict__.update(dict(row))
        self.copies, self.envelope, self.body, self.mid = [], None, None, ""
        self.port = port_of(self.client_addr)


class Store:
    def __init__(self, path):
        self.path = path
        self.db = sqlite3.connect("file:%s?mode=ro" % os.path.join(path, "catalogue.db"), uri=True)
        self.db.row_factory = sqlite3.Row
        self.payloads = Payloads(path, self.db)
        self.messages = {}
        for r in self.db.execute("""SELECT m.*, c.client_addr FROM messages m
                LEFT JOIN connection c ON c.id = m.connection ORDER BY m.payload"""):
            m = self.messages[r["id"]] = Message(r)
            if m.payload:
                m.envelope, m.body = self.payloads.get(m.payload)
                m.mid = message_id(m.envelope)
        for r in self.db.execute("SELECT * FROM copies ORDER BY id"):
            self.messages[r["message"]].copies.append(dict(r))
        # A dead-lettered copy that nobody took has no bytes of its own.
        for m in sorted(self.messages.values(), key=lambda m: m.id):
            for c in m.copies:
                if c["dead_letter"] and not self.messages[c["dead_letter"]].mid:
                    self.messages[c["dead_letter"]].mid = m.mid

    def operations(self, kind):
        """(port, channel, tag), row."""
        for r in self.db.execute("""SELECT o.*, c.client_addr, t.flags FROM operations o JOIN operation t ON t.id = o.id
                LEFT JOIN connection c ON c.id = o.connection WHERE o.kind = ?""", (kind,)):
            yield (port_of(r["client_addr"]), r["channel"], r["tag"]), r

    def gaps(self):
        return tuple(self.db.execute("SELECT count(*), coalesce(sum(bytes), 0), coalesce(sum(records), 0) FROM gaps").fetchone())

    def gap_ports(self):
        """Clients' ports of the connections that have gaps; 0: not known whose."""
        return {port_of(r[0]) for r in self.db.execute("SELECT DISTINCT client FROM gaps")}

    def lost(self):
        return tuple(self.db.execute(
            "SELECT coalesce(sum(lost_records), 0), coalesce(sum(lost_bytes), 0) FROM session").fetchone())


def port_of(address):
    return int(address.rsplit(":", 1)[1]) if address and ":" in address else 0


# --- the judgement ---

class Judge:
    """@queues_known: consumers subscribed and bindings were declared while watched. @confirms_known: so was
    confirm.select. @pids_known: the clients' side is in scope. @route: (exchange, key) -> queues, when the log has no W lines. @allow_gaps: a counted gap may
    be there (@excuses: and excuses what is missing)."""

    def __init__(self, logs, store, queues_known=True, confirms_known=True, pids_known=True, route=None,
                 allow_gaps=False, excuses=False):
        self.logs, self.store, self.faults = logs, store, []
        self.queues_known, self.confirms_known, self.pids_known = queues_known, confirms_known, pids_known
        self.route = route
        self.allow_gaps, self.excuses, self.ports = allow_gaps or excuses, excuses, None
        self.checked = collections.Counter()

    def fault(self, text, *args):
        self.faults.append(text % args)

    def run(self):
        self._gaps()
        self._messages()
        self._copies()
        self._operations()
        return self.faults

    def _gaps(self):
        gaps, lost = self.store.gaps(), self.store.lost()
        self.gap_ports = self.store.gap_ports()
        if (gaps[0] or lost[0] or lost[1]) and not self.allow_gaps:
            self.fault("gaps: %d of %d bytes, %d records; lost: %d records, %d bytes", *(gaps + lost))

    def _excused(self, ports):
        """A gap was counted on one of these connections, or nobody knows on which."""
        return self.excuses and (0 in self.gap_ports or any(p in self.gap_ports for p in ports))

    def _missing(self, ports, text, *args):
        """Something is not there: only a gap on one of the connections that it passed excuses it."""
        if self._excused(ports):
            self.checked["excused"] += 1
        else:
            self.fault(text, *args)

    def _passed(self, mid):
        """The connections that a message passed."""
        if self.ports is None:
            self.ports = collections.defaultdict(set)
            for x in self.logs.publishes + self.logs.deliveries:
                self.ports[x.mid].add(x.port)
        return self.ports[mid]

    def _messages(self):
        """One message a publish: who, where to, properties and body."""
        by_mid, plain = collections.defaultdict(list), collections.Counter()
        for m in self.store.messages.values():
            if m.origin != "client":
                continue
            if m.mid:
                by_mid[m.mid].append(m)
            else:
                plain[m.pid if self.pids_known else 0, m.port, m.channel, m.exchange or "", m.routing_key or "", m.envelope,
                      len(m.body or b""), zlib.crc32(m.body or b"")] += 1
        for p in self.logs.publishes:
            self.checked["publishes"] += 1
            if not p.mid:
                key = p.pid if self.pids_known else 0, p.port, p.ch, p.exchange, p.key, p.envelope, p.size, p.crc
                plain[key] -= 1
                if plain[key] < 0:
                    self._missing([p.port], "publish without id on port %d channel %d is not in the store", p.port, p.ch)
                continue
            found = by_mid.pop(p.mid, [])
            if not found:
                self._missing([p.port], "%s was published (port %d, channel %d, %s/%s, %d B) and is not in the store",
                              p.mid, p.port, p.ch, p.exchange, p.key, p.size)
                continue
            if len(found) > 1:
                self.fault("%s was published once, the store has it %d times", p.mid, len(found))
            self._same(p, found[0])
        for mid in by_mid:
            if mid in self.logs.unwatched:
                continue
            self.fault("%s is in the store as sent, but nobody published it", mid)
        for key, n in plain.items():
            if n > 0 and not self._excused([key[1]]):
                self.fault("%d messages too many without an id: %s", n, key[:5])

    def _same(self, p, m):
        for what, did, says in (
                ("pid", p.pid, m.pid), ("port", p.port, m.port), ("channel", p.ch, m.channel),
                ("exchange", p.exchange, m.exchange or ""), ("routing key", p.key, m.routing_key or ""),
                ("properties", p.envelope, m.envelope), ("body size", p.size, m.body_size)):
            if did != says and (what != "pid" or self.pids_known or says):
                self.fault("%s: %s is %r, the store says %r", p.mid, what, did, says)
        if self.confirms_known and bool(m.confirmed) != (p.seq in self.logs.confirms.get((p.port, p.ch), ())):
            if p.mid not in self.logs.in_tx:
                self._missing([p.port], "%s: the store's mark for confirmed (%d) is wrong", p.mid, m.confirmed)
        if (p.mid in self.logs.returns or p.mid in self.logs.rolled_back) != (m.state == "returned"):
            self._missing([p.port], "%s: came back %s, the store says %s", p.mid, p.mid in self.logs.returns, m.state)
        if m.body is None or len(m.body) != p.size or zlib.crc32(m.body) != p.crc:
            if m.truncated and p.size <= PAYLOAD_LIMIT:
                self.fault("%s: said to be truncated at %d of %d B", p.mid, len(m.body or b""), p.size)
            if not m.truncated and not (m.has_gap and self._excused([p.port])):
                self.fault("%s: the body of %d B differs (%d B in the store)", p.mid, p.size, len(m.body or b""))

    def _expected_copies(self):
        """(mid, queue) -> deliveries, last settlement; from routes and from what was delivered."""
        want = {}
        for p in self.logs.publishes:
            queues = self.logs.routes.get(p.mid)
            if queues is None and self.route:
                queues = self.route(p.exchange, p.key)
            if p.mid in self.logs.rolled_back:
                queues = set()
            for q in queues or ():
                want[p.mid, q] = [0, None]
        for d in self.logs.deliveries:
            if d.mid in self.logs.unwatched:
                continue
            c = want.setdefault((d.mid, d.queue), [0, None])
            c[0] += 1
            # Connections' logs are not in one order; but after an ack or a rejection there is no next delivery.
            how = self.logs.settles.get((d.port, d.ch, d.tag), "lost")
            if c[1] not in ("ack", "auto", "reject"):
                c[1] = how
        return want

    def _state(self, mid, queue, deliveries, settle):
        if (mid, queue) in self.logs.final:
            return set(self.logs.final[mid, queue].split("/"))
        if not deliveries:
            return {"queued"}
        dead = "dead-lettered" if queue in self.logs.dead_letter else "rejected"
        return {{"ack": "acked", "auto": "acked", "reject": dead}.get(settle, "requeued")}

    def _copies(self):
        have = collections.defaultdict(list)
        for m in self.store.messages.values():
            for c in m.copies:
                have[m.mid, c["queue"] or ""].append(c)
        if not any(p.mid for p in self.logs.publishes):
            return self._anonymous_copies()
        want = self._expected_copies()
        for (mid, queue), (deliveries, settle) in want.items():
            self.checked["copies"] += 1
            copies = have.pop((mid, queue), None)
            if copies is None and not self.queues_known:
                copies = have.pop((mid, ""), None)
            if not copies:
                self._missing(self._passed(mid), "%s in queue %s: no such copy in the store", mid, queue)
                continue
            states = self._state(mid, queue, deliveries, settle)
            if not self.queues_known:
                states = states | {"unknown"} if not deliveries else states
            n, state = sum(c["deliveries"] for c in copies), copies[-1]["state"]
            if n != deliveries:
                self._missing(self._passed(mid), "%s in %s: delivered %d times, the store says %d", mid, queue, deliveries, n)
            if state not in states:
                self._missing(self._passed(mid), "%s in %s: is %s, the store says %s", mid, queue, "/".join(states), state)
        for (mid, queue), copies in have.items():
            if mid and mid not in self.logs.unwatched and (mid, queue) not in self.logs.final:
                self.fault("%s has a copy in %r (%s), but it never was there", mid, queue,
                           copies[-1]["state"])

    def _anonymous_copies(self):
        """Messages that look alike: only their number in each state can be compared."""
        last, deliveries, want, have = {}, collections.Counter(), collections.Counter(), collections.Counter()
        for d in self.logs.deliveries:
            deliveries[d.queue] += 1
        for m in self.store.messages.values():
            for c in m.copies:
                have[c["queue"], "deliveries"] += c["deliveries"]
        for queue, n in deliveries.items():
            if have[queue, "deliveries"] != n:
                self._missing(self.gap_ports, "%s: %d deliveries, the store says %d", queue, n, have[queue, "deliveries"])

    def _operations(self):
        mids = {m.id: m.mid for m in self.store.messages.values()}
        sends = collections.Counter(key[:2] for key, _ in self.store.operations("send"))
        for key, n in collections.Counter((p.port, p.ch) for p in self.logs.publishes).items():
            if sends[key] != n:
                self._missing(key[:1], "port %d channel %d: %d publishes, %d send operations", *key, n, sends[key])
        confirms = collections.Counter(key[:2] for key, _ in self.store.operations("confirm"))
        for key, tags in self.logs.confirms.items():
            if confirms[key] != len(tags) and self.confirms_known:
                self._missing(key[:1], "port %d channel %d: %d publishes confirmed, %d confirm operations", *key, len(tags),
                              confirms[key])
        returned = collections.Counter(mids.get(o["message"], "") for _, o in self.store.operations("return"))
        for mid in self.logs.returns:
            if mid not in self.logs.unwatched and returned[mid] != 1:
                self._missing(self._passed(mid), "%s was returned, the store has %d return operations", mid, returned[mid])
        self._receives(mids)
        self._settles()

    def _receives(self, mids):
        have = dict(self.store.operations("receive"))
        for d in self.logs.deliveries:
            if d.mid in self.logs.unwatched:
                continue
            self.checked["deliveries"] += 1
            o = have.get((d.port, d.ch, d.tag))
            if o is None:
                self._missing([d.port], "delivery %d on port %d channel %d (%s) is not in the store", d.tag, d.port, d.ch, d.mid)
                continue
            if d.mid != mids.get(o["message"], "") and not (not mids.get(o["message"]) and self._excused([d.port])):
                self.fault("delivery %d on port %d channel %d is %s, the store says %s", d.tag, d.port, d.ch, d.mid,
                           mids.get(o["message"]))
            if bool(o["redelivered"]) != d.redelivered or bool(o["flags"] & F_PULLED) != d.pulled:
                self.fault("delivery of %s: redelivered %s pulled %s, the store has flags %#x", d.mid,
                           d.redelivered, d.pulled, o["flags"])
            if o["pid"] != d.pid and (self.pids_known or o["pid"]):
                self.fault("delivery of %s: taken by %s, the store says %s", d.mid, d.pid, o["pid"])

    def _settles(self):
        have = {key: o["settlement"] for key, o in self.store.operations("settle")}
        unwatched = {(d.port, d.ch, d.tag) for d in self.logs.deliveries if d.mid in self.logs.unwatched}
        for key, how in self.logs.settles.items():
            if key in unwatched:
                continue
            self.checked["settlements"] += 1
            if have.get(key) != how:
                self._missing(key[:1], "delivery %d on port %d channel %d: %s, the store says %s", key[2], key[0], key[1], how,
                              have.get(key, "nothing"))


def judge(store, log_paths, after_hold=False, ignore=None, **options):
    """Faults, most telling first, and how much was compared."""
    j = Judge(Logs(log_paths, after_hold, ignore), Store(store), **options)
    faults = j.run()
    return faults, dict(j.checked)

"""Share groups (KIP-932): each record is acquired, and accepted, released, rejected or renewed by itself. Compares what
their members wrote down with what the store says happened to each copy, step by step."""
import collections
import json

import eventlab
import events
import lab

SETTLED = {"ack": "ack", "requeue": "requeue", "reject": "reject", "progress": "progress"}
STATES = {"ack": "acked", "requeue": "requeued", "reject": "rejected"}


def lives(paths):
    """{(queue, log, offset): [(delivery, [what happened, in order])]}: what a member did with one delivery is in its own log
    in order, and deliveries are counted by the broker."""
    found = collections.defaultdict(dict)
    for path in paths:
        with open(path, encoding="utf-8") as f:
            open_now = {}
            for x in map(json.loads, f):
                name = x.get("queue"), x.get("log"), x.get("mid")
                if x["op"] == "recv":
                    open_now[name] = found[name].setdefault(x["delivery"], [("receive", x["pid"], None)])
                elif x["op"] == "settle":
                    open_now[name].append(("settle", x["pid"], SETTLED[x["how"]]))
    return {name: [step for d in sorted(of) for step in of[d]] for name, of in found.items()}, \
        {name: max(of) for name, of in found.items()}


def told(store):
    """The same from a store, and each copy's state and number of deliveries."""
    copies = {c["id"]: c for c in store.sql("SELECT c.*, m.log, m.broker_id FROM copies c JOIN messages m ON m.id = c.message")}
    lives = collections.defaultdict(list)
    for o in store.sql("SELECT kind, settlement, pid, copy FROM operations WHERE kind IN ('receive', 'settle') ORDER BY id"):
        c = copies.get(o["copy"])
        name = (c["queue"], c["log"], c["broker_id"]) if c else ("?", "?", "?")
        lives[name].append((o["kind"], o["pid"], o["settlement"]))
    return dict(lives), {(c["queue"], c["log"], c["broker_id"]): c for c in copies.values()}


def judged(store, paths, pids=True):
    """Every copy's life exactly, and nothing beside it."""
    (want, deliveries), (have, copies) = lives(paths), told(store)
    faults = []
    for name in sorted(want.keys() | have.keys(), key=str):
        a, b = want.get(name, []), have.get(name, [])
        if not pids:
            a, b = ([(kind, how) for kind, _, how in x] for x in (a, b))
        if a != b:
            faults.append("%s: %s, the store says %s" % (name, a, b))
            continue
        c, last = copies[name], want[name][-1][2]
        if (c["state"], c["deliveries"]) != (STATES[last], deliveries[name]):
            faults.append("%s: %s after %d deliveries, the store says %s after %d" % (
                name, STATES[last], deliveries[name], c["state"], c["deliveries"]))
    if faults:
        raise lab.Fault("%d of %d copies\n    %s" % (len(faults), len(want), "\n    ".join(faults[:12])))
    return collections.Counter(step[2] or "receive" for life in want.values() for step in life)


def group(l, c, python, topic):
    """Two members at the same time; of four records one is released, one rejected, one renewed before it is accepted. Then
    another group, whose member says nothing of its own."""
    t = topic(l, python, "parcels")
    members = [eventlab.consume(c, "%s --mode share --group depot --n 120 --settle accept,release,reject,renew" % t)] * 2
    steps = [eventlab.produce(c, "%s --n 120 --sizes 64,300" % t),
             *members, eventlab.consume(c, "%s --mode share --group auditors --n 120 --settle implicit" % t)]
    store, d, _ = l.from_start(steps, at_least={"sends": 120, "receives": 240 + 30, "received": 120}, ordered=True, states=False)
    imported = l.path("imported")
    lab.evtrace("import", d + "/pcap", store=imported)
    for n in judged(events.Store(store), events.logs(d)), judged(events.Store(imported), events.logs(d), pids=False):
        if n != dict(receive=270, ack=210, requeue=30, reject=30, progress=30):
            raise lab.Fault("not all that can happen to a record happened: %s" % dict(n))
    words(store)


def words(store):
    """What an operator is told of a record that was released, of one that was rejected, and of the groups."""
    for order, want in ((4001, "committed by"), (4003, "after delivery, the 2nd"), (4006, "REJECTED")):
        said = lab.evtrace("where", "order.id=%d" % order, store=store)
        depot = next((line for line in said.split("\n") if "parcels/depot" in line), "")
        if want not in depot:
            raise lab.Fault("where does not say %r of order %d:\n%s" % (want, order, said))
    if len(lab.rows("find", "queue:parcels/depot state:rejected", "--limit", "0", store=store)) < 30:
        raise lab.Fault("find does not know what was rejected")
    groups = {q["name"]: q for q in lab.rows("queues", store=store) if q["type"] == "queue"}
    depot = groups["parcels/depot"]
    if (depot["waiting"], depot["unsettled"], depot["redelivered"]) != (0, 0, 30):
        raise lab.Fault("queues says of parcels/depot: %s" % depot)
    tree = lab.evtrace("flow", "order.id=4003", store=store)
    if "2 deliveries" not in tree:
        raise lab.Fault("flow does not tell two deliveries:\n%s" % tree)


def late(l, c, python, topic):
    """The fetch that waits when recording begins does not say again for which group it is: a gap, and counted."""
    t = topic(l, python, "latecomers")
    return l.from_middle([eventlab.produce(python, "%s --n 90 --warm 30" % t),
                          eventlab.consume(c, "%s --mode share --group depot --n 90 --settle accept --warm 30" % t)],
                         at_least={"sends": 60, "received": 20}, gaps=True, ordered=True, states=False)[0]

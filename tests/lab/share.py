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
    steps = [eventlab.produce(c, "%s --n 120 --sizes 64,300" % t),
             eventlab.consume(c, "%s --mode share --group depot --n 120 --settle accept,release,reject,renew" % t),
             eventlab.consume(c, "%s --mode share --group depot --n 120 --settle accept,release,reject,renew" % t),
             eventlab.consume(c, "%s --mode share --group auditors --n 120 --settle implicit" % t)]
    store, d, _ = l.from_start(steps, at_least={"sends": 120, "receives": 240 + 30, "received": 120}, ordered=True, states=False)
    n = judged(events.Store(store), events.logs(d))
    print(n)
    import shutil
    shutil.rmtree("/tmp/kafka-share-store", ignore_errors=True)
    shutil.copytree(store, "/tmp/kafka-share-store")
    imported = l.path("again")
    lab.evtrace("import", d + "/pcap", store=imported)
    print(judged(events.Store(imported), events.logs(d), pids=False))

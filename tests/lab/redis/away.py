"""Sends to streams, lists and sorted sets, and takes away what it sent in every way there is, at random (--seed). Writes
down what the server holds in the end: {"queued": {key: {body: count}}, "sent": {key: {body: count}}}, one JSON object."""
import argparse
import collections
import json
import random
import time

import redis

LISTS, STREAMS, SETS = ("away:l1", "away:l2", "away:l3"), ("away:s1", "away:s2"), ("away:z1",)


class Away:
    def __init__(self, a):
        host, port = a.server.rsplit(":", 1)
        self.r, self.rnd, self.n = redis.Redis(host, int(port), db=a.db, protocol=a.resp, decode_responses=True), random.Random(a.seed), 0
        self.sent, self.ids, self.gone = collections.defaultdict(collections.Counter), collections.defaultdict(list), a.fatal

    def body(self, key):
        self.n += 1
        text = json.dumps({"n": self.n if self.rnd.random() < 0.8 else 0})
        self.sent[key][text] += 1
        return text

    def send(self, p):
        kind = self.rnd.randrange(3)
        if kind == 0:
            k = self.rnd.choice(LISTS)
            # One list is pushed to from the left only, one from the right, one from both.
            push = {LISTS[0]: p.lpush, LISTS[1]: p.rpush}.get(k) or self.rnd.choice((p.lpush, p.rpush))
            push(k, *[self.body(k) for _ in range(self.rnd.randrange(1, 4))])
        elif kind == 1:
            k = self.rnd.choice(STREAMS)
            how = self.rnd.choice(({}, {}, {"maxlen": self.rnd.randrange(1, 12), "approximate": False}, {"maxlen": 8}))
            p.xadd(k, {"data": self.body(k)}, **how)
        else:
            k = self.rnd.choice(SETS)
            p.zadd(k, {self.body(k): self.rnd.random()})

    def take(self):
        r, rnd, k, s = self.r, self.rnd, self.rnd.choice(LISTS), self.rnd.choice(STREAMS)
        what = rnd.randrange(16)
        if what == 0:
            r.ltrim(k, 0, rnd.randrange(8))
        elif what == 1:
            r.ltrim(k, -1 - rnd.randrange(8), -1)
        elif what == 2:
            r.lrem(k, rnd.choice((0, 1, -1)), json.dumps({"n": rnd.choice((0, self.n, self.n - 1))}))
        elif what == 3:
            r.xtrim(s, maxlen=rnd.randrange(6), approximate=rnd.random() < 0.3)
        elif what == 4:
            ids = [e[0] for e in r.xrange(s)]
            if ids and rnd.random() < 0.5:
                r.xdel(s, rnd.choice(ids))
            elif ids:
                r.xtrim(s, minid=rnd.choice(ids), approximate=False)
        elif what == 5:
            r.zremrangebyrank(SETS[0], 0, rnd.choice((0, 1, -1)))
        elif what == 6:
            r.eval("return redis.call('RPOP', KEYS[1])", 1, k)
        elif what == 7 and self.gone:
            rnd.choice((r.delete, r.unlink))(rnd.choice(LISTS + STREAMS + SETS))
        elif what == 8 and self.gone:
            r.pexpire(rnd.choice(LISTS + STREAMS + SETS), rnd.choice((1, 300)))
        elif what == 9 and self.gone:
            a, b = rnd.sample(LISTS, 2)
            if r.exists(a):
                for body, n in self.sent.pop(a, {}).items():
                    self.sent[b][body] += n
                r.rename(a, b)
        elif what == 10 and self.gone and rnd.random() < 0.3:
            r.flushdb() if rnd.random() < 0.7 else r.flushall()
        elif what == 11:
            with r.pipeline(transaction=True) as p:
                self.send(p)
                self.send(p)
                p.ltrim(k, 0, 3)
                p.execute()
        elif what < 14:
            rnd.choice((r.lpop, r.rpop))(k)
        else:
            r.zpopmin(SETS[0])

    def rest(self):
        left = {k: collections.Counter(self.r.lrange(k, 0, -1)) for k in LISTS}
        left.update({k: collections.Counter(f["data"] for _, f in self.r.xrange(k)) for k in STREAMS})
        left.update({k: collections.Counter(self.r.zrange(k, 0, -1)) for k in SETS})
        return left


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--server", required=True)
    p.add_argument("--log", required=True)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--n", type=int, default=300)
    p.add_argument("--db", type=int, default=0)
    p.add_argument("--resp", type=int, default=2)
    p.add_argument("--fatal", action="store_true", help="whole keys and databases go, too")
    a = p.parse_args()
    w = Away(a)
    w.r.flushall()
    for _ in range(a.n):
        w.send(w.r) if w.rnd.random() < 0.6 else w.take()
    time.sleep(0.4)
    with open(a.log, "w") as f:
        json.dump({"left": w.rest(), "sent": w.sent}, f)
    time.sleep(2.5)
    w.r.lpush(LISTS[0] + ":end", "end")


if __name__ == "__main__":
    main()

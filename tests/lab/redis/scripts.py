"""Sends through a script that redis-py registered, through a script's text, and one that fails."""
import argparse

import redis

p = argparse.ArgumentParser()
p.add_argument("--server", required=True)
p.add_argument("--tag", required=True)
p.add_argument("--resp", type=int, default=2)
a = p.parse_args()
host, port = a.server.rsplit(":", 1)
r = redis.Redis(host, int(port), protocol=a.resp)
jobs, lock = "jobs:" + a.tag, "lock:" + a.tag

r.lpush(jobs, '{"order": 4710}')
put = r.register_script("if KEYS[2] then redis.call('LPUSH', KEYS[2], ARGV[1]) end return redis.call('INCR', KEYS[1])")
put(keys=[lock, jobs], args=['{"order": 4711, "to": "Ankara"}'])
put(keys=[lock, jobs], args=['{"order": 4712, "to": "Izmir"}', b"\xff\x00\xfe", "x" * 300])
r.eval("return redis.call('LLEN', KEYS[1])", 1, jobs, '{"order": 4713}')
put(keys=[lock], args=["token"])  # not to a queue: nothing to tell
try:
    r.eval("return redis.error_reply('NOT today')", 1, jobs, '{"order": 4714}')
except redis.ResponseError:
    pass
assert r.rpop(jobs) == b'{"order": 4710}' and r.rpop(jobs) == b'{"order": 4711, "to": "Ankara"}'

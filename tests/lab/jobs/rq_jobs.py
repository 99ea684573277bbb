"""RQ. work: its default worker, which forks for each job, with its scheduler."""
import os
import sys
from datetime import timedelta

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import redis  # noqa: E402
import rq  # noqa: E402
import told  # noqa: E402


def connect():
    return redis.Redis(told.HOST, int(told.PORT))


def bill(order, name, customer=None):
    job = rq.get_current_job()
    told.act(job.id, job.origin, name, order["order"]["id"], os.getppid(), job.retries_left == 0, lambda: enqueue("child", job.origin, order["order"]["id"]))


def enqueue(name, queue="default", number=4711):
    q = rq.Queue(queue, connection=connect())
    args = dict(args=({"order": {"id": number}}, name), kwargs={"customer": "J. Doe %s" % name})
    retry = rq.Retry(max=1, interval=1) if name == "again" else None
    if name == "later":
        job = q.enqueue_in(timedelta(seconds=1), "rq_jobs.bill", **args)
    else:
        job = q.enqueue("rq_jobs.bill", retry=retry, **args)
    told.tell("enqueued", job.id, queue, name, number)


if __name__ == "__main__":
    if sys.argv[1] == "work":
        rq.Worker(["default"], connection=connect()).work(with_scheduler=True)
    else:
        told.run(sys.argv, enqueue)

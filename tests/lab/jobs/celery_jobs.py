"""Celery with its default pool, tasks acknowledged late; also the application that its worker loads."""
import os
import sys

import celery
import told

app = celery.Celery("celery_jobs", broker="redis://%s:%s/0" % (told.HOST, told.PORT))
app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True, worker_prefetch_multiplier=1,
                broker_connection_retry_on_startup=True)


@app.task(name="shop.bill", bind=True, max_retries=1)
def bill(self, order, name, customer=None):
    r = self.request
    try:
        told.act(r.id, r.delivery_info["routing_key"], name, order["order"]["id"], os.getppid(), r.retries > 0,
                 lambda: enqueue("child", r.delivery_info["routing_key"], order["order"]["id"]))
    except told.Broken as e:
        if name == "again":
            raise self.retry(exc=e, countdown=0.5)
        raise


def enqueue(name, queue="celery", number=4711):
    r = bill.apply_async(args=[{"order": {"id": number}}, name], kwargs={"customer": "J. Doe %s" % name}, queue=queue,
                         countdown={"later": 1, "much-later": 60}.get(name))
    told.tell("enqueued", r.id, queue, name, number)


if __name__ == "__main__":
    told.run(sys.argv, enqueue)

"""What the job drivers in Python share: what each truly did, one JSON object a line, in the file $JOBS/told (those in
other languages write the same):

  op     enqueued, taken (by the process that asked the server for it), done, failed, again (it will be tried again)
  id     of the job, as its library names it
  queue  as the library names it
  name   what the job is to do, see act()
  order  a number in its arguments
  pid    who did it
"""
import json
import os
import time

DIR = os.environ["JOBS"]
HOST, PORT = os.environ["JOBS_SERVER"].split(":")


class Broken(Exception):
    pass


def path(name):
    return os.path.join(DIR, name)


def tell(op, id, queue, name, order, pid=None):
    line = json.dumps({"op": op, "id": id, "queue": queue, "name": name, "order": order, "pid": pid or os.getpid()}) + "\n"
    fd = os.open(path("told"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, line.encode())
    os.close(fd)


def act(id, queue, name, order, taker, again, emit):
    """A job. @taker: the process that took it. @again: it was tried before. @emit: enqueues another job."""
    tell("taken", id, queue, name, order, taker)
    if name == "emits":
        emit()
    if name == "held":
        with open(path("held"), "w") as f:
            f.write(str(os.getpid()))
        time.sleep(60)
    if name == "broken" or (name == "again" and not again):
        tell("failed" if name == "broken" else "again", id, queue, name, order, taker)
        raise Broken("no such order")
    tell("done", id, queue, name, order, taker)


def run(argv, enqueue):
    """enqueue WHAT..., each a NAME or NAME@QUEUE; hold WHAT...: the first, and the others when somebody says go."""
    for i, what in enumerate(argv[2:]):
        if argv[1] == "hold" and i == 1:
            open(path("holds"), "w").close()
            while not os.path.exists(path("go")):
                time.sleep(0.02)
        enqueue(*what.split("@"), number=4711 + i)
    if argv[1] == "hold":
        time.sleep(1)  # a busy recorder has still to read what it is called

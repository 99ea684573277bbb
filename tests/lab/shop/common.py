"""What the shop's Python services share: where the broker is, and how a service runs. Plain pika."""
import os
import signal
import sys

import pika


def connect():
    return pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))


def ready(name):
    """Tells run.sh that this service may be sent work."""
    open(os.path.join(os.environ["SHOP_DIR"], "ready", name), "w").close()


def say(text):
    print(text, flush=True)


def serve(name, channel):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ready(name)
    channel.start_consuming()

#!/usr/bin/python3 -B
"""tls.py PORT N: publishes N messages over TLS, as pika does it by itself. Nobody can read them on the wire."""
import ssl
import sys

import pika

context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
connection = pika.BlockingConnection(pika.ConnectionParameters(
    "127.0.0.1", int(sys.argv[1]), ssl_options=pika.SSLOptions(context)))
channel = connection.channel()
channel.queue_declare("sealed")
for i in range(int(sys.argv[2])):
    channel.basic_publish("", "sealed", b"sealed letter %d" % i)
connection.close()

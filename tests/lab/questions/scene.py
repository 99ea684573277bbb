"""What the scenes share. A scene is one file with a function for each service; it is started under the service's name
(a link in the scene's directory), and writes down what the client said of its messages: NAME KEY=VALUE..."""
import json
import os
import sys
import time

DIR = os.path.dirname(os.path.abspath(sys.argv[0]))
SERVER = os.environ.get("SCENE_SERVER", "")


def order(name, number=0, **more):
    """A body that only this message has."""
    return json.dumps(dict({"order": {"id": number}, "name": name}, **more)).encode()


def name_of(body):
    return json.loads(body)["name"]


def note(name, **said):
    with open(os.path.join(DIR, "notes"), "a") as f:
        f.write(json.dumps(dict(said, name=name, pid=os.getpid())) + "\n")


def mark(what):
    open(os.path.join(DIR, what), "w").close()


def wait_for(what, patience=30):
    end = time.monotonic() + patience
    while not os.path.exists(os.path.join(DIR, what)):
        if time.monotonic() > end:
            sys.exit("%s: %s did not come" % (sys.argv[0], what))
        time.sleep(0.02)


def linger():
    """Ends no sooner than a busy recorder has read what the process is called."""
    time.sleep(1.5)


def run(services):
    """The function of the name under which it was started."""
    services[os.path.basename(sys.argv[0])]()

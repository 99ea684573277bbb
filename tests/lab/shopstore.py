"""What a store says about the shop: each message with the order it is about, and what caused what."""
import re

import judge


def order_of(m):
    """The order that a message of the shop is about, from its bytes."""
    found = re.search(rb'"order": \{"id": (\d+)|order\.id=(\d+)|<OrderReference><ID>(\d+)|\nOrder: (\d+)|"order": (\d+)',
                      m.body or b"")
    return int(next(g for g in found.groups() if g)) if found else None


def read(path):
    """The store, each message with its order; a dead letter that nobody took has that of its original."""
    store = judge.Store(path)
    for m in store.messages.values():
        m.order = order_of(m)
        kind = {"kafka": "topic %s", "redis": "stream %s"}.get(m.protocol)
        m.what = kind % m.exchange if kind else m.routing_key
    store.links = [dict(r) for r in store.db.execute("SELECT * FROM links")]
    for link in store.links:
        src, dst = store.messages[link["source"]], store.messages[link["target"]]
        if link["kind"] == "dead-letter-of" and dst.order is None:
            dst.order = src.order
    return store


def causes(store):
    """(what, order) of the cause and of the effect, for each caused-by link. Dead letters count as what died."""
    original = {l["target"]: l["source"] for l in store.links if l["kind"] == "dead-letter-of"}
    for link in store.links:
        if link["kind"] == "caused-by":
            src, dst = store.messages[link["source"]], store.messages[link["target"]]
            first = src
            while first.id in original:
                first = store.messages[original[first.id]]
            yield (first.routing_key, src.order), (dst.routing_key, dst.order), link

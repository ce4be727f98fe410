"""dask/zict issue #99 (open): pop()/setdefault()/popitem() come from MutableMapping and are not
atomic although the rest is locked.
Kind: check-then-act -> KeyError out of pop(key, default), or the same value popped twice.
Lines: collections/abc MutableMapping.pop 'value = self[key]' / 'del self[key]'.
"""

from zict import LRU


def setup():
    lru = LRU(10, {})
    lru["k"] = "v"
    return {"lru": lru, "got": [], "errors": []}


def popper(s):
    try:
        s["got"].append(s["lru"].pop("k", None))
    except Exception as e:
        s["errors"].append(repr(e))


workers = [popper, popper]


def check(s):
    assert not s["errors"], s["errors"]
    assert sorted(map(str, s["got"])) == ["None", "v"], s["got"]

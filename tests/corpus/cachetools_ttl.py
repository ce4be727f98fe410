"""cachetools issue #288 (also #90): @cached(TTLCache) without lock=; two callers expire the same
entry.
Kind: check-then-act on the expiry list / data dict -> KeyError, entry stuck.
Lines: cachetools/__init__.py TTLCache.expire 'cache_delitem(self, curr.key)' /
Cache.__delitem__ 'del self.__data[key]'.
"""

import cachetools


def setup():
    s = {"now": 0.0, "errors": []}
    s["cache"] = cachetools.TTLCache(maxsize=4, ttl=10, timer=lambda: s["now"])
    s["get"] = cachetools.cached(s["cache"])(lambda k: k * 2)
    s["get"](1)
    s["now"] = 100.0  # the entry has expired
    return s


def caller(s):
    try:
        assert s["get"](1) == 2
    except Exception as e:
        s["errors"].append(repr(e))


workers = [caller, caller]


def check(s):
    assert not s["errors"], s["errors"]
    s["now"] = 200.0  # the refreshed entry expires too: the cache must still work
    caller(s)
    assert not s["errors"], "stuck: {}".format(s["errors"])

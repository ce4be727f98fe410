"""CPython bpo-43468 / gh-87634 (3.8 - 3.11; lock removed in 3.12): functools.cached_property holds
one RLock per descriptor, shared by all instances, while it computes.
Kind: deadlock (lock-order inversion between two descriptors on unrelated instances).
Lines: functools.py cached_property.__get__ 'with self.lock:' -> 'val = self.func(instance)' ->
the other descriptor's 'with self.lock:'.
"""

from functools import cached_property

DEADLOCK = True


class A:
    def __init__(self, b):
        self.b = b

    @cached_property
    def x(self):
        return self.b.y if self.b else 1


class B:
    def __init__(self, a):
        self.a = a

    @cached_property
    def y(self):
        return self.a.x if self.a else 2


def setup():
    return {"a": A(B(None)), "b": B(A(None)), "out": []}  # no cycle: single-threaded use is fine


def wa(s):
    s["out"].append(s["a"].x)


def wb(s):
    s["out"].append(s["b"].y)


workers = [wa, wb]
GLOBAL = True


def check(s):
    assert sorted(s["out"]) == [1, 2]

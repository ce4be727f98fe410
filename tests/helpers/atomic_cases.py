"""Statements with what is known of them under the GIL, by reasoning from CPython's source.

``atomic``: nothing between the first and the last access can let another thread go on.
``broken``: something can, and it is physically likely: a stress loses updates.
``can``: something can, which a stress is not likely to show (or its end state does not show it).
``unsure``: it depends on what cannot be known (finalizers, classes of other modules).

A gap, ``t = c.n; ...; c.n = t + 1``, shows whether its middle can be interrupted.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

CLASSES = """
class C:
    cls = 0
    def __init__(self): self.n = 0; self.m = 1; self.k = 2
    def method(self): pass
class Slots:
    __slots__ = ("n",)
class Property:
    _n = 0
    @property
    def n(self): return self._n
    @n.setter
    def n(self, value): self._n = value
class Missing:
    def __getattr__(self, name): return 1
class Key:
    def __hash__(self): return 1
    def __eq__(self, other): return isinstance(other, Key)
class Python:
    def __getitem__(self, i): return 1
    def __add__(self, other): return 1
    def __bool__(self): return True
    def __format__(self, spec): return ""
    def __contains__(self, x): return True
    def __enter__(self): return self
    def __exit__(self, *a): return None
    def __iter__(self): return self
    def __next__(self): return 1
class Finalized:
    def __del__(self): pass
def f(*a): return 1
def generator(): yield 1
class Guarded:
    def __init__(self): self.__dict__["n"] = 0
    def __setattr__(self, name, value): self.__dict__[name] = value
async def nothing(): return 1
c = C(); d = {"x": 1}; d2 = {"y": 1}; l = [1, 2, 3]; py = Python()
import math
"""


class Case(NamedTuple):
    statement: str
    truth: str
    setup: str = CLASSES
    #: What is different on some version.
    other: dict[tuple[int, int], str] = {}  # noqa: RUF012

    def here(self, version: tuple[int, int] = sys.version_info[:2]) -> str:
        return self.other.get(version, self.truth)


SCANNED = "import os; it = os.scandir('.'); it.close()"
#: 3.11 collects garbage at allocations, and finalizers with it.
COLLECTS = {(3, 11): "unsure"}

#: 3.12 lays handlers out behind the rest, with a jump back.
AWAY = {(3, 12): "can"}


def gap(middle: str, truth: str, setup: str = "", **more: object) -> Case:
    text = f"t = c.n\n{middle}\nc.n = t + 1"
    return Case(text, truth, CLASSES + setup, **more)  # type: ignore[arg-type]


CASES = [
    # the whole statement
    Case("self.n += 1", "atomic", ""),
    Case("d['k'] += 1", "atomic", ""),
    Case("d[k] += 1", "atomic", ""),
    Case("l[0] += 1", "atomic", ""),
    Case("n += 1", "atomic", ""),
    Case("self.n = self.n + 1", "atomic", ""),
    Case("l.append(x)", "atomic", ""),
    Case("l += [1]", "atomic", "", COLLECTS),
    Case("d['k'] = d.get('k', 0) + 1", "broken", "d = {'k': 0}"),
    Case("self.n = int(self.n + 1)", "broken", ""),
    Case("self.n = max(self.n + 1, 0)", "broken", ""),
    Case("c.n += f()", "broken"),
    Case("s.n += 1", "atomic", CLASSES + "s = Slots(); s.n = 0"),
    Case("p.n += 1", "broken", CLASSES + "p = Property()"),
    Case("d[K] += 1", "broken", CLASSES + "K = Key(); d = {Key(): 0}"),
    Case("C.cls += 1", "atomic"),
    Case("c.n = c.n + c.m", "atomic"),
    Case("self.n = (t := self.n) + 1", "atomic", "self = Object(n=10)"),
    Case("self.n, self.m = self.n + 1, 0", "atomic", "self = Object(n=10, m=0)"),
    Case("self.n = [x + 1 for x in (self.n,)][0]", "can", "self = Object(n=10)"),
    Case("self.n = self.n + (1 if self.n >= 0 else 2)", "atomic", "self = Object(n=10)"),
    Case("setattr(self, 'n', self.n + 1)", "atomic", "self = Object(n=10)"),
    Case("self.n = self.n + len(l)", "can", "l = [1]; self = Object(n=10)"),
    Case("if k in d: d[k] += 1", "atomic", ""),
    Case("q.append(x)", "atomic", ""),
    Case("l.extend([1])", "atomic", ""),
    Case("d.update(d2)", "atomic", ""),
    Case("with lock: self.n += 1", "can", ""),
    # __enter__ in C: on 3.14 others may come between it and the body
    Case("t = c.n\nwith it: c.n = t + 1", "unsure", CLASSES + SCANNED, {(3, 14): "broken"}),
    Case("for y in (1, 2): self.n += y", "can", "self = Object(n=10)"),
    # gaps: what lies between a read and a write
    gap("pass", "atomic"),
    gap("u = c.m", "atomic"),
    gap("u = d['x']", "atomic"),
    gap("u = 'x' in d", "atomic"),
    gap("u = 1 in l", "atomic"),
    gap("u = c.m if c.k else 0", "atomic"),
    gap("u = not l", "atomic"),
    gap("u = 0 < c.m < 3", "unsure"),
    gap("u = f'{c.m}'", "atomic"),
    gap("u = (c.m, c.k)", "atomic", other=COLLECTS),
    gap("try:\n    u = c.m\nfinally:\n    u = 2", "atomic"),
    gap("try:\n    u = d['no']\nexcept KeyError:\n    u = 0", "unsure", other=AWAY),
    gap("u = [x for x in l]", "can"),
    gap("for x in l: u = x", "broken"),
    gap("i = 0\nwhile i < 2: i += 1", "broken"),
    gap("len(l)", "can"),
    gap("isinstance(c, C)", "can"),
    gap("d.get('x')", "broken"),
    gap("math.sqrt(2)", "broken"),
    gap("list(d.keys())", "broken"),
    gap("f()", "broken"),
    gap("c.method()", "broken"),
    gap("C()", "broken"),
    gap("generator()", "can"),
    gap("u = list(generator())", "broken"),
    gap("with lock: u = 1", "broken", "import threading; lock = threading.RLock()"),
    gap("u = p.n", "broken", "p = Property()"),
    gap("u = m.zz", "broken", "m = Missing()"),
    gap("u = py[1]", "broken"),
    gap("u = py + 1", "broken"),
    gap("u = not py", "broken"),
    gap("u = f'{py}'", "broken"),
    gap("u = 1 in py", "broken"),
    gap("u = {K: 1}", "broken", "K = Key()"),
    gap("u = 1 in e", "broken", "e = {Key(): 0}"),
    gap("for x in py: break", "broken"),
    gap("with py: u = 1", "broken"),
    gap("x = Finalized(); x = None", "broken"),
    gap("g.n = 1", "broken", "g = Guarded()"),
    Case("g.n += 1", "broken", CLASSES + "g = Guarded()"),
    gap("await nothing()", "broken"),
    gap("yield", "broken"),
    gap("u = yield t", "broken"),
    gap("u = g(co())", "broken", "async def co(): return 1\ndef g(o):\n    o.close()\n"),
]

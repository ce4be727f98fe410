"""What a wrong call says under control is what it says without."""

from __future__ import annotations

import functools
import importlib.util
import re
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tracelock

#: Each is wrong, or is what a wrong one is compared with.
CALLS = """
len(5)
f(*5)
f(**5)
len()
len(1,2)
sum(5)
print(*5)
x.append()
x.append(1,2)
x.append(*5)
x.nope()
d.get()
d.get(**5)
int(*5)
setattr(1)
getattr(d)
sorted(5)
sorted(*5)
max(5)
isinstance(1)
functools.reduce(1)
p(*5)
p()
re.match(1)
re.match(*5)
"a".join(5)
"a".join(*5)
x[0](1)
d['f']()
d['f'](*5)
next(5)
iter(5)
heapq.heappush(1)
heapq.heappush(*5)
operator.attrgetter('a')(5)
operator.itemgetter(0)(5)
w(1)
w(*5)
lru(*5)
lru(1,2,3)
vars(5)
dir(*5)
map(*5)
zip(*5)
dict.get(*5)
str.join(*5)
{}.update(5)
{}.update(*5)
x.sort(*5)
x.sort(5)
for a in 5: pass
a, b = 5
5 in 5
"%s%s" % 5
"{}{}".format(*5)
"{}{}".format(1)
f(**{1:2})
f(a=1, **{'a':2})
len(**{'a':2})
x.append(a=1)
""".strip().split("\n")
HEAD = "import functools, heapq, operator, re\n"


class Thing:
    pass


THING = Thing()
PARTIAL = functools.partial(lambda a: a.upper())
CACHED = functools.lru_cache(PARTIAL)  # which has no name
REFERENCE = weakref.ref(THING)


def told(function: Callable[..., Any]) -> str:
    try:
        function([1, 2], {"f": len}, str, PARTIAL, REFERENCE, CACHED)
    except Exception as error:
        return f"{type(error).__name__}: {re.sub('0x[0-9a-f]+', '', str(error))}"
    return "nothing"


def test_errors_of_wrong_calls_are_those_of_the_interpreter(tmp_path: Path) -> None:
    path = tmp_path / "programs_wrong_calls.py"
    lines = [f"def f{i}(x, d, f, p, w, lru):\n    {call}" for i, call in enumerate(CALLS)]
    path.write_text(HEAD + "\n".join(lines), encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    functions = [f"f{number}" for number in range(len(CALLS))]
    plain = [told(getattr(module, name)) for name in functions]
    found: dict[str, str] = {}

    def worker() -> None:
        for name, call in zip(functions, CALLS, strict=True):
            found[call] = told(getattr(module, name))

    try:
        tracelock.explore(workers=[worker], instrument=[path.stem], schedules=1, isolation="never")
    finally:
        del sys.modules[path.stem]
    assert sum(text != "nothing" for text in plain) > 40
    assert found == dict(zip(CALLS, plain, strict=True))

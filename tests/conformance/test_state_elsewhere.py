"""State that code which is not looked into reads or changes: no program that races there is
verified, and none of those in which a lock keeps the workers apart is wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Final

import pytest

import tracelock
from tests.helpers.one_line_races import module_of, never_verified, rows_of

#: name | what ``setup`` does with ``o`` | what is read | what is written | what is put back
PROGRAMS: Final = """
lines of files | no_lines() | linecache.getline('zz', 1) | linecache.cache['zz'] = LINES | no_lines()
lines of files, by an alias | no_lines() | linecache.getline('zz', 1) | CACHE.update(zz=LINES) | no_lines()
compiled patterns | re.purge() | re.search('q1', 'z') is None | PATTERNS.update({KEY: OTHER}) | re.purge()
patterns are forgotten | re.purge(); re.compile('q1') | len(re._cache) | re.purge()
an enum by its values | o.C = color() | o.C(1).name | o.C._value2member_map_[1] = o.C.BLUE
an enum by its names | o.C = color() | o.C['RED'].name | o.C._member_map_['RED'] = o.C.BLUE
members of an enum | o.C = color() | len(o.C) | o.C._member_names_.append('BLUE')
all members of an enum | o.C = color() | len(o.C.__members__) | o.C._member_map_.pop('RED')
value of a member | o.C = color() | o.C.RED.value | o.C.RED._value_ = 5
name of a member | o.C = color() | repr(o.C.RED) | setattr(o.C.RED, '_name_', 'X')
members that are taken away | o.C = flag() | (o.C.A.__or__(o.C.B)).value | setattr(o.C.B, '_value_', 4)
a view that is released | o.m = memoryview(bytearray(b'a')) | tried(lambda: o.m[0]) | o.m.release()
its length | o.m = memoryview(bytearray(b'a')) | tried(lambda: len(o.m)) | o.m.release()
another view of it | o.m = memoryview(b'a') | tried(lambda: o.m.cast('B').nbytes) | o.m.release()
its size | o.m = memoryview(b'a') | tried(lambda: o.m.nbytes) | o.m.release()
what it is of | o.m = memoryview(b'a') | tried(lambda: o.m.obj) | o.m.release()
a view that is entered | o.m = memoryview(b'a') | tried(lambda: o.m.__enter__().nbytes) | o.m.release()
a view of a view | o.m = memoryview(b'a') | tried(lambda: memoryview(o.m).nbytes) | o.m.release()
memory that is given away | o.b = bytearray(1); o.m = memoryview(o.b) | tried(lambda: o.b.append(1)) | o.m.release()
an array with a view | o.a = array.array('i', [1]); o.m = memoryview(o.a) | tried(lambda: o.a.append(1)) | o.m.release()
a partial, restored | o.p = functools.partial(max, 1) | o.p(0) | o.p.__setstate__(STATE)
its arguments | o.p = functools.partial(max, 1) | o.p.args | o.p.__setstate__(STATE)
a partial that is applied | o.p = functools.partial(max, 1) | [*map(o.p, [0])] | o.p.__setstate__(STATE)
a partial, by its class | o.p = functools.partial(max, 1) | o.p(0) | functools.partial.__setstate__(o.p, STATE)
a partial, by an alias | o.p = functools.partial(max, 1); o.g = o.p.__setstate__ | o.p(0) | o.g(STATE)
hints of a class | o.C = hinted() | hints(o.C) | o.C.__annotations__ = {'x': str}
one hint of a class | o.C = hinted() | hints(o.C) | o.C.__annotations__['x'] = str
one hint, by vars | o.C = hinted() | hints(o.C) | vars(o.C)['__annotations__'].update(x=str)
hints of a function | o.f = function() | hints(o.f) | o.f.__annotations__['x'] = str
hints of a module | MODULE.__annotations__ = {'x': int} | hints(MODULE) | MODULE.__annotations__['x'] = str
fields of a dataclass | o.C = dataclasses.make_dataclass('D', ['x']) | len(dataclasses.fields(o.C)) | o.C.__dataclass_fields__.pop('x')
memory of ctypes | o.b = bytearray(4); o.c = ctypes.c_int.from_buffer(o.b) | bytes(o.b) | setattr(o.c, 'value', 7)
memory by its address | o.b, o.a = located() | bytes(o.b) | ctypes.memset(o.a, 65, 1)
the default context | nothing() | decimal.Context().prec | setattr(decimal.DefaultContext, 'prec', 9) | setattr(decimal.DefaultContext, 'prec', 28)
filters of warnings | nothing() | tried(warned) | warnings.filters.insert(0, FILTER) or mutated() | unfiltered()
a path to import from | nothing() | tried(lambda: __import__('zznone')) | sys.meta_path.insert(0, Finder()) | unfound()
modules | sys.modules['zzq'] = types.ModuleType('a') | tried(lambda: importlib.import_module('zzq').__name__) | sys.modules.pop('zzq') | sys.modules.pop('zzq', None)
the environment below | os.environ.pop('ZZ', None) | os.getenv('ZZ') | os.environ._data.update({b'ZZ': b'1'}) | os.environ.pop('ZZ', None)
a struct, set up again | o.s = struct.Struct('i') | o.s.size | o.s.__init__('q')
an iterator, restored | o.i = iter([1, 2, 3]) | next(o.i) | o.i.__setstate__(2)
interned text | o.a, o.b = same(), same() | sys.intern(o.a) is o.a | sys.intern(o.b)
the first day of a week | calendar.setfirstweekday(0) | calendar.firstweekday() | calendar.setfirstweekday(6) | calendar.setfirstweekday(0)
types of files | mimetypes.init() | mimetypes.guess_type('a.zz')[0] | mimetypes.types_map.update({'.zz': 'z/z'}) | mimetypes.types_map.pop('.zz', None)
entities | nothing() | html.unescape('&zz;') | html.entities.html5.update({'zz;': 'Z'}) | html.entities.html5.pop('zz;', None)
schemes | nothing() | urllib.parse.urljoin('zz://a/b', 'c') | [one.append('zz') for one in SCHEMES] | unschemed()
sets of characters | charset() | email.charset.Charset('zz').body_encoding | email.charset.add_charset('zz', None, 1) | charset()
kinds of archives | nothing() | len(shutil.get_archive_formats()) | shutil.register_archive_format('zz', nothing) | shutil._ARCHIVE_FORMATS.pop('zz', None)
how much repr tells | reprlib.aRepr.maxlist = 6 | reprlib.repr([1, 2, 3]) | setattr(reprlib.aRepr, 'maxlist', 1) | setattr(reprlib.aRepr, 'maxlist', 6)
an encoder of json | ENCODER.key_separator = ': ' | json.dumps({'a': 1}) | setattr(ENCODER, 'key_separator', '=') | setattr(ENCODER, 'key_separator', ': ')
doc of a property | o.p = property(lambda s: 1) | o.p.__doc__ | setattr(o.p, '__doc__', 'z')
a property, set up again | o.C = new(); o.c = o.C() | o.c.p | o.C.__dict__['p'].__init__(lambda s: 2)
a static method, set up again | o.s = staticmethod(lambda: 1) | o.s() | o.s.__init__(lambda: 3)
a module, set up again | o.m = types.ModuleType('a') | o.m.__name__ | o.m.__init__('b')
a factory of values | o.d = defaultdict(int) | o.d['a'] | setattr(o.d, 'default_factory', lambda: 5)
text of an OSError | o.e = OSError(1, 'a') | str(o.e) | setattr(o.e, 'errno', 5)
text of a SyntaxError | o.e = SyntaxError('a') | str(o.e) | setattr(o.e, 'msg', 'b')
an exception, restored | o.e = ValueError(1) | getattr(o.e, 'x', None) | o.e.__setstate__({'x': 1})
parties of a barrier | o.b = threading.Barrier(2) | o.b.parties | setattr(o.b, '_parties', 3)
a broken barrier | o.b = threading.Barrier(1) | o.b.broken | o.b.abort()
permits of a semaphore | o.s = threading.Semaphore(2) | o.s._value | o.s.acquire(blocking=False)
the flag of an event | o.e = threading.Event() | o.e._flag | o.e.set()
state of a future | o.f = futures.Future() | o.f._state | o.f.cancel()
number of a thread | o.t = threading.Thread(target=nothing) | o.t.ident is None | o.t.start()
text of a lock | o.l = threading.Lock() | 'unlocked' in repr(o.l) | o.l.acquire()
items of a queue | o.q = queue.Queue() | len(o.q.queue) | o.q.put(1)
what a queue waits for | o.q = queue.Queue() | o.q.unfinished_tasks | o.q.put(1)
callbacks of a stack | o.s = contextlib.ExitStack() | len(o.s._exit_callbacks) | o.s.callback(nothing)
whether a stream is closed | o.s = io.StringIO() | o.s.closed | o.s.close()
"""  # noqa: E501
HEAD: Final = """
import array, calendar, contextlib, ctypes, dataclasses, decimal, email.charset, enum, functools
import html.entities, importlib, io, json, linecache, mimetypes, os, queue, re, reprlib, shutil
import struct, sys, threading, types, typing, urllib.parse, warnings
from collections import defaultdict
from concurrent import futures

MODULE = sys.modules[__name__]
CACHE, SCHEMES = linecache.cache, (urllib.parse.uses_relative, urllib.parse.uses_netloc)
LINES = (3, None, ["hey"], "zz")
FILTER = ("error", None, BytesWarning, None, 0)
PATTERNS = getattr(re, "_cache2", re._cache)
KEY, OTHER = (str, "q1", 0), re.compile("")
STATE = (max, (5,), {}, None)
ENCODER = json._default_encoder
def nothing(*args): pass
def no_lines(): linecache.cache.pop("zz", None)
def charset(): email.charset.CHARSETS.pop("zz", None)
def unschemed():
    for one in SCHEMES: one[:] = [each for each in one if each != "zz"]
def hints(of): return typing.get_type_hints(of)["x"]
def same(): return "".join(["a state", " elsewhere"])
def warned(): warnings.warn("z", BytesWarning)
def mutated():
    getattr(warnings, "_filters_mutated", nothing)()
    getattr(warnings, "_filters_mutated_lock_held", nothing)()
def unfiltered():
    warnings.filters[:] = [one for one in warnings.filters if one != FILTER]
    mutated()
def unfound(): sys.meta_path[:] = [one for one in sys.meta_path if type(one) is not Finder]
def tried(ask):
    try:
        return ask()
    except Exception as error:
        return type(error).__name__
def color():
    class Color(enum.Enum):
        RED = 1
        BLUE = 2
    return Color
def flag(): return enum.Flag("Flag", "A B C")
def hinted():
    class C: x: int
    return C
def function():
    def f(x: int): pass
    return f
def located():
    memory = bytearray(4)
    return memory, ctypes.addressof(ctypes.c_char.from_buffer(memory))
def new():
    class C: p = property(lambda self: 1)
    return C
class Finder:
    def find_spec(self, *args): raise KeyError
"""
ROWS: Final = rows_of(PROGRAMS)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    path = tmp_path_factory.mktemp("programs") / "programs_state_elsewhere.py"
    yield module_of(HEAD, ROWS, path)
    del sys.modules[path.stem]


@pytest.mark.parametrize("number", range(len(ROWS)), ids=lambda one: ROWS[one][0])
def test_it_is_never_verified(programs: ModuleType, number: int) -> None:
    never_verified(programs, number)


#: name | what ``setup`` does | what both workers do while they hold ``o.k`` | what is true then
KEPT_APART: Final = """
a stream | o.s = io.BytesIO() | o.s.seek(0, 2); o.s.write(b'a') | o.s.getvalue() == b'aa'
a view | o.m = memoryview(bytearray(1)) | o.m[0] = o.m[0] + 1 | o.m[0] == 2
an array | o.a = array.array('i') | o.a.append(len(o.a)) | [*o.a] == [0, 1]
an iterator | o.i = iter([1, 2, 3]) | o.got += next(o.i) | o.got == 3
a factory | o.d = defaultdict(int) | o.d['a'] += 1 | o.d['a'] == 2
a table of an enum | o.C = color() | o.C._member_map_['X'] = len(o.C._member_map_) | o.C._member_map_['X'] == 3
hints | o.C = hinted() | o.C.__annotations__['y'] = len(o.C.__annotations__) | hints(o.C) is int
lines of files | no_lines() | linecache.cache['zz'] = LINES | linecache.getline('zz', 1) == 'hey'
a partial | o.p = functools.partial(max, 1) | o.p.__setstate__((max, (o.p(0) + 1,), {}, None)) | o.p(0) == 3
text of an exception | o.e = OSError(1, 'a') | o.e.errno += 1 | '3' in str(o.e)
a queue | o.q = queue.Queue() | o.q.put(o.q.qsize()) | [*o.q.queue] == [0, 1]
a closed stream | o.s = io.StringIO() | o.got += not o.s.closed; o.s.close() | o.got == 1
"""  # noqa: E501


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    path = tmp_path_factory.mktemp("programs") / "programs_kept_apart.py"
    bodies = [HEAD]
    for number, (_, setup, done, true) in enumerate(rows_of(KEPT_APART)):
        bodies.append(
            f"def setup{number}():\n"
            "    o = types.SimpleNamespace(got=0, k=threading.Lock())\n"
            f"    {setup}\n    return o\n"
            f"def work{number}(o):\n    with o.k:\n        {done}\n"
            f"def check{number}(o): return {true}\n"
        )
    yield module_of("\n".join(bodies), [], path)
    del sys.modules[path.stem]


@pytest.mark.parametrize(
    "number", range(len(rows_of(KEPT_APART))), ids=lambda one: rows_of(KEPT_APART)[one][0]
)
def test_what_a_lock_keeps_apart_is_right(apart: ModuleType, number: int) -> None:
    setup, work, check = (getattr(apart, f"{part}{number}") for part in ("setup", "work", "check"))
    found = tracelock.explore(
        setup=setup, workers=[work, work], check=check, strategy="dpor",
        instrument=[apart.__name__], shrink=False, confirm=1,
    )  # fmt: skip
    assert found.verdict == "verified" or (found.verdict == "passed" and found.account.not_seen)


def test_whether_a_stream_is_closed_is_told_as_it_is() -> None:
    """It was told as the method that a stream would have of that name."""
    import io

    def ask(stream: io.StringIO) -> None:
        assert stream.closed is False
        stream.write("a")

    found = tracelock.explore(setup=io.StringIO, workers=[ask, ask])
    assert found.verdict != "failed"

"""State that is read or changed without being named: no program that races there is verified."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Final

import pytest

import tracelock
from tests.helpers.one_line_races import module_of, never_verified, rows_of

#: name | what ``setup`` does with ``o`` | what is read | what is written | what is put back
PROGRAMS: Final = """
defaults of a function | o.f = given() | o.f() | o.f.__defaults__ = (2,)
keyword defaults | o.f = named() | o.f() | o.f.__kwdefaults__ = {'a': 2}
one keyword default | o.f = named() | o.f() | o.f.__kwdefaults__['a'] = 2
code of a function | o.f, o.g = given(), other() | o.f() | o.f.__code__ = o.g.__code__
name of a function | o.f = given() | o.f.__name__ | o.f.__name__ = 'g'
namespace of a function | o.f = given(); o.f.n = 1 | o.f.__dict__.get('n') | o.f.__dict__ = {'n': 2}
a cell | o.f = closing() | o.f() | o.f.__closure__[0].cell_contents = 2
name of a thread | o.t = threading.Thread(name='a') | o.t.name | o.t.name = 'b'
notes of an exception | o.e = ValueError() | len(getattr(o.e, '__notes__', ())) | o.e.add_note('a')
cause of an exception | o.e = ValueError() | o.e.__cause__ | o.e.__cause__ = KeyError()
traceback | o.e = ValueError() | o.e.__traceback__ is None | raised(o.e)
text of an exception | o.e = ValueError(1) | str(o.e) | o.e.args = (2,)
an exception set up again | o.e = ValueError(1) | f'{o.e}' | o.e.__init__(2)
a key that format makes | o.d = defaultdict(list) | len(o.d) | '{0[a]}'.format(o.d)
a key that format_map makes | o.d = defaultdict(list) | len(o.d) | '{a}'.format_map(o.d)
a key that % makes | o.d = defaultdict(list) | len(o.d) | '%(a)s' % o.d
a method of a class | o.C = new(); o.c = o.C() | o.c.m() | o.C.m = lambda self: 2
a property of a class | o.C = new(); o.c = o.C() | o.c.p | o.C.p = property(lambda self: 2)
an operator of a class | o.C = new(); o.c = o.C() | o.c + 1 | o.C.__add__ = lambda self, x: 2
bases of a class | o.C = new(); o.c = o.C() | o.c.m() | o.C.__bases__ = (Other,)
name of a class | o.C = new() | repr(o.C) | o.C.__qualname__ = 'D'
classes below | o.C = new() | len(o.C.__subclasses__()) | setattr(o, 'D', type('D', (o.C,), {}))
by type's own method | o.C = new() | o.C.n | type.__setattr__(o.C, 'n', 2)
attributes of a class | o.C = new() | 'q' in o.C.__dict__ | o.C.q = 2
what abstract classes know | o.C = abstract() | isinstance(3, o.C) | o.C.register(int)
one attribute more | o.c = Empty() | len(vars(o.c)) | o.c.q = 2
one more to copy | o.c = Empty() | vars(copy.copy(o.c)) | o.c.q = 2
a function of a module | MODULE.f = given() | MODULE.f() | MODULE.f = two
a hook | unhook() | sys.excepthook is HOOK | sys.excepthook = two | unhook()
a stream that is redirected | o.t = redirected() | sys.stdout is OUT | o.t.__enter__() | unhook()
a level of logging | LOG.setLevel(10) | LOG.isEnabledFor(20) | logging.disable(50) | enabled()
a setting of the collector | gc.enable() | gc.isenabled() | gc.disable() | gc.enable()
a global by its bare name | globals()['X'] = 1 | X | globals()['X'] = 2
a global by update | globals()['X'] = 1 | X | globals().update(X=2)
a global by exec | globals()['X'] = 1 | X | exec('X = 2', globals())
what eval reads | globals()['X'] = 1 | eval('X') | exec('X = 2', globals())
a context of decimal | o.c = decimal.Context(prec=5) | str(o.c.divide(ONE, 3)) | o.c.prec = 2
its flags | o.c = decimal.Context() | o.c.flags[decimal.Inexact] | o.c.divide(ONE, 3)
a stream below | o.r = io.BytesIO(); o.t = io.TextIOWrapper(o.r) | o.r.getvalue() | flushed(o.t)
a writer of rows | o.s = io.StringIO(); o.w = csv.writer(o.s) | o.s.getvalue() | o.w.writerow([1])
a view of a stream | o.b = io.BytesIO(b'a'); o.m = o.b.getbuffer() | o.b.getvalue() | o.m[0] = 9
elements in C | o.e = ElementTree.Element('a') | len(o.e) | o.e.append(ElementTree.Element('b'))
keywords of a partial | o.p = functools.partial(dict, a=2) | o.p() | o.p.keywords['a'] = 5
a stack of contexts | o.l = []; o.s = stack(o.l) | o.s.close() or len(o.l) | o.s.pop_all()
a decoder | o.d = codecs.getincrementaldecoder('utf-16')() | o.d.getstate() | o.d.decode(b'a')
a context of variables | o.c = contextvars.Context() | o.c.get(VARIABLE) | o.c.run(VARIABLE.set, 5)
how often there are references | o.l = [] | sys.getrefcount(o.l) | setattr(o, 'm', o.l)
"""
HEAD: Final = """
import abc, codecs, contextlib, contextvars, copy, csv, decimal, functools, gc, io, logging
import sys, threading, types
from collections import defaultdict
from xml.etree import ElementTree

MODULE = sys.modules[__name__]
HOOK, OUT = sys.excepthook, sys.stdout
LOG = logging.getLogger("tests.state_unseen")
ONE = decimal.Decimal(1)
VARIABLE = contextvars.ContextVar("VARIABLE")
two = lambda: 2
class Empty: pass
class Base: pass
class Other(Base):
    def m(self): return 2
def given():
    def f(a=1): return a
    return f
def named():
    def f(*, a=1): return a
    return f
def other():
    def g(a=1): return 5
    return g
def closing():
    n = 1
    def f(): return n
    return f
def raised(e):
    with contextlib.suppress(ValueError): raise e
def new():
    class First(Base):
        def m(self): return 1
    class C(First):
        n = 1
        p = property(lambda self: 1)
        def __add__(self, x): return 1
    return C
def abstract():
    class C(abc.ABC): pass
    return C
def redirected(): return contextlib.redirect_stdout(io.StringIO())
def unhook(): sys.excepthook, sys.stdout = HOOK, OUT
def enabled(): logging.disable(0)
def flushed(t): t.write('a') and t.flush()
def stack(l):
    s = contextlib.ExitStack()
    s.callback(l.append, 1)
    return s
"""
ROWS: Final = rows_of(PROGRAMS)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    path = tmp_path_factory.mktemp("programs") / "programs_state_unseen.py"
    yield module_of(HEAD, ROWS, path)
    del sys.modules[path.stem]


@pytest.mark.parametrize("number", range(len(ROWS)), ids=lambda one: ROWS[one][0])
def test_it_is_never_verified(programs: ModuleType, number: int) -> None:
    found = never_verified(programs, number)
    if found.verdict == "passed":
        assert found.account.unseen


def test_what_is_kept_by_a_partial_is_what_it_was_given(programs: ModuleType) -> None:
    """``functools.wraps(len)`` makes a ``partial`` that hands ``len`` on as a keyword."""

    def kept(function: object) -> None:
        assert function.__wrapped__ is len  # type: ignore[attr-defined]

    found = tracelock.explore(
        setup=lambda: functools.wraps(len)(programs.given()), workers=[kept, kept]
    )
    assert found.verdict == "verified"

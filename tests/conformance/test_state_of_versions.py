"""State that newer versions of Python read or change in code in C, or evaluate late; what has a
second name; what is set by ``object.__setattr__`` and descriptors. No program that races there is
verified.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Final

import pytest

import tracelock
from tests.helpers.one_line_races import module_of, never_verified, rows_of

#: name | what ``setup`` does with ``o`` | what is read | what is written | what is put back
ALWAYS: Final = """
a copy of a namespace, by its methods | o.n = types.SimpleNamespace(a=1) | copy.copy(o.n).a | o.n.a = 5
a namespace, set up again | o.n = types.SimpleNamespace(a=1) | o.n.a | o.n.__init__(a=5)
a namespace of the items of a dictionary | o.m = {'a': 1} | types.SimpleNamespace(**o.m).a | o.m['a'] = 5
a class with memory of its own | o.x = Memory() | bytes(memoryview(o.x)) if HAS_BUFFER else o.x.data[0] | o.x.data[0] = 9
an alias of the values of an enum | o.C = color(); o.m = o.C._value2member_map_ | o.C(1).name | o.m[1] = o.C.BLUE
an alias of the names of an enum | o.C = color(); o.m = o.C._member_map_ | o.C['RED'].name | o.m['RED'] = o.C.BLUE
an alias of the members of an enum | o.C = color(); o.m = o.C._member_names_ | len(o.C) | o.m.append('BLUE')
the same of one in a module | o.m = Color._value2member_map_ | Color(1).name | o.m[1] = Color.BLUE | Color._value2member_map_.update({1: Color.RED})
the same by a global | nothing() | Color['RED'].name | NAMES.update(RED=Color.BLUE) | NAMES.update(RED=Color.RED)
the same of a member | o.c = Color.RED; o.m = Color._value2member_map_ | type(o.c)(1).name | o.m[1] = Color.BLUE | Color._value2member_map_.update({1: Color.RED})
an alias of hints of a class | o.C = hinted(); o.m = o.C.__annotations__ | hints(o.C) | o.m['x'] = str
an alias of hints of a class above | o.C = hinted(); o.D = type('D', (o.C,), {}); o.m = o.C.__annotations__ | hints(o.D) | o.m['x'] = str
an alias of hints of a function | o.f = function(); o.m = o.f.__annotations__ | hints(o.f) | o.m['x'] = str
an alias of hints of a method | o.C = type('C', (), {'f': function()}); o.m = o.C.f.__annotations__ | hints(o.C.f) | o.m['x'] = str
an alias of hints of a module | MODULE.__annotations__ = {'x': int}; o.m = MODULE.__annotations__ | hints(MODULE) | o.m['x'] = str
an alias of fields | o.C = dataclasses.make_dataclass('D', ['x']); o.m = o.C.__dataclass_fields__ | len(dataclasses.fields(o.C)) | o.m.pop('x')
an alias of keyword defaults | o.f = lambda *, a=1: a; o.m = o.f.__kwdefaults__ | o.f() | o.m['a'] = 5
the same of a function above | o.m = keyworded.__kwdefaults__ | keyworded() | o.m['a'] = 5 | keyworded.__kwdefaults__.update(a=1)
an alias of keywords of a partial | o.p = functools.partial(dict, a=1); o.m = o.p.keywords | o.p() | o.m['a'] = 5
keywords of a partial method | o.C = type('C', (), {'f': functools.partialmethod(pair, a=1)}); o.m = vars(o.C)['f'].keywords | o.C().f() | o.m['a'] = 5
an alias of the items of a queue | o.q = queue.Queue(); o.m = o.q.queue | o.q.qsize() | o.m.append(1)
an alias of what a stack calls | o.s = contextlib.ExitStack(); o.m = o.s._exit_callbacks | o.s.close() or len(LOG) | o.m.append((True, lambda *a: LOG.append(1))) | LOG.clear()
an alias of a counter of a library | o.s = string.Formatter(); o.h = html_parser(); o.m = o.h.lasttag_list | o.h.get() | o.m.append(1)
an alias of sections | o.c = configured(); o.m = o.c._sections | o.c.sections() | o.m['b'] = {}
an alias of actions | o.p = argparse.ArgumentParser(); o.m = o.p._defaults | o.p.get_default('zz') | o.m['zz'] = 1
an alias of handlers | o.l = logging.Logger('a'); o.m = o.l.handlers | o.l.hasHandlers() | o.m.append(1)
an alias of headers | o.e = email.message.Message(); o.m = o.e._headers | o.e.items() | o.m.append(('a', 'b'))
an alias of jobs | o.s = sched.scheduler(); o.m = o.s._queue | o.s.empty() | o.m.append(1)
an alias of a user's list | o.u = collections.UserList(); o.m = o.u.data | len(o.u) | o.m.append(1)
an alias of maps | o.u = collections.ChainMap({}); o.m = o.u.maps[0] | o.u.get('a') | o.m['a'] = 1
an alias of elements | o.t = ElementTree.Element('a'); o.m = o.t.attrib | o.t.get('b') | o.m['b'] = 'c'
an alias of cookies | o.u = http.cookies.SimpleCookie(); o.g = o.u.get | o.g('a') | o.u['a'] = 'b'
an alias of variables of a context | o.u = configured()['a']; o.m = o.u.parser._sections['a'] | o.u.get('k') | o.m['k'] = 'z'
defaults of a function of a library | nothing() | json.dumps.__kwdefaults__['indent'] | json.dumps.__kwdefaults__.update(indent=5) | json.dumps.__kwdefaults__.update(indent=None)
what they come to | nothing() | json.dumps([1]) | json.dumps.__kwdefaults__.update(indent=5) | json.dumps.__kwdefaults__.update(indent=None)
the same by an alias | o.m = json.dumps.__kwdefaults__ | json.dumps([1]) | o.m.update(indent=5) | json.dumps.__kwdefaults__.update(indent=None)
a default that is a list | o.m = defaulted.__defaults__[0] | defaulted() | o.m.append(1) | defaulted.__defaults__[0].clear()
a default of a library that is a list | o.f = glob.glob; o.m = library_default() | other_default() | o.m.append(1) | library_default().clear()
positional defaults | o.f = lambda a=1: a | o.f() | o.f.__defaults__ = (5,)
the same of a library | nothing() | fnmatch_like() | setattr(DEFAULTS, '__defaults__', (5,)) | setattr(DEFAULTS, '__defaults__', (1,))
a namespace that is given to an object | o.n = Plain(); o.d = {'a': 5} | o.n.a | object.__setattr__(o.n, '__dict__', o.d)
one that is shared next | o.n = Plain(); o.d = {'a': 1}; object.__setattr__(o.n, '__dict__', o.d) | o.n.a | o.d['a'] = 5
one that is shared by setattr | o.n = Plain(); o.d = {'a': 1}; setattr(o.n, '__dict__', o.d) | o.n.a | o.d['a'] = 5
one that is shared by a descriptor | o.n = Plain(); o.d = {'a': 1}; vars(Plain)['__dict__'].__set__(o.n, o.d) | o.n.a | o.d['a'] = 5
one that the worker shares | o.n = Plain(); o.d = {'a': 1} | o.n.a | object.__setattr__(o.n, '__dict__', o.d); o.d['a'] = 5
one that the worker shares by a descriptor | o.n = Plain(); o.d = {'a': 1} | o.n.a | vars(Plain)['__dict__'].__set__(o.n, o.d); o.d['a'] = 5
one that two objects have | o.a, o.b = Plain(), Plain(); object.__setattr__(o.b, '__dict__', o.a.__dict__) | o.a.a | o.b.a = 5
an attribute of a class, by type | o.C = type('C', (), {'a': 1}) | o.C.a | type.__setattr__(o.C, 'a', 5)
the same by its instance | o.C = type('C', (), {'a': 1}); o.x = o.C() | o.x.a | type.__setattr__(o.C, 'a', 5)
a method of a class, by type | o.C = type('C', (), {'f': lambda self: 1}); o.x = o.C() | o.x.f() | type.__setattr__(o.C, 'f', lambda self: 5)
an attribute of a class, deleted | o.C = type('C', (), {'a': 1}) | hasattr(o.C, 'a') | type.__delattr__(o.C, 'a')
its namespace | o.C = type('C', (), {'a': 1}) | o.C.a | o.C.__dict__ and type.__setattr__(o.C, 'a', 5)
its mro | o.C = type('C', (One,), {}) | o.C().a | o.C.__bases__ = (Two,)
its mro, by type | o.C = type('C', (One,), {}) | o.C().a | type.__setattr__(o.C, '__bases__', (Two,))
its name | o.C = type('C', (One,), {}) | o.C.__name__ | type.__setattr__(o.C, '__name__', 'D')
a class of an object, by object | o.x = One() | o.x.a | object.__setattr__(o.x, '__class__', Two)
an attribute of a module | MODULE.zz = 1 | MODULE.zz | types.ModuleType.__setattr__(MODULE, 'zz', 5) | setattr(MODULE, 'zz', 1)
a global of the module | nothing() | COUNT | types.ModuleType.__setattr__(MODULE, 'COUNT', 5) | setattr(MODULE, 'COUNT', 1)
a global, by globals | nothing() | COUNT | globals().update(COUNT=5) | setattr(MODULE, 'COUNT', 1)
a global, by a function | nothing() | COUNT | setup_of.__globals__.update(COUNT=5) | setattr(MODULE, 'COUNT', 1)
a global, by a name of those | o.g = globals() | COUNT | o.g['COUNT'] = 5 | setattr(MODULE, 'COUNT', 1)
the function of a partial | o.p = functools.partial(max, 1) | o.p(0) | functools.partial.__dict__['__setstate__'](o.p, STATE)
an attribute of a partial | o.p = functools.partial(max, 1); o.p.a = 1 | o.p.a | o.p.a = 5
an attribute of a partial, by vars | o.p = functools.partial(max, 1); o.p.a = 1 | o.p.a | vars(o.p).update(a=5)
a cell | o.f = closing(); o.c = o.f.__closure__[0] | o.f() | o.c.cell_contents = 5
a cell that is read | o.f, o.g = both(); o.c = o.f.__closure__[0] | o.c.cell_contents | o.g()
a cell that a function sets | o.c = types.CellType(1) | o.c.cell_contents | o.c.cell_contents = 5
a cell, by its descriptor | o.c = types.CellType(1) | o.c.cell_contents | vars(types.CellType)['cell_contents'].__set__(o.c, 5)
a cell, by setattr | o.f = closing(); o.c = o.f.__closure__[0] | o.f() | setattr(o.c, 'cell_contents', 5)
a cell, by object | o.f = closing(); o.c = o.f.__closure__[0] | o.f() | object.__setattr__(o.c, 'cell_contents', 5)
what is in a cell | o.f = closing([1]); o.c = o.f.__closure__[0].cell_contents | o.f() [:] | o.c.append(5)
what a function wraps | o.f = wrapped() | str(inspect.signature(o.f)) | o.f.__wrapped__ = pair
the same by unwrapping | o.f = wrapped() | inspect.unwrap(o.f) is pair | o.f.__wrapped__ = pair
the signature of a function | o.f = function() | str(inspect.signature(o.f)) | o.f.__signature__ = inspect.signature(pair)
its defaults | o.f = function() | str(inspect.signature(o.f)) | o.f.__defaults__ = (7,)
its annotations | o.f = function() | str(inspect.signature(o.f)) | o.f.__annotations__['x'] = str
its code | o.f = function() | str(inspect.signature(o.f)) | o.f.__code__ = pair.__code__
what a cache wraps | o.f = functools.lru_cache(pair) | o.f.__wrapped__ is pair | o.f.__wrapped__ = len
modules by another name | sys.modules['zzq'] = types.ModuleType('a'); o.m = sys.modules | tried(lambda: importlib.import_module('zzq').__name__) | o.m.pop('zzq') | sys.modules.pop('zzq', None)
which modules there are | o.m = sys.modules | 'zzq' in sys.modules | o.m['zzq'] = MODULE | sys.modules.pop('zzq', None)
an imported name | sys.modules['zzq'] = types.ModuleType('a'); sys.modules['zzq'].x = 1 | tried(import_x) | setattr(sys.modules['zzq'], 'x', 5) | sys.modules.pop('zzq', None)
the path by another name | o.m = sys.path | 'zzq' in sys.path | o.m.append('zzq') | sys.path.remove('zzq') if 'zzq' in sys.path else None
the meta path by another name | o.m = sys.meta_path | tried(lambda: __import__('zznone')) | o.m.insert(0, Finder()) | unfound()
who refers to one | o.x = Plain() | len(gc.get_referrers(o.x)) | o.y = [o.x]
what it refers to | o.x = [[1]] | [len(one) for one in gc.get_referents(o.x)] | o.x[0].append(5)
what it refers to itself | o.x = [1] | len(gc.get_referents(o.x)) | o.x.append([5])
whether it is tracked | o.x = {} | gc.is_tracked(o.x) | o.x['a'] = []
how many refer to it | o.x = Plain() | sys.getrefcount(o.x) | o.y = o.x
how large it is | o.x = [] | sys.getsizeof(o.x) | o.x.extend([1] * 99)
whether collection is on | gc.enable() | gc.isenabled() | gc.disable() | gc.enable()
its thresholds | o.t = gc.get_threshold() | gc.get_threshold() | gc.set_threshold(701, 3, 3) | gc.set_threshold(700, 10, 10)
what was found | nothing() | len(gc.garbage) | gc.garbage.append(1) | gc.garbage.clear()
what is called then | nothing() | len(gc.callbacks) | gc.callbacks.append(nothing) | gc.callbacks.clear()
memory by ctypes | o.b = bytearray(4); o.c = (ctypes.c_char * 4).from_buffer(o.b) | bytes(o.b) | o.c.__setitem__(0, b'a')
an item of an array of ctypes | o.c = (ctypes.c_int * 2)() | o.c[0] | o.c[0] = 5
a field of a structure | o.c = Structure() | o.c.x | o.c.x = 5
a field of a structure, by memory | o.c = Structure(); o.m = memoryview(o.c).cast('B') | o.c.x | o.m[0] = 5
what a pointer is of | o.c = ctypes.c_int(1); o.p = ctypes.pointer(o.c) | o.c.value | o.p.contents.value = 5
an object by its address | o.l = [1] | len(o.l) | ctypes.cast(id(o.l), ctypes.py_object).value.append(5)
a variable of a frame | o.g = paused(); next(o.g) | next(o.g) | o.g.gi_frame.f_locals.update({'x': 5}) if sys.version_info >= (3, 13) else o.g.send(5)
evaluated text | o.m = {'a': 1} | eval('a', {}, o.m) | o.m['a'] = 5
executed text | o.m = {'a': 1} | eval('a', {'a': 0}, o.m) | exec('a = 5', o.m)
a protocol | o.C = type('C', (typing.Protocol,), {'__annotations__': {'x': int}}) | hints(o.C) | setattr(o.C, '__annotations__', {'x': str})
bases as they were | o.C = type('C', (), {'__orig_bases__': [1]}) | o.C.__orig_bases__[0] | o.C.__orig_bases__[0] = 5
modules of types | o.C = type('C', (), {}) | types.new_class('D', (o.C,)).__module__ and o.C.__module__ | o.C.__module__ = 'zz'
match args | o.C = matched() | matching(o.C()) | o.C.__match_args__ = ('b',)
slots | o.C = type('C', (), {'__slots__': ['a']}) | o.C.__slots__[0] | o.C.__slots__[0] = 'b'
abstract methods | o.C = abc.ABCMeta('C', (), {}) | tried(lambda: o.C() and None) | setattr(o.C, '__abstractmethods__', frozenset('f'))
a drawn number | o.r = random.Random(1) | o.r.random() | o.r.random()
by an alias of object | o.n = Plain(); o.s = object.__setattr__ | o.n.a | o.s(o.n, 'a', 5)
by a global of that | o.n = Plain() | o.n.a | SETATTR(o.n, 'a', 5)
deleted by an alias of object | o.n = Plain(); o.s = object.__delattr__ | hasattr(o.n, 'a') | o.s(o.n, 'a')
read by an alias of object | o.n = Plain(); o.s = object.__getattribute__ | o.s(o.n, 'a') | o.n.a = 5
by a method of its own | o.n = Plain(); o.s = o.n.__setattr__ | o.n.a | o.s('a', 5)
by the class of a namespace | o.n = types.SimpleNamespace(a=1) | o.n.a | types.SimpleNamespace.__setattr__(o.n, 'a', 5)
by an alias of that | o.n = types.SimpleNamespace(a=1); o.s = types.SimpleNamespace.__setattr__ | o.n.a | o.s(o.n, 'a', 5)
by the method of a namespace | o.n = types.SimpleNamespace(a=1); o.s = o.n.__setattr__ | o.n.a | o.s('a', 5)
by the class of exceptions | o.e = ValueError(1) | getattr(o.e, 'x', 0) | BaseException.__setattr__(o.e, 'x', 5)
by a subclass of a namespace | o.n = Setting(a=1) | o.n.a | o.n.b = 5
by a partial of object | o.n = Plain(); o.s = functools.partial(object.__setattr__, o.n) | o.n.a | o.s('a', 5)
by way of C, of object | o.n = Plain() | o.n.a | [*map(object.__setattr__, [o.n], ['a'], [5])]
by an alias of type | o.C = type('C', (), {'a': 1}); o.s = type.__setattr__ | o.C.a | o.s(o.C, 'a', 5)
by the descriptor of a slot | o.n = Slotted(1); o.s = Slotted.part.__set__ | o.n.part | o.s(o.n, 5)
names of a class, by its descriptor | o.n = Plain() | o.n.a | type(o.n).__dict__['__dict__'].__get__(o.n)['a'] = 5
a namespace by its descriptor | o.n = Plain(); o.m = type(o.n).__dict__['__dict__'].__get__(o.n) | o.n.a | o.m['a'] = 5
"""  # noqa: E501
SINCE_3_12: Final = """
a view, by its method | o.m = memoryview(bytearray(b'12')) | o.m.__buffer__(0).tolist() | o.m[0] = 55
the same by its class | o.m = memoryview(bytearray(b'12')) | memoryview.__buffer__(o.m, 0).tolist() | o.m[0] = 55
a released one by its method | o.m = memoryview(bytearray(b'12')) | tried(lambda: o.m.__buffer__(0).nbytes) | o.m.release()
memory of bytes that grow | o.b = bytearray(b'12') | o.b.__buffer__(0).tolist() | o.b[0] = 55
the same of a list of numbers | o.b = array.array('b', [1]) | o.b.__buffer__(0).tolist() | o.b[0] = 55
that they cannot grow | o.b = bytearray(b'12'); o.v = o.b.__buffer__(0) | tried(lambda: o.b.append(1)) | o.b.__release_buffer__(o.v)
memory of a stream | o.b = io.BytesIO(b'12').getbuffer() | o.b.__buffer__(0).tolist() | o.b[0] = 55
memory of ctypes, by its method | o.c = ctypes.c_int(1) | o.c.__buffer__(0).cast('B').tolist() | o.c.value = 5
memory of a class | o.x = Memory() | bytes(o.x) | o.x.data[0] = 9
memory of a class, joined | o.x = Memory() | b''.join([o.x]) | o.x.data[0] = 9
memory of a class, by a struct | o.x = Memory() | struct.unpack('2b', o.x) | o.x.data[0] = 9
memory of a class, hashed | o.x = Memory() | zlib.crc32(o.x) | o.x.data[0] = 9
memory of a class, replaced | o.x = Memory() | bytes(o.x) | o.x.data = bytearray(b'zz')
memory of a class, as text | o.x = Memory() | str(o.x, 'ascii') | o.x.data[0] = 99
memory of a class, copied | o.x = Memory() | bytearray(o.x) | o.x.data[0] = 9
memory of a class, added | o.x = Memory() | b'a' + o.x | o.x.data[0] = 9
memory of a class, taken | o.x = Memory() | bytearray(b'').__iadd__(o.x) | o.x.data[0] = 9
memory of a class, by an abstract one | o.x = Memory() | isinstance(o.x, collections.abc.Buffer) and bytes(o.x) | o.x.data[0] = 9
memory of a library | o.p = pickle.PickleBuffer(bytearray(b'12')); o.b = o.p.raw() | bytes(o.p) | o.b[0] = 9
batches | o.l = [1, 2, 3] | [*itertools.batched(o.l, 2)] | o.l.append(5)
the next batch | o.l = [1, 2, 3]; o.i = itertools.batched(o.l, 2) | next(o.i) | o.l.insert(0, 5)
batches that two take | o.i = itertools.batched([1, 2, 3, 4], 2) | next(o.i) | next(o.i)
sums of products | o.l = [1, 2] | math.sumprod(o.l, [1, 1]) | o.l[0] = 5
sums of products of a generator | o.l = [1, 2] | math.sumprod((x for x in o.l), [1, 1]) | o.l[0] = 5
tools that watch | nothing() | sys.monitoring.get_tool(4) | sys.monitoring.use_tool_id(4, 'z') | sys.monitoring.free_tool_id(4)
events of a tool | tool() | sys.monitoring.get_events(4) | sys.monitoring.set_events(4, 1) | no_tool()
events of a tool on a function | tool() | sys.monitoring.get_local_events(4, CODE) | sys.monitoring.set_local_events(4, CODE, 1) | no_tool()
a tool that is forgotten | tool() | sys.monitoring.get_tool(4) | (getattr(sys.monitoring, 'clear_tool_id', None) or sys.monitoring.free_tool_id)(4) | no_tool()
the last exception | vars(sys).pop('last_exc', None) | getattr(sys, 'last_exc', None) | setattr(sys, 'last_exc', 5) | vars(sys).pop('last_exc', None)
the value of an alias | aliased(); o.A = ALIASES['A'] | tried(lambda: o.A.__value__) | setattr(MODULE, 'COUNT', 5) | setattr(MODULE, 'COUNT', 1)
a value in the alias | o.m = {'a': 1}; o.A = alias_of(o.m) | o.A.__value__ | o.m['a'] = 5
the bound of a variable | o.m = {'a': 1}; o.T = bound_of(o.m) | o.T.__bound__ | o.m['a'] = 5
its constraints | o.m = {'a': 1}; o.T = constrained_of(o.m) | o.T.__constraints__ | o.m['a'] = 5
parameters of a function | o.f = generic() | o.f.__type_params__ | o.f.__type_params__ = ()
parameters of a class | o.C = generic_class() | o.C.__type_params__ | o.C.__type_params__ = ()
handlers by their name | HANDLER.set_name(None) | logging.getHandlerByName('zz') | HANDLER.set_name('zz') | HANDLER.set_name(None)
names of handlers | HANDLER.set_name(None) | 'zz' in logging.getHandlerNames() | HANDLER.set_name('zz') | HANDLER.set_name(None)
children of a logger | o.l = logging.getLogger('zz') | len(o.l.getChildren()) | logging.getLogger('zz.a%d' % next(NUMBERS))
numbers of successes | o.r = random.Random(1) | o.r.binomialvariate(100, .5) | o.r.random()
what a method overrides | o.f = function() | getattr(o.f, '__override__', None) | typing.override(o.f)
bases by types | o.C = type('C', (), {'__orig_bases__': (1,)}) | types.get_original_bases(o.C) | o.C.__orig_bases__ = (5,)
whether a value is in an enum | o.C = color() | 9 in o.C | o.C._value2member_map_[9] = o.C.BLUE
the same by another name | o.C = color(); o.m = o.C._value2member_map_ | 9 in o.C | o.m[9] = o.C.BLUE
files below | o.d = folder() | [*pathlib.Path(o.d).walk()][0][2] | open(os.path.join(o.d, 'a'), 'w').close() | emptied()
whether there is a file | o.d = folder() | pathlib.Path(o.d, 'a').exists(follow_symlinks=False) | open(os.path.join(o.d, 'a'), 'w').close() | emptied()
files by a pattern | o.d = folder() | [*pathlib.Path(o.d).glob('*', case_sensitive=False)] | open(os.path.join(o.d, 'a'), 'w').close() | emptied()
attributes of a slice | o.s = slice([1]) | o.s.stop[0] | o.s.stop.append(5) or o.s.stop.pop(0)
stack of a monitored call | o.t = [] | threading.getprofile() | threading.setprofile_all_threads(nothing) | threading.setprofile_all_threads(None)
an eager task factory | nothing() | asyncio.eager_task_factory.__name__ | setattr(asyncio.eager_task_factory, '__name__', 'zz') | setattr(asyncio.eager_task_factory, '__name__', 'eager_task_factory')
"""  # noqa: E501
SINCE_3_13: Final = """
members of a protocol | o.C = protocol() | typing.get_protocol_members(o.C) | o.C.__protocol_attrs__.add('zz')
a copy with changes | o.n = types.SimpleNamespace(a=1) | copy.replace(o.n).a | o.n.a = 5
the same by its method | o.n = types.SimpleNamespace(a=1) | o.n.__replace__().a | o.n.a = 5
the same by its class | o.n = types.SimpleNamespace(a=1) | types.SimpleNamespace.__replace__(o.n).a | o.n.a = 5
the same with an alias | o.n = types.SimpleNamespace(a=1); o.f = o.n.__replace__ | o.f().a | o.n.a = 5
the same of one more attribute | o.n = types.SimpleNamespace(a=1) | copy.replace(o.n, a=2) | o.n.b = 5
the same of a subclass | o.n = Sub(a=1) | copy.replace(o.n).a | o.n.a = 5
the same by way of C | o.n = types.SimpleNamespace(a=1) | [*map(copy.replace, [o.n])][0].a | o.n.a = 5
the same by way of C, of its method | o.n = types.SimpleNamespace(a=1) | operator.methodcaller('__replace__')(o.n).a | o.n.a = 5
what is in it | o.n = types.SimpleNamespace(a=[1]) | repr(copy.replace(o.n)) | o.n.a.append(5)
a copy of a dataclass | o.d = Data(1) | copy.replace(o.d).part | o.d.part = 5
the same by its method, of a dataclass | o.d = Data(1) | o.d.__replace__().part | o.d.part = 5
the same by its class, of a dataclass | o.d = Data(1) | Data.__replace__(o.d).part | o.d.part = 5
a copy of a frozen one | o.d = Frozen(1) | copy.replace(o.d).part | object.__setattr__(o.d, 'part', 5)
a copy of one with slots | o.d = Slotted(1) | copy.replace(o.d).part | o.d.part = 5
a copy of a tuple with names | o.t = Named([1]) | repr(copy.replace(o.t)) | o.t.a.append(5)
its method | o.t = Named([1]) | repr(o.t.__replace__()) | o.t.a.append(5)
a copy of what is our own | o.t = Own() | copy.replace(o.t) | o.t.a = 5
changes from a dictionary | o.m = {'a': 5} | copy.replace(types.SimpleNamespace(a=1), **o.m).a | o.m['a'] = 9
changes of a date | o.m = {'year': 2001} | copy.replace(datetime.date(2000, 1, 1), **o.m).year | o.m['year'] = 9
changes of a date, by its method | o.m = {'year': 2001} | datetime.date(2000, 1, 1).__replace__(**o.m).year | o.m['year'] = 9
a copy of a signature | o.f = function() | str(copy.replace(inspect.signature(o.f))) | o.f.__defaults__ = (7,)
a copy of code | o.f = function() | copy.replace(o.f.__code__).co_name | o.f.__code__ = pair.__code__
a namespace of a dictionary | o.m = {'a': 1} | types.SimpleNamespace(o.m).a | o.m['a'] = 5
a namespace of pairs | o.m = [('a', 1)] | types.SimpleNamespace(o.m).a | o.m[0] = ('a', 5)
a namespace of pairs in lists | o.m = [['a', 1]] | types.SimpleNamespace(o.m).a | o.m[0][1] = 5
a namespace, filled again | o.n = types.SimpleNamespace(a=1); o.m = {'a': 5} | o.n.a | o.n.__init__(o.m)
a subclass of a namespace | o.m = {'a': 1} | Sub(o.m).a | o.m['a'] = 5
the same by way of C, made | o.m = {'a': 1} | [*map(types.SimpleNamespace, [o.m])][0].a | o.m['a'] = 5
the same by a partial | o.m = {'a': 1} | functools.partial(types.SimpleNamespace, o.m)().a | o.m['a'] = 5
batches that must be whole | o.l = [1, 2] | tried(lambda: [*itertools.batched(o.l, 2, strict=True)]) | o.l.append(5)
a variable of a frame, set | o.g = paused(); next(o.g) | next(o.g) | o.g.gi_frame.f_locals['x'] = 5
the same by a name | o.g = paused(); next(o.g); o.f = o.g.gi_frame.f_locals | next(o.g) | o.f['x'] = 5
a variable of a frame, read | o.g = counting(); next(o.g); o.f = o.g.gi_frame.f_locals | o.f['x'] | next(o.g)
a variable that is closed over | o.g = pausing(); o.f, = next(o.g), | o.f() | o.g.gi_frame.f_locals['x'] = 5
the same by the name of the frame | o.f, o.v = framed() | o.f() | o.v['x'] = 5
the same, read | o.f, o.g, o.v = framed2() | o.v['x'] | o.g()
the same, all | o.f, o.g, o.v = framed2() | dict(o.v)['x'] | o.g()
a frame, whose variables are set | o.f, o.v = framed3() | o.f() | o.v.f_locals.update({'x': 5})
a frame of a traceback | o.f, o.v = framed4() | o.f() | o.v.tb_frame.f_locals.update({'x': 5})
in place, of variables | o.f, o.v = framed() | o.f() | operator.setitem(o.v, 'x', 5)
by its class, of variables | o.f, o.v = framed() | o.f() | type(o.v).__setitem__(o.v, 'x', 5)
an alias of variables | o.f, o.v = framed(); o.s = o.v.__setitem__ | o.f() | o.s('x', 5)
merged variables | o.f, o.v = framed() | o.f() | o.v.__ior__({'x': 5})
a queue that is shut down | o.q = queue.Queue() | tried(lambda: o.q.put(1)) | o.q.shutdown()
the same at once | o.q = queue.Queue(); o.q.put(1) | tried(lambda: o.q.get_nowait()) | o.q.shutdown(immediate=True)
the same of a simple one | o.q = queue.LifoQueue() | tried(lambda: o.q.put_nowait(1)) | o.q.shutdown()
whether it is shut down | o.q = queue.Queue() | o.q.is_shutdown | o.q.shutdown()
a function that is deprecated | o.f = function() | getattr(o.f, '__deprecated__', 0) | setattr(o.f, '__deprecated__', 'z')
a warning of one | o.f = deprecated() | tried(o.f) | warnings.simplefilter('error') | unerror()
the same by filters | o.f = deprecated(); o.w = warnings.filters | tried(o.f) | o.w.insert(0, FILTER) or mutated() | unfiltered()
its default | o.m = {'a': 1}; o.T = default_of(o.m) | o.T.__default__ | o.m['a'] = 5
whether a variable has one | o.m = {'a': 1}; o.T = default_of(o.m) | o.T.has_default() and o.T.__default__ | o.m['a'] = 5
the name of a property | o.p = property(lambda s: 1) | getattr(o.p, '__name__', 0) | o.p.__name__ = 'z'
attributes that are assigned | o.C = type('C', (), {}) | getattr(o.C, '__static_attributes__', 0) | o.C.__static_attributes__ = 5
the line of a class | o.C = type('C', (), {}) | getattr(o.C, '__firstlineno__', 0) | o.C.__firstlineno__ = 5
densities of probability | o.l = [1.0, 2.0] | statistics.kde(o.l, 1.0)(1.0) | o.l[0] = 5.0
one that was made | o.l = [1.0, 2.0]; o.f = statistics.kde(o.l, 1.0) | o.f(1.0) | o.l[0] = 5.0
evaluated text by names | o.m = {'a': 1} | eval('a', globals={}, locals=o.m) | o.m['a'] = 5
matching of paths | o.l = ['a'] | pathlib.PurePath('a').full_match(o.l[0]) | o.l[0] = 'b'
a dictionary of an enum | o.d = enum_dict() | len(o.d.member_names) | o.d._member_names.update(zz=None)
text in base 85 | o.b = bytearray(b'1234') | base64.z85encode(o.b) | o.b[0] = 9
a database in a file | o.d = folder() | stored(o.d) | keeping(o.d) | emptied()
files by a way of them | o.d = folder() | [*pathlib.Path(o.d).rglob('*', recurse_symlinks=True)] | open(os.path.join(o.d, 'a'), 'w').close() | emptied()
what is said of a file | o.d = folder() | mimetypes.guess_file_type('a.zz')[0] | mimetypes.types_map.update({'.zz': 'z/z'}) | mimetypes.types_map.pop('.zz', None)
numbers of processors | os.environ.pop('ZZ', None) | os.process_cpu_count() and os.getenv('ZZ') | os.environ.update(ZZ='1') | os.environ.pop('ZZ', None)
interpreters | nothing() | len(_interpreters.list_all()) | _interpreters.create() | ended_interpreters()
a code that is marshalled | o.l = [1] | marshal.dumps(o.l, allow_code=False) | o.l.append(5)
characters in an array | o.a = array.array('w', 'ab') | o.a.tounicode() | o.a[0] = 'z'
"""  # noqa: E501
HEAD: Final = """
from __future__ import annotations
import abc, argparse, array, asyncio, base64, collections, collections.abc, configparser
import contextlib, copy, ctypes, dataclasses, datetime, email.message, enum, functools, gc, glob
import http.cookies, importlib, inspect, io, itertools, json, logging, marshal, math, mimetypes
import operator, os, pathlib, pickle, queue, random, sched, shutil, statistics, string, struct, sys
import tempfile, textwrap, threading, types, typing, warnings, zlib
from xml.etree import ElementTree
try: import _interpreters
except ImportError: pass
MODULE = sys.modules[__name__]
HAS_BUFFER = sys.version_info >= (3, 12)
COUNT = 1
LOG = []
HANDLER = logging.StreamHandler()
NUMBERS = itertools.count()
STATE = (max, (5,), {}, None)
FILTER = ("error", None, DeprecationWarning, None, 0)
ALIASES = {}
def no_tool():
    if sys.monitoring.get_tool(4):
        sys.monitoring.set_events(4, 0)
        sys.monitoring.set_local_events(4, CODE, 0)
        sys.monitoring.free_tool_id(4)
def tool():
    no_tool()
    sys.monitoring.use_tool_id(4, 'z')
def nothing(*args): pass
def setup_of(): pass
def hints(of): return typing.get_type_hints(of)["x"]
def tried(ask):
    try:
        return ask()
    except Exception as error:
        return type(error).__name__
def mutated():
    getattr(warnings, "_filters_mutated", nothing)()
    getattr(warnings, "_filters_mutated_lock_held", nothing)()
def unfiltered():
    warnings.filters[:] = [one for one in warnings.filters if one != FILTER]
    mutated()
def unerror():
    warnings.filters[:] = [one for one in warnings.filters if one[0] != "error"]
    mutated()
def unfound(): sys.meta_path[:] = [one for one in sys.meta_path if type(one) is not Finder]
class Finder:
    def find_spec(self, *args): raise KeyError
def import_x():
    from zzq import x
    return x
def color():
    class Color(enum.Enum):
        RED = 1
        BLUE = 2
    return Color
Color = color()
NAMES = Color._member_map_
def hinted():
    class C: x: int
    return C
def function():
    def f(x: int): pass
    return f
def pair(self=0, *, a=1, b=2): return a, b
def keyworded(*, a=1): return a
def defaulted(a=[]): return len(a)
def library_default(): return LIST
LIST = []
def other_default(): return len(LIST)
def DEFAULTS(a=1): return a
def fnmatch_like(): return DEFAULTS()
class Plain:
    def __init__(self): self.a = 1
class One: a = 1
class Two: a = 2
class Sub(types.SimpleNamespace): pass
SETATTR = object.__setattr__
class Setting(types.SimpleNamespace):
    def __setattr__(self, name, value): super().__setattr__("a", value)
class Own:
    def __init__(self): self.a = 1
    def __replace__(self, **kw): return self.a
@dataclasses.dataclass
class Data: part: object
@dataclasses.dataclass(frozen=True)
class Frozen: part: object
@dataclasses.dataclass(slots=True)
class Slotted: part: object
Named = collections.namedtuple("Named", "a")
class Structure(ctypes.Structure): _fields_ = [("x", ctypes.c_int)]
class Memory:
    def __init__(self): self.data = bytearray(b"12")
    def __buffer__(self, flags): return memoryview(self.data)
class html_parser:
    def __init__(self): self.lasttag_list = []
    def get(self): return len(self.lasttag_list)
def configured():
    found = configparser.ConfigParser()
    found["a"] = {"k": "v"}
    return found
def closing(x=1):
    def f(): return x
    return f
def both():
    x = 1
    def f(): return x
    def g():
        nonlocal x
        x = 5
    return f, g
def wrapped():
    @functools.wraps(function)
    def f(*args): pass
    return f
def paused():
    x = 1
    x = (yield 0) or x
    yield x
    yield 7
def counting():
    for x in range(9): yield 0
def pausing():
    x = 1
    def f(): return x
    yield f
    x = 2
def framed():
    x = 1
    def f(): return x
    return f, sys._getframe().f_locals
def framed2():
    x = 1
    def f(): return x
    def g():
        nonlocal x
        x = 5
    return f, g, sys._getframe().f_locals
def framed3():
    x = 1
    def f(): return x
    return f, sys._getframe()
def framed4():
    x = 1
    def f(): return x
    try: raise KeyError
    except KeyError as error: return f, error.__traceback__
def matched():
    class C:
        a, b = 1, 2
        __match_args__ = ("a",)
    return C
def matching(of):
    match of:
        case object() if type(of).__match_args__ == ("a",): return 1
    return 2
async def asynchronous(): pass
CODE = keyworded.__code__
WHERE = []
def folder():
    WHERE.append(tempfile.mkdtemp())
    return WHERE[-1]
def emptied():
    for one in WHERE: shutil.rmtree(one, ignore_errors=True)
def stored(where):
    import dbm.sqlite3
    with dbm.sqlite3.open(where + "/db", "c") as there: return there.get("a")
def keeping(where):
    import dbm.sqlite3
    with dbm.sqlite3.open(where + "/db", "c") as there: there["a"] = "b"
def enum_dict():
    class C(enum.Enum): A = 1
    found = enum.EnumDict()
    found._cls_name = "C"
    found["A"] = 1
    return found
def ended_interpreters():
    for one in _interpreters.list_all()[1:]: _interpreters.destroy(one[0])
def deprecated():
    @warnings.deprecated("z")
    def f(): return 1
    return f
class protocol_of: pass
def protocol():
    @typing.runtime_checkable
    class P(typing.Protocol):
        x: int
    return P
"""
#: Whose syntax older versions do not know.
HEAD_3_12: Final = """
def aliased():
    type A = COUNT
    ALIASES["A"] = A
def alias_of(m):
    type A = m["a"]
    return A
def bound_of(m):
    def f[T: m["a"]](): pass
    return f.__type_params__[0]
def constrained_of(m):
    def f[T: (m["a"], int)](): pass
    return f.__type_params__[0]
def generic():
    def f[T](): pass
    return f
def generic_class():
    class C[T]: pass
    return C
"""
HEAD_3_13: Final = """
def default_of(m):
    def f[T = m["a"]](): pass
    return f.__type_params__[0]
"""
NEW: Final = sys.version_info
_HEADS: Final = (HEAD, HEAD_3_12 if NEW >= (3, 12) else "", HEAD_3_13 if NEW >= (3, 13) else "")
ROWS: Final = [
    *rows_of(ALWAYS),
    *(rows_of(SINCE_3_12) if NEW >= (3, 12) else ()),
    *(rows_of(SINCE_3_13) if NEW >= (3, 13) else ()),
]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    path = tmp_path_factory.mktemp("programs") / "programs_state_of_versions.py"
    yield module_of("\n".join(_HEADS), ROWS, path)
    del sys.modules[path.stem]


@pytest.mark.parametrize("number", range(len(ROWS)), ids=lambda one: ROWS[one][0])
def test_it_is_never_verified(programs: ModuleType, number: int) -> None:
    never_verified(programs, number)


#: name | what ``setup`` does | what both workers do while they hold ``o.k`` | what is true then
KEPT_APART: Final = """
a copy of a namespace | o.n = types.SimpleNamespace(a=0) | o.n.a = copy.copy(o.n).a + 1 | o.n.a == 2
a namespace of items | o.m = {'a': 0} | o.m['a'] = types.SimpleNamespace(**o.m).a + 1 | o.m['a'] == 2
an attribute by object | o.n = Plain() | object.__setattr__(o.n, 'a', o.n.a + 1) | o.n.a == 3
a namespace that is given | o.n = Plain() | object.__setattr__(o.n, '__dict__', {'a': o.n.a + 1}) | o.n.a == 3
an attribute of a class | o.C = type('C', (), {'a': 0}) | type.__setattr__(o.C, 'a', o.C.a + 1) | o.C.a == 2
a view of a view | o.m = memoryview(memoryview(bytearray(1))) | o.m[0] = o.m[0] + 1 | o.m[0] == 2
lists of its own | o.n = 0 | o.n += len([*itertools.chain([1], [2])]) | o.n == 4
"""  # noqa: E501
KEPT_APART_3_13: Final = """
a copy with changes | o.n = types.SimpleNamespace(a=0) | o.n = copy.replace(o.n, a=o.n.a + 1) | o.n.a == 2
a namespace of a dictionary | o.m = {'a': 0} | o.m['a'] = types.SimpleNamespace(o.m).a + 1 | o.m['a'] == 2
a view by its method | o.m = memoryview(bytearray(1)) | o.m[0] = o.m.__buffer__(0)[0] + 1 | o.m[0] == 2
"""  # noqa: E501
APART: Final = [*rows_of(KEPT_APART), *(rows_of(KEPT_APART_3_13) if NEW >= (3, 13) else ())]


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    path = tmp_path_factory.mktemp("programs") / "programs_versions_apart.py"
    bodies = [*_HEADS]
    for number, (_, setup, done, true) in enumerate(APART):
        bodies.append(
            f"def setup{number}():\n    o = types.SimpleNamespace(k=threading.Lock())\n"
            f"    {setup}\n    return o\n"
            f"def work{number}(o):\n    with o.k:\n        {done}\n"
            f"def check{number}(o): return {true}\n"
        )
    yield module_of("\n".join(bodies), [], path)
    del sys.modules[path.stem]


@pytest.mark.parametrize("number", range(len(APART)), ids=lambda one: APART[one][0])
def test_what_a_lock_keeps_apart_is_verified(apart: ModuleType, number: int) -> None:
    setup, work, check = (getattr(apart, f"{part}{number}") for part in ("setup", "work", "check"))
    found = tracelock.explore(
        setup=setup, workers=[work, work], check=check, strategy="dpor",
        instrument=[apart.__name__], shrink=False, confirm=1,
    )  # fmt: skip
    assert found.verdict == "verified", (found.summary, found.account.unseen)


def test_what_is_evaluated_when_it_is_first_asked_for_is_told() -> None:
    """From 3.14 on annotations are, by a function of this name."""

    def __annotate__() -> int:
        return 1

    def ask(state: Any) -> None:
        assert __annotate__() == 1

    found = tracelock.explore(setup=dict, workers=[ask, ask], instrument=[__name__])
    assert any("annotations" in one for one in found.account.unseen)

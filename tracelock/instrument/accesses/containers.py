"""What each method of a built-in container does to it: reads it, writes it, or neither.

CPython runs each of these methods under one hold of the interpreter lock as far as the
container goes, so each is one access. Making a view (``dict.items``) touches nothing; walking
or counting the view does.
"""

from __future__ import annotations

import array
import collections
import functools
import gc
import io
import itertools
import pickle
from collections.abc import Callable
from types import (
    ClassMethodDescriptorType,
    FunctionType,
    GeneratorType,
    MappingProxyType,
    SimpleNamespace,
    WrapperDescriptorType,
)
from typing import Any, Final

from tracelock import ops
from tracelock.instrument.accesses.by_type import by_type, entry
from tracelock.instrument.contexts import class_names, identity

#: What is asked of every object and says nothing about what a container holds.
_NOTHING: Final = frozenset(dir(object)) - {"__eq__", "__ne__", "__lt__", "__le__", "__gt__",
    "__ge__", "__repr__", "__str__", "__format__", "__init__", "__reduce__", "__reduce_ex__",
    "__sizeof__",
}  # fmt: skip
_READ_BY_ALL = (
    "__contains__ __eq__ __ge__ __getitem__ __gt__ __iter__ __le__ __len__ __lt__ __ne__ "
    "__repr__ __str__ __format__ __reversed__ __reduce__ __reduce_ex__ __sizeof__ copy"
)
_DICT_READ = _READ_BY_ALL + " __or__ __ror__ get"
_DICT_WRITE = "__delitem__ __init__ __ior__ __setitem__ clear pop popitem setdefault update"
_DICT_NOTHING = "__class_getitem__ fromkeys items keys values"
_LIST_READ = _READ_BY_ALL + " __add__ __mul__ __rmul__ count index"
_LIST_WRITE = (
    "__delitem__ __iadd__ __imul__ __init__ __setitem__ append clear extend insert pop remove"
    " reverse sort"
)
_IO_NOTHING = (
    "__class__ __iter__ __dict__ __enter__ _checkClosed _checkReadable _checkSeekable"
    " _checkWritable fileno flush __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __repr__ __str__"
    " __format__ __reduce__ __reduce_ex__ __sizeof__"
)

_TABLE: Final[dict[type, tuple[str, str, str]]] = {
    dict: (_DICT_READ, _DICT_WRITE, _DICT_NOTHING),
    list: (_LIST_READ, _LIST_WRITE, "__class_getitem__"),
    set: (
        _READ_BY_ALL + " __and__ __or__ __rand__ __ror__ __rsub__ __rxor__ __sub__ __xor__"
        " difference intersection isdisjoint issubset issuperset symmetric_difference union",
        "__iand__ __init__ __ior__ __isub__ __ixor__ add clear difference_update discard"
        " intersection_update pop remove symmetric_difference_update update",
        "__class_getitem__",
    ),
    collections.deque: (
        _LIST_READ + " __copy__",
        _LIST_WRITE + " appendleft extendleft popleft rotate",
        "__class_getitem__ maxlen",
    ),
    collections.OrderedDict: (
        _DICT_READ,
        _DICT_WRITE + " move_to_end",
        _DICT_NOTHING + " __dict__",
    ),
    # A missing key is put in by the look-up itself: see ``access_of``.
    collections.defaultdict: (
        _DICT_READ + " __copy__ default_factory",
        _DICT_WRITE + " __missing__",
        _DICT_NOTHING,
    ),
    collections.Counter: (
        _DICT_READ + " __add__ __and__ __neg__ __pos__ __sub__ _keep_positive elements"
        " most_common total __missing__ __xor__",
        _DICT_WRITE + " __iadd__ __iand__ __isub__ __ixor__ subtract",
        _DICT_NOTHING + " __dict__ __module__ __weakref__",
    ),
    bytearray: (
        _LIST_READ + " __mod__ __rmod__ __alloc__ __buffer__ capitalize center decode endswith"
        " expandtabs find hex isalnum isalpha isascii isdigit islower isspace istitle isupper"
        " join ljust lower lstrip partition removeprefix removesuffix replace rfind rindex"
        " rjust rpartition rsplit rstrip split splitlines startswith strip swapcase title"
        " translate upper zfill",
        _LIST_WRITE + " __release_buffer__ resize take_bytes",
        "fromhex maketrans",
    ),
    array.array: (
        _LIST_READ + " __copy__ __deepcopy__ __buffer__ buffer_info tobytes tofile tolist"
        " tounicode",
        _LIST_WRITE + " byteswap frombytes fromfile fromlist fromunicode __release_buffer__",
        "__class_getitem__ itemsize typecode",
    ),
    # Reading moves the position.
    io.StringIO: (
        "getvalue tell closed line_buffering newlines __getstate__ isatty seekable readable"
        " writable",
        "__init__ __del__ __next__ read readline readlines write writelines seek truncate close"
        " __setstate__ __exit__ detach",
        _IO_NOTHING + " encoding errors",
    ),
    io.BytesIO: (
        "getvalue tell closed __getstate__ isatty seekable readable writable getbuffer",
        "__init__ __del__ __next__ read read1 readinto readinto1 readline readlines write"
        " writelines seek truncate close __setstate__ __exit__ detach",
        _IO_NOTHING,
    ),
    # What lies below is another object's, and may be shared between processes. Once the view was
    # released, all else fails.
    memoryview: (
        "__contains__ __eq__ __ge__ __getitem__ __gt__ __iter__ __le__ __len__ __lt__ __ne__ count"
        " hex index tobytes tolist __repr__ __str__ __format__ __enter__ c_contiguous cast"
        " contiguous f_contiguous format itemsize nbytes ndim obj readonly shape strides"
        " suboffsets toreadonly __buffer__",
        "__setitem__ __exit__ release",
        "__class_getitem__ __delitem__ __release_buffer__"
        " __init__ __reduce__ __reduce_ex__ __sizeof__ _from_flags",
    ),
}


def _methods(type_: type, table: tuple[str, str, str]) -> dict[str, int | None]:
    """``dir(type_)`` -> what each does; the test holds the table to be complete."""
    read, write, nothing = (frozenset(names.split()) for names in table)
    found: dict[str, int | None] = {}
    for name in dir(type_):
        if name in write:
            found[name] = ops.WRITE
        elif name in read:
            found[name] = ops.READ
        elif (
            name in nothing
            or name in _NOTHING
            or name in ("__hash__", "__module__", "__static_attributes__", "__firstlineno__")
        ):
            found[name] = None
    return found


#: type -> method -> ``ops.READ``, ``ops.WRITE``, or None for neither.
METHODS: Final = {type_: _methods(type_, table) for type_, table in _TABLE.items()}
# By identity, as all types are: a metaclass may have its own idea of equality and hash.
_TABLE_OF: Final = {identity(type_): table for type_, table in METHODS.items()}
#: Every method name that is an access of some container: what rewriting looks for.
METHOD_NAMES: Final = frozenset(
    name for table in METHODS.values() for name, kind in table.items() if kind is not None
)

_EMPTY: Final[tuple[dict[Any, Any], ...]] = ({}, collections.OrderedDict())
_EMPTY_VIEWS: Final[tuple[Any, ...]] = tuple(
    view for empty in _EMPTY for view in (empty.keys(), empty.values(), empty.items())
)
#: Views and iterators over containers: using one reads the container behind it.
WALKERS: Final = frozenset(
    [type(view) for view in _EMPTY_VIEWS]
    + [type(iter(view)) for view in _EMPTY_VIEWS]
    + [type(reversed(view)) for view in _EMPTY_VIEWS]
    + [type(iter(empty())) for empty in (list, set, collections.deque, bytearray)]
    + [type(iter(array.array("b")))]
    + [type(reversed([])), type(reversed(collections.deque()))]
    + [enumerate, zip, map, filter, reversed, itertools.islice, itertools.chain]
    + [MappingProxyType, pickle.PickleBuffer]
)
_WALKERS: Final = frozenset(identity(type_) for type_ in WALKERS)


_COMPARING: Final = frozenset({"__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"})
#: Operators of two operands; with an "r" or an "i" in front of them as well.
_BINARY: Final = (
    "add sub mul truediv floordiv mod divmod pow lshift rshift and or xor matmul concat"
)


def applies(type_: type) -> bool:
    """Whether this is a type of iterators that apply a function to what they take."""
    return identity(type_) in _APPLYING


def is_walker(type_: type) -> bool:
    """Whether this is a type of ``WALKERS``."""
    return identity(type_) in _WALKERS


def table_of(type_: type) -> dict[str, int | None] | None:
    """What the methods do that ``type_`` itself defines, if it is one of the built-in containers,
    or keeps what its objects are in C, unknown to all."""
    number = identity(type_)
    if number in _TABLE_OF:
        return _TABLE_OF[number]
    try:
        found: dict[str, int | None] | None = _opaque[number][""]
    except KeyError:
        hidden = any(tells(type_) for tells in KEEPING_STATE_IN_C)
        found = entry(_opaque, type_)[""] = _unknown_methods(type_) if hidden else None
    return found


def is_opaque(type_: type) -> str:
    """Whether what objects of a type hold is known to its own code in C alone: ``ALONE`` or
    ``LINKED``, or "" for no."""
    try:
        found: str = _hidden[identity(type_)][""]
    except KeyError:
        hidden = [base for base in order_of(type_) if identity(base) not in _TABLE_OF]
        said = [tells(base) for base in hidden for tells in KEEPING_STATE_IN_C]
        found = entry(_hidden, type_)[""] = max(said, default="")
    return found


#: The answers: nothing else shares what such an object holds; other objects may.
ALONE, LINKED = "alone", "linked"
#: What tells of a type itself, as ``is_opaque``, that only its own code in C knows what its objects
#: hold.
KEEPING_STATE_IN_C: Final[list[Callable[[type], str]]] = []
_opaque: Final = by_type()
_hidden: Final = by_type()
#: Methods that change nothing, by what they are for, whoever has written them.
_ASKS: Final = _COMPARING | frozenset(
    f"__{name}__"
    for name in (
        "len contains iter reversed bool repr str format int float index complex copy deepcopy"
        " buffer reduce reduce_ex getstate sizeof neg pos abs invert round trunc floor ceil array"
        f" bytes {_BINARY} {' '.join(f'r{each}' for each in _BINARY.split())}"
    ).split()
)
#: Methods with two underscores that may change the object: to look an item up may as well.
_CHANGES: Final = frozenset(
    f"__{name}__"
    for name in (
        "getitem setitem delitem missing enter exit setstate"
        f" {' '.join(f'i{each}' for each in _BINARY.split())}"
    ).split()
)


def _unknown_methods(type_: type) -> dict[str, int | None]:
    """Each method is one step, in which it may do anything with the whole object. Of what is gone
    through the steps are known otherwise."""
    found: dict[str, int | None] = {}
    for name, value in list(class_names(type_).items()):
        if name == "__iter__" and steps(type_):
            continue
        if name in _ASKS:
            found[name] = ops.READ
        elif name in _CHANGES or not (name[:2] == "__" and name[-2:] == "__"):
            of_class = isinstance(value, (staticmethod, classmethod, ClassMethodDescriptorType))
            found[name] = None if of_class else ops.WRITE
    return found


def order_of(type_: type) -> tuple[type, ...]:
    """The method resolution order, empty while the class is still being made."""
    order: tuple[type, ...] | None = type_.__mro__
    return order or ()


def holder_of(type_: type, name: str) -> type | None:
    """The class along the method resolution order that defines ``name``."""
    for holder in order_of(type_):
        if name in holder.__dict__:
            return holder
    return None


def access_of(type_: type, name: str) -> int | None:
    """What calling ``name`` on an instance of ``type_`` does, None where it is no container's.

    A subclass that defines the method itself is none: the accesses are in its body, if that was
    instrumented.
    """
    try:
        kind: int | None = _accesses[identity(type_)][name]
    except KeyError:
        kind = entry(_accesses, type_)[name] = _access_of(type_, name)
    return kind


_accesses: Final = by_type()
_reads: Final = by_type()


def _access_of(type_: type, name: str) -> int | None:
    holder = holder_of(type_, name)
    if holder is None:
        return None
    table = table_of(holder)
    if table is not None:
        if name == "__getitem__":
            missing = holder_of(type_, "__missing__")
            over = None if missing is None else table_of(missing)
            return table[name] if over is None else over["__missing__"]
        return table.get(name)
    if holder is object or holder.__module__ == "_io":  # inherited past the container
        for base in order_of(type_):
            table = table_of(base)
            if table is not None:
                return table.get(name)
    return None


def reads(type_: type, operation: str) -> Any:
    """Whether ``operation`` (``__len__``, ``__iter__``, ...) of ``type_`` reads a container.

    ``__bool__`` stands for a truth test: a type without it answers by its length. ``STEPS`` where
    it is an iterator that takes steps.
    """
    try:
        found: Any = _reads[identity(type_)][operation]
    except KeyError:
        found = entry(_reads, type_)[operation] = _reads_of(type_, operation)
    return found


#: The answer of ``reads`` for an iterator that is to be stepped.
STEPS: Final[Any] = "steps"
#: The answer where what is below the object is looked at too: see ``reach``.
BELOW: Final[Any] = "below"
#: What built-in functions do with the items of what they are given, ``GIVEN``: what is not known.
ORDER, EXTREME, SUM, TRUTH, HASH, GIVEN = "order", "extreme", "sum", "truth", "hash", "given"
#: The memory of an object is given away for a time.
EXPORT: Final = "export"
_ITEMS: Final = frozenset({ORDER, EXTREME, SUM, TRUTH, HASH, GIVEN})
#: Operations that look at what is below an object.
DEEP: Final = _ITEMS | _COMPARING | {
    "__repr__", "__str__", "__format__", "__contains__", "__hash__", "__dir__",
}  # fmt: skip
#: Making an iterator over it, as ``zip`` and ``map`` do.
OVER: Final = "iter"
#: Functions and methods that write into the memory that they are given.
FILLING: Final = frozenset({"pack_into", "readinto", "readinto1", "recv_into", "recvfrom_into"})
_APPLYING: Final = frozenset(
    identity(type_)
    for type_ in (
        map, filter, itertools.starmap, itertools.takewhile, itertools.dropwhile,
        itertools.filterfalse, itertools.groupby, itertools.accumulate,
    )
)  # fmt: skip
#: Operations that go over the items of an object, and no deeper.
SHALLOW: Final = frozenset({"__iter__", OVER, "__reversed__", "__len__", "__bool__", "__next__"})
_STEPPING: Final = frozenset({"__iter__", "__next__", "__contains__", *_ITEMS})
_FLAT: Final = (bytearray, array.array, memoryview, io.StringIO, io.BytesIO)


def steps(type_: type) -> bool:
    """Whether this is a type of iterators whose steps are known to be steps."""
    if type_ is GeneratorType:
        return True
    holder = holder_of(type_, "__next__")
    if holder is io.StringIO or holder is io.BytesIO:
        return True
    if holder is None or holder.__module__ in ("_io", "_asyncio", "posix", "nt"):
        return False
    return type(holder.__dict__["__next__"]) is WrapperDescriptorType


def _reads_of(type_: type, operation: str) -> Any:
    if steps(type_):
        return STEPS if operation in _STEPPING else False
    if operation == EXPORT:
        return type_ is memoryview or access_of(type_, "append") is not None
    if operation in DEEP and _has_below(type_, operation):
        return BELOW
    if operation == OVER or operation in _ITEMS:
        operation = "__iter__"
    if identity(type_) in _WALKERS:
        return True
    if operation == "__bool__" and holder_of(type_, "__bool__") is None:
        operation = "__len__"
    return access_of(type_, operation) is not None


def _has_below(type_: type, operation: str) -> bool:
    """Whether an operation on such an object looks at others."""
    if issubclass(type_, tuple | slice | SimpleNamespace | BaseException | functools.partial):
        return True
    if identity(type_) in _WALKERS:
        return True
    if issubclass(type_, _FLAT) or (
        operation == "__contains__" and issubclass(type_, dict | set | frozenset)
    ):
        return False
    if access_of(type_, "__iter__" if operation in _ITEMS else operation) is not None:
        return True
    return issubclass(type_, frozenset) or generated(type_, operation)


def generated(type_: type, name: str) -> bool:
    """Whether a method was made by ``exec``, as those of dataclasses are: no hook is in it."""
    holder = holder_of(type_, name)
    if holder is object and name == "__ne__":  # which asks ``__eq__``
        return generated(type_, "__eq__")
    found = None if holder is None else holder.__dict__[name]
    if type(found) is FunctionType:
        found = getattr(found, "__wrapped__", found)
    return type(found) is FunctionType and found.__code__.co_filename.startswith("<")


def owners(thing: object) -> list[object]:
    """The containers that a view or an iterator walks over; ``thing`` itself otherwise.

    An exhausted iterator has no container any more: the list is empty. (Of lists and some others
    it has, on a free-threaded build, where it is then taken for a reader.)
    """
    if identity(type(thing)) not in _WALKERS:
        return [thing]
    found: list[object] = []
    level = [thing]
    for _ in range(6):  # enumerate(zip(reversed(a), b)): deeper nests are not looked into
        below: list[object] = []
        for each in level:
            if identity(type(each)) in _WALKERS:
                below += gc.get_referents(each)
            elif type(each) is tuple and level[0] is not thing:
                below += each
            elif any(table_of(base) is not None for base in order_of(type(each))):
                found.append(each)
        if not below:
            break
        level = below
    return found

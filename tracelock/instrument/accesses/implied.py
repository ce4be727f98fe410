"""Attributes that are read without being named: who reads them is no access that is seen.

A call reads the code and the defaults of a function, an operator reads a method of a class, code of
a module reads its globals by their bare names, and ``raise`` writes the traceback. Where a worker
changes one of these by name, that is an access, and nothing is proved.
"""

from __future__ import annotations

import functools
import io
import sys
from collections.abc import Callable, Iterator
from inspect import CO_OPTIMIZED
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FrameType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any, Final

from tracelock import ops
from tracelock.instrument.accesses import elsewhere, setting_up
from tracelock.instrument.accesses.containers import holder_of, order_of
from tracelock.instrument.contexts import Context, class_names, module_names, out_of_control
from tracelock.instrument.rewrite.sites import Site

#: What modules hold that no one is expected to rebind while workers run.
CALLABLE: Final = (FunctionType, BuiltinFunctionType, ModuleType, type)
#: Attributes of functions, and those of them that a call reads.
_OF_FUNCTIONS: Final = frozenset(
    {"__defaults__", "__kwdefaults__", "__code__", "__name__", "__qualname__", "__doc__",
     "__annotations__", "__module__", "__type_params__", "__annotate__"}
)  # fmt: skip
_OF_CALLS: Final = frozenset({"__defaults__", "__kwdefaults__", "__code__"})
#: Attributes of exceptions, and those of them that ``raise`` and ``except`` write.
_OF_ERRORS: Final = frozenset({"__cause__", "__context__", "__traceback__", "__suppress_context__"})
_OF_RAISING: Final = frozenset({"__context__", "__traceback__"})
#: Properties of the standard library behind which there is nothing but a value:
#: module and class -> names.
_PROPERTIES: Final = {
    ("threading", "Thread"): ("name", "daemon"),
    ("multiprocessing.process", "BaseProcess"): ("name", "daemon"),
}  # fmt: skip
#: Methods in C that read or write one attribute: class -> method -> what it does to which.
METHODS: Final[dict[type, dict[str, tuple[int, str]]]] = {
    BaseException: {
        "__init__": (ops.WRITE, "args"),
        "add_note": (ops.WRITE, "__notes__"),
        "with_traceback": (ops.WRITE, "__traceback__"),
    },
}
#: What is evaluated when it is first asked for: aliases and variables of types, by their class.
_LATE: Final = frozenset(
    {"__value__", "__bound__", "__constraints__", "__default__", "evaluate_value",
     "evaluate_bound", "evaluate_constraints", "evaluate_default"}
)  # fmt: skip
_OF_TYPES: Final = frozenset({"TypeAliasType", "TypeVar", "ParamSpec", "TypeVarTuple"})
#: Types of objects that are called, or asked by an attribute, and keep in C what comes of that.
CHANGING_CALLS: Final = (property, classmethod, staticmethod, functools.partial)
_ABSENT: Final = object()


def keeps_in_c(type_: type, holder: type, name: str, value: object) -> bool:
    """Whether this attribute of instances, of which ``value`` is the descriptor, holds a value that
    can change: of exceptions, functions, cells, threads and the contexts of ``decimal``."""
    kind = type(value)
    if kind is property:
        return name in _PROPERTIES.get((holder.__module__, holder.__name__), ())
    if not _in_c(kind) or "__slots__" in class_names(holder):
        return False
    if name[:2] == "__":
        known = _OF_FUNCTIONS if holder is FunctionType else _OF_ERRORS
        return (holder is FunctionType or holder is BaseException) and name in known
    return issubclass(type_, BaseException | CellType) or holder.__module__ == "decimal"


def reads_in_c(type_: type, name: str) -> Callable[[Any, str, Site, Context], Any] | None:
    """What an attribute in C is read by that tells of other code than who reads it."""
    if type_ is FrameType:
        return variables_of_frame if name == "f_locals" else None
    if type_ is CellType:
        return cell_read if name == "cell_contents" else None
    if name in _LATE and type_.__module__ == "typing" and type_.__name__ in _OF_TYPES:
        return evaluated_late
    return None


def _in_c(kind: type) -> bool:
    return kind is GetSetDescriptorType or kind is MemberDescriptorType  # it may define ``__eq__``


def read_in_c(obj: Any, name: str, site: Site, context: Context) -> None:
    """Before such an attribute is read by its name."""
    if name in _OF_RAISING and context.knows(obj):
        context.doubt(f"{name} of exceptions", f"{site.at} reads it, and whoever raises sets it")
    elif name == "__kwdefaults__":
        _doubt_call(name, site, context)
    elif name == "__annotations__":
        if sys.version_info < (3, 14):
            elsewhere.table(obj.__annotations__, obj, name, context)
        else:
            evaluated_late(obj, name, site, context)


def evaluated_late(obj: Any, name: str, site: Site, context: Context) -> Any:
    """Before an attribute is read whose value is computed when it is first asked for, by code in
    which there are no hooks: the value of ``type A = ...``, the bound of a type variable, and from
    3.14 on annotations."""
    context.doubt(name, f"{site.at} reads it: it is evaluated when it is first asked for")
    return obj


def variables_of_frame(obj: Any, name: str, site: Site, context: Context) -> Any:
    """Before the variables of a frame are taken, which its function uses by their bare names."""
    if obj.f_code.co_flags & CO_OPTIMIZED:
        context.doubt(name, f"{site.at} takes it: a function's variables are no accesses there")
    return obj


def cell_read(obj: Any, name: str, site: Site, context: Context) -> Any:
    """Before the contents of a cell are read by its name, which functions set as a variable."""
    context.doubt(name, f"{site.at} reads it: functions set a cell as a variable of theirs")
    context.access(ops.READ, obj, name, site)
    return obj


def written_in_c(obj: Any, name: str, site: Site, context: Context) -> None:
    """Before it is written."""
    if name in _OF_CALLS and type(obj) is FunctionType:
        _doubt_call(name, site, context)
    elif issubclass(type(obj), BaseException) and _tells_of_itself(type(obj)):
        context.access(ops.WRITE, obj, "args", site)
    elif type(obj) is CellType:
        context.doubt(
            "cell_contents", f"{site.at} assigns it: functions read a cell as a variable of theirs"
        )


def _tells_of_itself(type_: type) -> bool:
    """Whether the text of such an exception is made of more than its arguments."""
    return holder_of(type_, "__str__") is not BaseException


def _doubt_call(name: str, site: Site, context: Context) -> None:
    context.doubt(
        f"{name} of functions", f"{site.at} may change it: what calls come to is no access then"
    )


def changing_method(type_: type, name: str) -> Callable[[Any, str, Site, Context], Any] | None:
    """What makes the access of a method in C that reads or writes one attribute, or all."""
    for base, methods in METHODS.items():
        if name in methods and issubclass(type_, base):
            holder = holder_of(type_, name)
            of = None if holder is None else class_names(holder)[name]
            if type(of) is MethodDescriptorType or type(of) is WrapperDescriptorType:
                return functools.partial(_change, *methods[name])
    return setting_up.set_up if setting_up.sets_up(type_, name) else None


def _change(kind: int, attribute: str, obj: Any, name: str, site: Site, context: Context) -> Any:
    context.access(kind, obj, attribute, site)
    return obj


# --- classes ---------------------------------------------------------------------------------
def written_in_class(cls: Any, name: str, site: Site, context: Context, value: object) -> None:
    """Before an attribute of a class is written: instances, operators and calls depend on it."""
    holder = holder_of(cls, name)
    now = _ABSENT if holder is None else class_names(holder)[name]
    meta = holder_of(type(cls), name)
    in_c = meta is not None and _in_c(type(class_names(meta)[name]))
    by_library = elsewhere.is_read_in_class(cls, name)
    if in_c or name[:2] == "__" or by_library or _is_method(now) or _is_method(value):
        context.doubt(
            f"{name} of {cls.__name__}",
            f"{site.at} assigns it: what methods and operators then do is no access that is seen",
        )


def given_to_class(cls: type, name: str, value: object, site: Site, context: Context) -> None:
    """Before ``value`` is bound to a name of a class, or that is deleted (None)."""
    if value is not None and name in class_names(cls):
        context.access(ops.WRITE, cls, name, site, value)
        return
    # For whoever looks there for it, that hides what is further up, or shows it again.
    above = next((one for one in order_of(cls)[1:] if name in class_names(one)), object)
    context.together((), [(cls, name), (above, name)], site)
    context.found(value, cls, name)


def _is_method(value: object) -> bool:
    return holder_of(type(value), "__get__") is not None


def names_of_class(cls: Any, site: Site, context: Context) -> None:
    """Before ``vars(cls)``, which is looked into later."""
    for name, value in list(class_names(cls).items()):
        elsewhere.of_class(cls, name, value, context)
    names = [
        (cls, name) for name, value in class_names(cls).items()
        if name[:2] != "__" and not _is_method(value)
    ]  # fmt: skip
    context.unsure(names, "vars()", f"{site.at} keeps all attributes of a class")
    context.whole(cls, "vars()", site)


# --- modules ---------------------------------------------------------------------------------
def written_in_module(
    module: Any, name: str, site: Site, context: Context, value: object = None
) -> None:
    """Before a name of a module is bound from outside, or through its namespace."""
    names = module_names(module)
    title = names.get("__name__")
    if type(title) is not str:
        return
    if title.partition(".")[0] in sys.stdlib_module_names:
        why = "assigns it, and its own code reads it"
    elif isinstance(value, CALLABLE) or isinstance(names.get(name), CALLABLE):
        why = "assigns it: to take a function or class from a module is no access that is seen"
    elif _read_bare(names.get("__file__"), name):
        why = "assigns it, and functions of the module read it by its bare name"
    else:
        return
    context.doubt(f"{title}.{name}", f"{site.at} {why}")


def written(obj: Any, name: str, site: Site, context: Context, value: object = None) -> None:
    """Before an attribute is written by way of the namespace of its object."""
    if issubclass(type(obj), ModuleType):
        written_in_module(obj, name, site, context, value)


def _read_bare(file: object, name: str) -> bool:
    """Whether functions in a file read a global by its bare name where none of them binds it, so
    that no hook is there."""
    loads, stores = (frozenset[str](), frozenset[str]()) if file is None else _globals_of(str(file))
    return file is None or ((name in loads or "*" in loads) and name not in stores)


@functools.cache
def _globals_of(file: str) -> tuple[frozenset[str], frozenset[str]]:
    """The globals that functions in a file load and store; "*" where that is not known."""
    try:
        with out_of_control(), io.open_code(file) as there:
            top = compile(there.read(), file, "exec", dont_inherit=True)
    except (OSError, SyntaxError, ValueError):
        return frozenset({"*"}), frozenset()
    loads: set[str] = set()
    stores: set[str] = set()
    for code in _functions(top):
        for what, name in _touched(code):
            (loads if what.startswith("LOAD") else stores).add(name)
    return frozenset(loads), frozenset(stores)


def _functions(code: CodeType) -> Iterator[CodeType]:
    for each in code.co_consts:
        if type(each) is CodeType:
            yield each
            yield from _functions(each)


def _touched(code: CodeType) -> Iterator[tuple[str, str]]:
    import dis

    for each in dis.get_instructions(code):
        if each.opname.endswith("_GLOBAL"):
            yield each.opname, each.argval

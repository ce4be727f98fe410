"""Where in the user's code something happens: ``bank.py:12``, the same on every machine."""

from __future__ import annotations

import functools
import hashlib
import linecache
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import islice
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, Final

from tracelock.instrument.accesses.places import namespace_of
from tracelock.instrument.contexts import aside, identity
from tracelock.instrument.rewrite.sites import path_in_project, project_root, stable_file
from tracelock.names.assigned import Span, assignments
from tracelock.names.parts import Taker
from tracelock.trace.model import FILES, NAMES

if TYPE_CHECKING:
    from tracelock.instrument.worker import Worker
    from tracelock.ops import Op
    from tracelock.trace import Events

_HERE: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_LIB: Final = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
#: Modules whose own lines are not shown in traces: the place is that of their caller.
PLUMBING: Final = frozenset(
    {
        "threading", "queue", "concurrent.futures.thread", "concurrent.futures._base",
        "contextlib", "functools", "asyncio.tasks", "asyncio.base_events", "asyncio.events",
        "asyncio.locks", "asyncio.queues", "asyncio.runners", "asyncio.futures", "weakref",
        "asyncio.threads", "multiprocessing.synchronize", "multiprocessing.queues",
        "multiprocessing.context", "multiprocessing.process", "multiprocessing.sharedctypes",
        "concurrent.futures.process", "multiprocessing.pool", "multiprocessing.managers",
        "multiprocessing.popen_fork", "multiprocessing.shared_memory", "multiprocessing.util",
        "glob", "fnmatch", "pathlib", "tempfile", "shutil", "os", "posixpath",
        "asyncio.timeouts", "asyncio.taskgroups", "asyncio.streams", "asyncio.selector_events",
        "asyncio.unix_events", "asyncio.mixins", "socket", "selectors", "asyncio.sslproto",
        "genericpath", "pathlib._local", "pathlib._abc",
        "importlib", "importlib._bootstrap", "_frozen_importlib", "_frozen_importlib_external",
        "importlib._bootstrap_external",
    }
)  # fmt: skip
_ASSIGNED: Final = re.compile(r"([A-Za-z_][\w.]*)\s*(?::[^=]+)?=[^=]")

#: Modules whose lines are shown although they are plumbing: the user named them.
shown: set[str] = set()
_files: dict[tuple[str, str], str] = {}
_paths: dict[str, str] = {}
_digests: dict[tuple[str, int, int], str] = {}
_places: dict[tuple[int, int], tuple[CodeType, str | None]] = {}
#: The same by instruction, of which the line is found slowly.
_reached: dict[tuple[int, int], tuple[CodeType, str | None]] = {}
#: Of steps that are the same at each time: the number of what they are about, their kind, the code
#: and the instruction -> the code and the op.
same_ops: dict[tuple[int, int, int, int], tuple[CodeType, Op]] = {}
#: What an object is, and where it was created -> its name without a number.
_labels: dict[tuple[str, str], str] = {}
#: Arguments of these classes are shown.
_PLAIN: Final = frozenset({int, bool, float, str, type(None)})
_LONGEST_CALL: Final = 24
#: Constructors of the standard library that create what they are, or a part that is called so.
_INNER: Final = {"BoundedSemaphore.__init__": "", "Condition.__init__": ".lock"}
_spans: dict[tuple[int, int], tuple[CodeType, Span | None]] = {}
#: place -> function, for the trace.
functions: dict[str, str] = {}
#: Of each object that was created: its name, the file, the call there that gave it, and which part
#: of what it gave. There are several of one name where schedules differ.
created: dict[tuple[str, str, Span | None, str], None] = {}
#: The classes of objects of synchronisation that have names, by identity; one of the program's may
#: be gone, and another class have its address.
synchronising: set[int] = set()
#: Of such classes without a namespace: what gives the name.
name_slots: list[tuple[type, Callable[[Any], Any]]] = []
#: Of such an object: its name, and that of a variable that has it.
held: dict[tuple[str, str], None] = {}
#: Of workers and variables: the name, and what people call it.
called: dict[tuple[str, str], None] = {}


def clear() -> None:
    """Forget all places: other modules may be instrumented now, and another file have the name of
    one that was there before."""
    _places.clear()
    _reached.clear()
    same_ops.clear()
    _files.clear()
    _spans.clear()
    functions.clear()


def file_label(filename: str, module: str) -> str:
    """A portable name of a source file: by its module where that is importable by name."""
    key = (filename, module)
    label = _files.get(key)
    if label is None:
        with aside():  # the program does not access these files
            path = None if filename.startswith("<frozen ") else os.path.abspath(filename)
            label = _files[key] = stable_file(module, path)
        _paths[label] = filename  # the file that has this name now
    return label


def _plumbing(module: str) -> bool:
    """Whether the place of a line of this module is that of its caller."""
    known = module in PLUMBING or module.partition(".")[0] in ("trio", "outcome")
    return known and module not in shown


def _place(code: CodeType, line: int, frame: FrameType) -> str | None:
    module = frame.f_globals.get("__name__", "")
    if code.co_filename.startswith((_HERE, "<string")) or _plumbing(module):
        return None
    at = f"{file_label(code.co_filename, module)}:{line}"
    functions.setdefault(at, code.co_qualname)
    return at


def path_of(label: str) -> str | None:
    """The file that has this label, None where it is not known here (yet)."""
    found = _paths.get(label)
    if found is not None and os.path.isfile(found):
        return found
    if os.path.isfile(label):
        return os.path.abspath(label)
    name = label.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    module = sys.modules.get(name)
    path = getattr(module, "__file__", None) or os.path.join(_LIB, label)
    return path if os.path.isfile(path) else None


def digest(path: str) -> str:
    """``sha256:...`` of a source file."""
    stat = os.stat(path)
    key = (path, stat.st_mtime_ns, stat.st_size)
    known = _digests.get(key)
    if known is None:
        with open(path, "rb") as file:
            known = _digests[key] = "sha256:" + hashlib.sha256(file.read()).hexdigest()
    return known


def place_of(frame: FrameType) -> str | None:
    """The place of this frame itself, None where it is not the user's."""
    code, line = frame.f_code, frame.f_lineno
    known = _places.get((identity(code), line))
    if known is None:
        known = _places[identity(code), line] = (code, _place(code, line, frame))
    return known[1]


def place_of_function(function: Any) -> str:
    """Where a callback was written: a function, a method, or something that wraps one."""
    for _ in range(8):
        if isinstance(function, functools.partial):
            function = function.func
            continue
        inner = getattr(function, "__func__", None) or getattr(function, "__wrapped__", None)
        if inner is None:
            break
        function = inner
    code = getattr(function, "__code__", None)
    module = getattr(function, "__module__", None) or ""
    if code is None or _plumbing(module):
        # of the standard library: its lines are others in each version of Python
        name = getattr(function, "__qualname__", type(function).__name__)
        return f"({name.rpartition('.')[2]}):0"
    key = (identity(code), 0)
    known = _places.get(key)
    if known is None:
        at = f"{file_label(code.co_filename, module)}:{code.co_firstlineno}"
        functions.setdefault(at, code.co_qualname)
        known = _places[key] = (code, at)
    return known[1] or "?:0"


def _find(frame: FrameType | None) -> tuple[str, FrameType | None]:
    """The first place that is the user's, from ``frame`` outwards, and its frame."""
    spare: FrameType | None = None
    while frame is not None:
        code = frame.f_code
        # by identity, since to hash a code object is to hash all that is in it; it is kept beside
        # the answer so that its address stays its own
        key = (identity(code), frame.f_lasti)
        known = _reached.get(key)
        if known is None:
            known = _reached[key] = (code, place_of(frame))
        if known[1] is not None:
            return known[1], frame
        if spare is None and not code.co_filename.startswith(_HERE):
            spare = frame
        frame = frame.f_back
    if spare is None:
        return "?:0", None
    name = os.path.basename(spare.f_code.co_filename)
    if _plumbing(spare.f_globals.get("__name__", "")):
        return f"({name}):0", spare  # other lines, and other files, in another version
    return f"{name}:{spare.f_lineno}", spare


def place_in(frame: FrameType | None) -> str:
    """The first place from ``frame`` outwards that is the user's."""
    return _find(frame)[0]


def caller(worker: Worker | None = None, depth: int = 2) -> str:
    """The place in the user's code that led here."""
    return _find(sys._getframe(depth))[0]


def user_of_library() -> str:
    """The first place outwards that is not in the standard library; where all are, the first."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _of_library(frame):
        frame = frame.f_back
    found = "" if frame is None else _find(frame)[0]
    return caller() if not found or found.startswith(("(", "?")) else found


#: By which code uses files and mappings that is not their own.
_SERVING: Final = frozenset({"os", "_collections_abc", "collections.abc", "io", "pathlib"})


def by_library() -> bool:
    """Whether it is the standard library for itself that calls a file or a mapping here, or nobody:
    not the program by way of ``os`` or ``pathlib``."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and (
        frame.f_code.co_filename.startswith(_HERE)
        or str(frame.f_globals.get("__name__")).partition("._")[0] in _SERVING
    ):
        frame = frame.f_back
    return frame is None or _of_library(frame)


def outside_of_library(site: Any) -> str:
    """Who has called the standard library, whose code makes an access at ``site``: the first place
    outwards that is not in it; "" where the site itself is none of it, or nobody else is there."""
    if site.library is False:
        return ""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back
    if site.library is None:
        site.library = frame is not None and _of_library(frame)
        if not site.library:
            return ""
    while frame is not None and _of_library(frame):
        frame = frame.f_back
    at = "" if frame is None else _find(frame)[0]
    return "" if at.startswith(("(", "?")) else at


def _of_library(frame: FrameType) -> bool:
    name = frame.f_globals.get("__name__")
    return frame.f_code.co_filename.startswith(_HERE) or (
        type(name) is str and name.partition(".")[0] in sys.stdlib_module_names
        and name != "__main__"
    )  # fmt: skip


def creation_name(kind: str, worker: Worker) -> str:
    """The name of an object that is created here: what it is assigned to, and where."""
    at, frame = _find(sys._getframe(2))
    label = _labels.get((kind, at))
    if label is None:
        with aside():  # the program does not read the source
            line = linecache.getline(frame.f_code.co_filename, frame.f_lineno) if frame else ""
        match = _ASSIGNED.search(line.strip())
        name = match.group(1).removeprefix("self.") if match else kind
        label = _labels[kind, at] = f"{name}@{at}"
    number = worker.count(label)
    if number > 1:
        label = f"{label}#{number}"
    if worker.label != "setup":
        label = f"{label} of {worker.label}"
    if frame is not None:
        span, part = _call_of(kind, frame, sys._getframe(2))
        created[label, frame.f_code.co_filename, span, part] = None
    return label


def _call_of(kind: str, frame: FrameType, inner: FrameType | None) -> tuple[Span | None, str]:
    """The call in ``frame`` that gives the object which is created in ``inner``, or (``.lock``)
    what has that as a part; None where another does so on its way (``Account()``, which has a
    lock)."""
    part = ""
    while inner is not None and inner is not frame:
        code = inner.f_code
        if not code.co_filename.startswith(_HERE):
            if code.co_qualname not in _INNER or not _plumbing(inner.f_globals["__name__"]):
                return None, ""
            part = "" if kind == "condition" else _INNER[code.co_qualname]
        inner = inner.f_back
    key = identity(frame.f_code), frame.f_lasti
    if key not in _spans:
        found = next(islice(frame.f_code.co_positions(), frame.f_lasti // 2, None), None)
        span = None
        if found is not None:
            line, end_line, column, end = found
            # None where the interpreter was told to leave positions out
            if line is not None and end_line is not None and column is not None and end is not None:
                span = line, column, end_line, end
        _spans[key] = frame.f_code, span
    return _spans[key][1], part


def call_text(function: str, args: Sequence[object], named: Mapping[str, object]) -> str:
    """A call as people write it (``withdraw(60)``); "" where there is nothing to tell it from
    others by, or an argument whose text is long or code of the program's."""
    values = [*args, *named.values()]
    if not values or any(type(one) not in _PLAIN for one in values):
        return ""
    told = [repr(one) for one in args] + [f"{name}={one!r}" for name, one in named.items()]
    text = f"{function}({', '.join(told)})"
    return text if len(text) <= _LONGEST_CALL and text.isprintable() else ""


def header_hints(events: Events, workers: Iterable[str]) -> dict[str, Any]:
    """What the header of a trace has for people alone, as far as it is known: what workers and
    objects are called (see ``tracelock.names``), and where files lie below the project's folder
    whose names in the trace do not say it."""
    root = project_root()
    labels = sorted({shape.at.rpartition(":")[0] for shape in events.table})
    found = {label: path_in_project(path_of(label) or "", root) for label in labels}
    files = {label: path for label, path in found.items() if path not in (None, ".", label)}
    names = _display_hints(events, workers)
    return {**({NAMES: names} if names else {}), **({FILES: files} if files else {})}


def hold(obj: Any, variable: str) -> None:
    """A variable has an object of synchronisation: people call this so."""
    name: Any = None
    for cls, slot in name_slots:
        if issubclass(type(obj), cls):
            name = slot(obj)
            break
    else:
        attributes = namespace_of(obj)
        if type(attributes) is dict:
            name = attributes.get("_tracelock_name")
    if type(name) is str:
        held[name, variable] = None


def hold_used(cls: type, label: str, variable: str) -> None:
    """A variable has a container that is called after its class, since ``setup`` has used it
    before: people call it as they call the variable."""
    if label.startswith(f"{cls.__name__}#"):
        held[label, variable] = None


def _holders(wanted: Collection[str]) -> dict[str, list[str]]:
    """By the name of an object the variables that have it."""
    found: dict[str, list[str]] = {}
    for label, variable in held:
        if label in wanted:
            found.setdefault(label, []).append(variable)
    return found


def _without_number(variable: str, taker: Taker) -> str:
    """``Account.lock``, of the lock of any account."""
    parts = taker.parts(variable)
    return f"{parts.word}{parts.rest}"


def _display_hints(events: Events, workers: Iterable[str]) -> dict[str, str]:
    """Stable name -> what people call it, where that is certain."""
    taker = Taker(workers)
    wanted = {taker.parts(one.target).label for one in events.table if one.target is not None}
    wanted.update(workers)
    found: dict[str, set[str]] = {}
    files: dict[str, Mapping[Span, str]] = {}
    for label, filename, span, part in created:
        if label not in wanted:
            continue
        if span is not None and filename not in files:
            try:
                files[filename] = assignments("".join(linecache.getlines(filename)))
            except (SyntaxError, ValueError, RecursionError):
                files[filename] = {}
        name = "" if span is None else files[filename].get(span, "")
        found.setdefault(label, set()).add(f"{name}{part}" if name else "")
    closures = {label for label, text in called if not text}
    for label, text in called:
        if label in wanted:
            found.setdefault(label, set()).add(text)
    sure = {label: min(texts) for label, texts in found.items() if len(texts) == 1}
    for label, variables in _holders(wanted).items():
        plain = sure.get(label, "")
        fitting = [one for one in variables if not plain or _without_number(one, taker) == plain]
        if len(fitting) == 1:
            sure[label] = fitting[0]
    return {label: sure[label] for label in sorted(sure) if sure[label] or label in closures}

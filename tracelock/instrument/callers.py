"""Where in the user's code something happens: ``bank.py:12``, the same on every machine."""

from __future__ import annotations

import functools
import hashlib
import linecache
import os
import re
import sys
from _thread import get_ident
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, Final

from tracelock.instrument.contexts import contexts, identity
from tracelock.instrument.rewrite.sites import stable_file

if TYPE_CHECKING:
    from tracelock.instrument.worker import Worker

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
        "asyncio.mixins",
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
#: What an object is, and where it was created -> its name without a number.
_labels: dict[tuple[str, str], str] = {}
#: place -> function, for the trace.
functions: dict[str, str] = {}


def clear() -> None:
    """Forget all places: other modules may be instrumented now."""
    _places.clear()
    _files.clear()


def file_label(filename: str, module: str) -> str:
    """A portable name of a source file: by its module where that is importable by name."""
    key = (filename, module)
    label = _files.get(key)
    if label is None:
        worker: Any = contexts.get(get_ident())
        if worker is not None:
            worker.uncontrolled += 1  # the program does not access these files
        try:
            path = None if filename.startswith("<frozen ") else os.path.abspath(filename)
            label = _files[key] = stable_file(module, path)
        finally:
            if worker is not None:
                worker.uncontrolled -= 1
        _paths.setdefault(label, filename)
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
        code, line = frame.f_code, frame.f_lineno
        # by identity, since to hash a code object is to hash all that is in it; it is kept beside
        # the answer so that its address stays its own
        known = _places.get((identity(code), line))
        if known is None:
            known = _places[identity(code), line] = (code, _place(code, line, frame))
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
        worker.uncontrolled += 1  # the program does not read the source
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno) if frame else ""
        worker.uncontrolled -= 1
        match = _ASSIGNED.search(line.strip())
        name = match.group(1).removeprefix("self.") if match else kind
        label = _labels[kind, at] = f"{name}@{at}"
    number = worker.count(label)
    if number > 1:
        label = f"{label}#{number}"
    if worker.label != "setup":
        label = f"{label} of {worker.label}"
    return label

"""What a test starts while pytest runs it in its own way: whether anything is concurrent in it.

Threads, processes and sockets are told by the interpreter's audit events, tasks by the loops.
Almost nothing is paid for by a test that starts none.
"""

from __future__ import annotations

import _thread
import contextlib
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

_THREADS: Final = frozenset({"_thread.start_new_thread", "_thread.start_joinable_thread"})
#: The modules that there are. A test may put something else in the place of ``sys.modules``.
MODULES: Final = sys.modules
#: What is said of a test that starts any.
PROCESSES: Final = "it starts processes"
_PROCESSES: Final = (
    "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "os.exec",
    "subprocess.Popen", "pty.spawn",
)  # fmt: skip
#: Events -> what is not controlled there. Sockets are: of one that connects with what is outside of
#: the test its exploration says that, with the address.
_OUTSIDE: Final = {
    **dict.fromkeys(_PROCESSES, PROCESSES),
    **dict.fromkeys(("signal.pthread_kill", "os.kill", "os.killpg"), "it sends signals"),
}
#: Whose threads and tasks are none of the test's: tools that run tests, and tracelock's own.
_TOOLS: Final = frozenset({"tracelock", "pytest_timeout", "xdist", "execnet"})

#: The file name of the code that imports modules.
_IMPORTS: Final = "<frozen importlib._bootstrap>"

#: Whether the interpreter tells of the start of a thread.
_TOLD: Final = sys.version_info >= (3, 12)

_watch: Watch | None = None
_hooked = False


class Watch:
    """``started``: the threads and tasks of the test, ``outside``: what else it does that is not
    controlled. A context manager, for a run of pytest: between ``begin`` and ``end`` is a test."""

    def __init__(self) -> None:
        self.on = False
        self.threads = self.tasks = 0
        self.outside: dict[str, None] = {}
        self._processes = ""
        self._trio_comes = False  # it is imported by this test, and not looked after yet
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> Watch:
        global _watch, _hooked
        if not _hooked:
            _hooked = True  # a hook cannot be taken away
            sys.addaudithook(_heard)
        _watch = self
        import asyncio

        self._replace(asyncio.BaseEventLoop, "create_task", self._in_a_loop)
        self._look_for_loops(asyncio.AbstractEventLoop)
        if not _TOLD:
            self._replace_starts()
        return self

    def __exit__(self, *exc: object) -> None:
        global _watch
        _watch = None
        self.on = False
        self._undo.close()

    @property
    def started(self) -> int:
        """How many threads and tasks it has started so far."""
        return self.threads + self.tasks

    def begin(self) -> None:
        """A test begins."""
        self.threads = self.tasks = 0
        self.outside = {}
        self._processes = _count_of_processes()
        self.on = True
        self._trio_comes = "trio" in MODULES
        self.look_for_trio()

    def end(self) -> None:
        """It is over."""
        self.on = False
        if _count_of_processes() != self._processes:
            self.outside.setdefault(PROCESSES)

    def heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        """An audit event in the middle of a test."""
        if event in _THREADS:
            if not _by_a_tool(sys._getframe(2)):
                self.threads += 1
        elif event in _OUTSIDE:
            if not _by_a_tool(sys._getframe(2), importing=True):
                self.outside.setdefault(_OUTSIDE[event])
        elif event == "import":
            self._trio_comes = self._trio_comes or arguments[0] == "trio"
        if self._trio_comes:
            self.look_for_trio()

    def look_for_trio(self) -> None:
        """Let the nurseries of trio tell of tasks, as soon as there is such a thing."""
        nursery = getattr(MODULES.get("trio"), "Nursery", None)
        if not self._trio_comes or nursery is None:
            return
        self._trio_comes = False
        if not hasattr(nursery.start_soon, "tracelock_plain"):
            self._replace(nursery, "start_soon", lambda: True)
            self._replace(nursery, "start", lambda: True)

    def _look_for_loops(self, base: type) -> None:
        """Let loops of other classes than asyncio's own (uvloop's) tell of tasks: those that there
        are, and those that come later."""

        def look(cls: type) -> None:
            name = f"{cls.__module__}.{cls.__qualname__}"
            if not issubclass(cls, asyncio.BaseEventLoop) and not name.startswith("asyncio."):
                why = (
                    f"its tasks are of a loop that is not asyncio's own ({name}), which is not "
                    "controlled"
                )
                with contextlib.suppress(AttributeError, TypeError):  # it may be written in C
                    self._replace(cls, "create_task", self._in_a_loop, why)

        def subclassed(cls: type, /, **named: Any) -> None:
            super(base, cls).__init_subclass__(**named)  # type: ignore[arg-type]
            look(cls)

        import asyncio

        found: list[type] = [base]
        for cls in found:
            found += set(type.__subclasses__(cls)).difference(found)
        for cls in found:
            look(cls)
        base.__init_subclass__ = classmethod(subclassed)  # type: ignore[assignment]
        self._undo.callback(delattr, base, "__init_subclass__")

    def _replace(self, cls: type, name: str, counts: Callable[[], bool], why: str = "") -> None:
        """Let a method that starts tasks tell of it. ``why``: they are not controlled."""
        plain = getattr(cls, name)
        if hasattr(plain, "tracelock_plain"):
            return  # it is that of a base class

        def watched(this: Any, *arguments: Any, **named: Any) -> Any:
            if self.on and counts() and not _by_a_tool(sys._getframe(1)):
                self.tasks += 1
                if why:
                    self.outside.setdefault(why)
            return plain(this, *arguments, **named)

        watched.__name__, watched.__qualname__ = name, plain.__qualname__
        watched.__doc__ = plain.__doc__
        watched.__module__ = getattr(plain, "__module__", None) or cls.__module__
        watched.tracelock_plain = plain  # type: ignore[attr-defined]
        own = name in vars(cls)
        setattr(cls, name, watched)
        self._undo.callback(*((setattr, cls, name, plain) if own else (delattr, cls, name)))

    def _replace_starts(self) -> None:
        """Let the functions that start threads tell of it."""
        plain = _thread.start_new_thread

        def start_new_thread(*arguments: Any, **named: Any) -> int:
            _heard("_thread.start_new_thread", arguments)
            return plain(*arguments, **named)

        for module in (_thread, threading):
            for name, value in list(module.__dict__.items()):
                if value is plain:
                    setattr(module, name, start_new_thread)
                    self._undo.callback(setattr, module, name, plain)

    @staticmethod
    def _in_a_loop() -> bool:
        """Whether it is something in the loop that starts a task: the first one is started from
        outside."""
        import asyncio

        return asyncio._get_running_loop() is not None


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    watch = _watch
    if watch is not None and watch.on:
        watch.heard(event, arguments)


def _by_a_tool(frame: FrameType | None, importing: bool = False) -> bool:
    """Whether code of a tool does this, itself or by calling the standard library; also what a
    module does that is being imported, which is done once, if ``importing``."""
    while frame is not None:
        name = frame.f_globals.get("__name__") or ""
        root = name.partition(".")[0] if type(name) is str else ""
        if root in _TOOLS and not name.startswith("tracelock.pytest_plugin.watching"):
            return True
        if root in ("_pytest", "pluggy"):
            return False
        if importing and frame.f_code.co_filename == _IMPORTS:
            return True
        frame = frame.f_back
    return False


def _count_of_processes() -> str:
    """Of ``multiprocessing``: those that it spawns are not told by an event."""
    module = MODULES.get("multiprocessing.process")
    return str(getattr(module, "_process_counter", "count(1)"))  # as when it is imported

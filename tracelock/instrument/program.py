"""A program of real Python code: its setup, its workers, and the check afterwards."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import CoroutineType, GeneratorType, ModuleType
from typing import Any, ClassVar, Final

from tracelock.engine.open_layout import OpenLayout
from tracelock.errors import StepFailure, UsageError
from tracelock.instrument.accesses.by_type import by_type, entry
from tracelock.instrument.contexts import class_line, identity
from tracelock.instrument.crashes.rules import CrashRules
from tracelock.instrument.loops.aim import Aim, chosen_of
from tracelock.instrument.network.rules import NetworkRules
from tracelock.instrument.outside.kinds import REAL, AllRecorded
from tracelock.instrument.rewrite.sites import all_loaded
from tracelock.ops import ACQUIRE, CHECKPOINT, Value

#: Threads and tasks that one schedule may start, beside the workers that were given.
SPARE: Final = 24
FORMAT: Final = "tracelock-scenario/1"
#: The models of locks that make a thread wait.
_BLOCKING: Final = frozenset({"lock", "rlock"})

Work = Callable[..., Any]
_awaited: Final = by_type()
#: Objects of which each says by itself whether it can be awaited, and those that can.
_AWAITED: Final = (GeneratorType, CoroutineType, Awaitable)


def name_of(function: Any) -> str:
    """How a function is called in a trace: ``bank.race:withdraw``.

    Where it cannot be had by that name there is a ``<`` in it or it tells the line of a lambda: see
    ``by_name``.
    """
    module = getattr(function, "__module__", None) or "?"
    name = getattr(function, "__qualname__", None) or type(function).__name__
    if "<lambda>" in name:
        code = getattr(function, "__code__", None)
        return f"{module}:lambda:{code.co_firstlineno}" if code is not None else f"{module}:lambda"
    if "<" not in name and not _is_called(function, module, name):
        return f"{module}:<{name}>"
    return f"{module}:{name}"


def _is_called(function: Any, module: str, name: str) -> bool:
    """Whether a module has just this function under this name."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is function


def by_name(name: str) -> bool:
    """Whether a function can be had by its name in a trace, in another process."""
    module, _, function = name.partition(":")
    return bool(function) and module != "__main__" and "<" not in name and ":" not in function


def error_name(error: type[BaseException]) -> str:
    """How an exception is called in a trace: ``ValueError``, ``bank.errors:Overdrawn``."""
    if error.__module__ == "builtins":
        return error.__name__
    return f"{error.__module__}:{error.__qualname__}"


def is_awaitable(obj: object) -> bool:
    """``inspect.isawaitable``, which of most objects can be told by their class."""
    cls = type(obj)
    try:
        may = _awaited[identity(cls)][""]
    except KeyError:
        may = entry(_awaited, cls)[""] = issubclass(cls, _AWAITED) or any(
            "__class__" in each.__dict__ for each in class_line(cls) if each is not object
        )
    return may and inspect.isawaitable(obj)


def worker_names(workers: Sequence[Work]) -> list[str]:
    """A name for each worker: of its function, numbered where several have the same."""
    bases = []
    for work in workers:
        name = getattr(work, "__name__", "") or type(work).__name__
        bases.append("worker" if name in ("<lambda>", "") else name)
    names = []
    for place, base in enumerate(bases):
        several = bases.count(base) > 1
        names.append(f"{base}[{bases[:place].count(base)}]" if several else base)
    return names


@dataclass(slots=True, eq=False)
class CheckOutcome:
    """What ``check`` said of the schedule that has just ended: the one condition of ``finally``."""

    text: str
    at: str
    failure: StepFailure | None = None

    def fail(self, message: str) -> None:
        """``check`` says that it has failed."""
        self.failure = StepFailure("finally", message, self.at)

    def holds(self, values: Sequence[Value]) -> bool:
        return self.failure is None

    def explain(self, values: Sequence[Value]) -> str:
        return "" if self.failure is None else self.failure.message


@dataclass(slots=True, eq=False)
class PythonProgram:
    """Real code to be explored.

    ``setup()`` returns what the workers share, anew for each schedule (None: they take no
    argument); each worker is called with it, and so is ``check`` at the end, which raises or
    returns False on the bug. ``instrument``: modules (and what is below them) whose shared accesses
    are scheduling points; ``owns``: whether one that workers turn out to run is to be added, by its
    name and its source file; ``every``: whether all are that they run, of which ``found`` are known
    so far. ``expected``: exceptions that may end a worker. ``collections``,
    ``cancellations``: how many garbage collections and cancellations a schedule may have.
    ``cancellable``: the workers that they may reach. ``source``: how the same program can be had
    again (``{"pytest": "tests/test_bank.py::test_withdraw"}``). ``document``: the scenario
    that it was made from; ``names``: of the workers, else those of the functions. ``listens``:
    what a loop logs is the program's own business: it looks at the log. ``invariants``:
    what has to hold between steps, called as ``check`` is; ``watched`` gives the names of variables
    that it was seen to read. ``network``: what sockets between workers may do. ``crashes``: whether
    all may end by a crash of the machine; ``recover`` is then called in the place of ``check``.
    ``outside``: what comes of calls to what is outside of the run (``outside.kinds``); ``answers``:
    of a trace, for other schedules than its own.
    """

    workers: Sequence[Work]
    setup: Callable[[], Any] | None = None
    check: Callable[..., Any] | None = None
    instrument: Sequence[str] = ()
    expected: tuple[type[BaseException], ...] = ()
    collections: int = 0
    cancellations: int = 0
    cancellable: Sequence[Any] | None = None
    name: str = "python"
    source: dict[str, Any] = field(default_factory=dict)
    document: dict[str, Any] | None = None
    names: Sequence[str] = ()
    owns: Callable[[str, str | None], bool] | None = None
    every: bool = False
    found: list[str] = field(default_factory=list)
    listens: bool = False
    invariants: Sequence[Work] = ()
    network: NetworkRules = field(default_factory=NetworkRules)
    crashes: CrashRules = field(default_factory=CrashRules)
    recover: Work | None = None
    outside: str = ""
    answers: AllRecorded = field(default_factory=dict)
    watched: Callable[[], list[str]] = list
    layout: OpenLayout = field(init=False)
    outcome: CheckOutcome = field(init=False)
    aim: Aim = field(init=False)
    machine: ClassVar[None] = None  # its workers are no machines, which could be copied
    always: tuple[Any, ...] = ()
    finally_: tuple[Any, ...] = field(init=False)

    def __post_init__(self) -> None:
        if not self.workers:
            raise UsageError("there is nothing to explore: no workers were given")
        for work in self.workers:
            if not callable(work):
                raise UsageError(f"a worker has to be callable, not {type(work).__name__}")
        names = self.names = list(self.names) or worker_names(self.workers)
        self.layout = OpenLayout([*names, "setup"], len(names) + 2 + SPARE)
        text = name_of(self.check) if self.check is not None else "check"
        self.outcome = CheckOutcome(text, text)
        self.finally_ = (self.outcome,)
        self.aim = Aim(self.cancellations, chosen_of(self.cancellable, self.workers, names), names)

    @property
    def injected(self) -> int:
        """How many cancellations, faults of the network or crashes a schedule may have."""
        return max(self.cancellations, self.network.faults, int(self.crashes.on))

    @property
    def checks(self) -> bool:
        """Whether anything is called when a schedule has come to its end."""
        return self.check is not None or self.crashes.on

    def natural_backend(self) -> str:
        """The backend that its workers are written for: tasks or threads."""
        kinds = {inspect.iscoroutinefunction(work) for work in self.workers}
        if len(kinds) > 1:
            raise UsageError("coroutine functions and plain functions cannot be workers together")
        return "asyncio" if kinds == {True} else "threading"

    def arguments(self, state: Any) -> tuple[Any, ...]:
        """What workers and ``check`` are called with: the state that ``setup`` returned, if any."""
        return () if self.setup is None else (state,)

    def modules(self) -> list[ModuleType]:
        """The modules, as far as they are imported, that it is instrumented in or comes from."""
        names = {module_of(work) for work in self.workers}
        below = tuple(f"{name}." for name in self.instrument)
        return [
            module for name, module in all_loaded()
            if name in names or name in self.instrument or name.startswith(below)
        ]  # fmt: skip

    def to_data(
        self, sources: dict[str, str], places: dict[str, str], log: Iterable[Any] = ()
    ) -> dict[str, Any]:
        """The scenario that a trace of this program has in it; ``log``: that of the controller."""
        python: dict[str, Any] = dict(self.source)
        if self.setup is not None:
            python["setup"] = name_of(self.setup)
        if self.check is not None:
            python["check"] = name_of(self.check)
        if self.invariants:
            python["always"] = [name_of(one) for one in self.invariants]
        if watched := self.watched():
            python["watched"] = watched
        python["instrument"] = [*self.instrument, *(["all", *self.found] if self.every else ())]
        if self.expected:
            python["expected_errors"] = [error_name(error) for error in self.expected]
        if self.collections:
            python["collections"] = self.collections
        if self.cancellations:
            python["cancellations"] = self.cancellations
        if self.aim.chosen is not None:
            python["cancellable"] = [self.names[number] for number in sorted(self.aim.chosen)]
        if network := self.network.to_table():
            python["network"] = network
        if crashes := self.crashes.to_table():
            python["crash_consistency"] = crashes
        if self.recover is not None:
            python["recover"] = name_of(self.recover)
        if self.outside:
            python["outside"] = REAL  # it was, or was when what is replayed was recorded
        python["sources"] = sources
        python["places"] = places
        if blocking := self._blocking(log):
            python["blocking"] = blocking
        if self.document is not None:
            return {**self.document, "python": {**self.document.get("python", {}), **python}}
        calls = [name_of(work) for work in self.workers]
        groups: dict[str, set[str]] = {}
        for name, call in zip(self.names, calls, strict=True):
            groups.setdefault(name.partition("[")[0], set()).add(call)
        workers: dict[str, Any] = {}
        for name, call in zip(self.names, calls, strict=True):
            base = name.partition("[")[0]
            entry = base if len(groups[base]) == 1 else name  # one entry has one function
            group = workers.setdefault(entry, {"count": 0, "steps": [{"call": call}]})
            group["count"] += 1
        return {"format": FORMAT, "name": self.name, "workers": workers, "python": python}

    def _blocking(self, log: Iterable[Any]) -> list[str]:
        """The locks that tasks take and that stop the thread of their loop, not the task alone."""
        numbers: set[int] = set()
        tasks = False
        for _, kind, op, *_ in log:
            tasks = tasks or kind == CHECKPOINT
            if kind == ACQUIRE and self.layout.objects[op.target].type in _BLOCKING:
                numbers.add(op.target)
        return sorted(self.layout.names[number] for number in numbers) if tasks else []


def module_of(function: Any) -> str | None:
    """The name of the module in which a function was written, None where that is not known."""
    found = inspect.getmodule(inspect.unwrap(function)) if callable(function) else None
    return None if found is None else found.__name__

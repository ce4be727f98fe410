"""Which interpreter an exploration is of, and which switches of a schedule that one can make."""

from __future__ import annotations

import contextlib
import platform
import re
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from tracelock.errors import UsageError
from tracelock.interpreter.tables import table_for

if TYPE_CHECKING:
    from tracelock.explore.running import Executed, Runner
    from tracelock.instrument.backend import PythonBackend
    from tracelock.trace import Trace

ANY: Final = "any"
THIS: Final = "this"
_GIL: Final = re.compile(r"gil-(\d+)\.(\d+)")


def has_gil() -> bool:
    """Whether the running interpreter has a global lock that is in use."""
    enabled = getattr(sys, "_is_gil_enabled", None)
    return platform.python_implementation() == "CPython" and (enabled is None or bool(enabled()))


def check_interpreter(wanted: str) -> None:
    """Raises UsageError for what names no interpreter, or one that cannot be followed here."""
    if wanted == ANY:
        return
    found = _GIL.fullmatch(wanted)
    here = sys.version_info[:2]
    if found is None and wanted != THIS:
        raise UsageError(
            f"unknown interpreter {wanted!r}: it is any (a switch may come between any two "
            "accesses), this (what the running one does), or gil-3.12 and the like"
        )
    if platform.python_implementation() != "CPython":
        raise UsageError(
            f"interpreter {wanted}: nothing is known of {platform.python_implementation()}, only "
            "of CPython"
        )
    if found is not None and tuple(map(int, found.groups())) != here:
        raise UsageError(
            f"interpreter {wanted}: the code is compiled by CPython {here[0]}.{here[1]} here, and "
            f"where a switch can come depends on that: run tracelock with CPython "
            f"{'.'.join(found.groups())}"
        )
    if wanted != THIS or has_gil():
        try:
            table_for(here)
        except LookupError as error:
            raise UsageError(f"interpreter {wanted}: {error}") from None


def holds(wanted: str) -> bool:
    """Whether the schedules are those of an interpreter with a GIL."""
    return wanted not in (ANY, THIS) or (wanted == THIS and has_gil())


def called(wanted: str) -> str:
    """The interpreter in words; "" for any."""
    if wanted == ANY:
        return ""
    version = f"{platform.python_implementation()} {sys.version_info[0]}.{sys.version_info[1]}"
    return f"{version} {'with its' if holds(wanted) else 'without the'} GIL"


@dataclass(frozen=True, slots=True)
class Switched:
    """A preemptive switch of a schedule: before event ``seq``, away from ``worker``. ``level``:
    ``can`` (this interpreter can make it with its GIL), ``only-without-gil``, ``cannot-tell``;
    ``why``: what lets others in, or keeps it from being told."""

    seq: int
    worker: int
    level: str
    why: str


class Interpreted:
    """What a host of real code can do about interpreters: a part of ``PythonHost``."""

    backend: PythonBackend
    runner: Runner
    models: Runner

    @property
    def settled(self) -> bool:
        return not self.backend.names.pending

    def settle(self) -> None:
        """Let what was learnt count from now on."""
        self.backend.names.apply_pending()

    def hold_as(self, interpreter: str) -> None:
        """The same as this interpreter is explored; invariants are looked at where it lets others
        come in."""
        self.hold(holds(interpreter))
        self.backend.hub.invariants.by_interpreter = holds(interpreter)

    def hold(self, on: bool) -> None:
        """Let others come in only where the GIL lets them, or again between any two accesses."""
        gil = self.backend.hub.gil
        if gil is not None and gil.holds is not on:
            gil.holds = on
            self._in_blocks(on or bool(gil.closed))

    def close_gaps(self, between: Collection[tuple[str, str]]) -> bool:
        """Let nobody come in between these steps, by their places, where the GIL lets nobody in.
        Whether any of them was open."""
        closed = self.backend.hub.gil.closed
        new = set(between) - closed
        closed |= new
        self._in_blocks(True)
        return bool(new)

    def _in_blocks(self, on: bool) -> None:
        rules = replace(self.runner.rules, blocks=on)
        self.runner = self.models = self.runner.with_rules(rules)

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """While this is entered, schedules are those that this interpreter can make."""
        gil = self.backend.hub.gil
        before = gil is not None and gil.holds
        self.hold(True)
        try:
            yield
        finally:
            self.hold(before)

    @property
    def _tells(self) -> bool:
        """Whether anything can be known of switches."""
        return self.backend.hub.gil is not None and _known()

    @contextlib.contextmanager
    def noticing(self) -> Iterator[Callable[[Any], list[Switched] | None]]:
        """While this is entered, what lies between the steps of a schedule is kept. Gives what
        tells its preemptive switches from its log; None where that is not known: of processes and
        tasks, and on an interpreter without a table."""
        hub = self.backend.hub
        if not self._tells:
            yield lambda log: None
            return
        before, hub.gaps = hub.gaps, []
        try:
            yield lambda log: switches_in(log, hub.gaps)
        finally:
            hub.gaps = before

    def switched(self, executed: Executed) -> list[Switched] | None:
        """The preemptive switches of a schedule, which is run again for that; see ``noticing``."""
        if not self._tells:
            return None
        with self.noticing() as noticed:
            again = self.runner.execute(executed.picks)
            if again is None or _steps(again.log) != _steps(executed.log):
                return None
            return noticed(again.log)


def _known() -> bool:
    """Whether there is a table of the running interpreter."""
    if platform.python_implementation() != "CPython":
        return False
    try:
        table_for(sys.version_info[:2])
    except LookupError:
        return False
    return True


def _steps(log: Any) -> list[Any]:
    return [one[:2] for one in log]


def switches_in(log: Any, gaps: Any) -> list[Switched]:
    """The preemptive switches of a schedule, from its log and what lay between its steps."""
    found = []
    for gap in gaps:
        if gap.seq >= len(log):
            continue
        worker, _, _, _, options, _ = log[gap.seq]
        if worker != gap.worker and gap.after and options is not None and gap.worker in options:
            found.append(Switched(gap.seq, gap.worker, gap.level.word, gap.why))
    return found


def mark(trace: Trace, switches: list[Switched] | None) -> None:
    """Put the classes of its switches into a trace."""
    for one in switches or ():
        trace.events.extras.setdefault(one.seq, {})["switch"] = one.level

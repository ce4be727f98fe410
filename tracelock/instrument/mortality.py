"""Objects that die while others look at them through weak references.

Whether ``reference()`` gives the object is decided by whoever lets go of it last: by the store, the
deletion or the end of a local variable in another worker. So a look is a scheduling point of the
variable ``Thing#1.__weakref__``, once somebody was seen to look in one worker while it died in
another; and it depends on what that one did last, which is learnt when the object dies.
"""

from __future__ import annotations

import sys
from _thread import get_ident
from _weakref import ref
from collections.abc import Callable, Iterator, Sequence
from sys import getrefcount
from typing import TYPE_CHECKING, Any, Final

from tracelock.instrument.contexts import contexts, identity
from tracelock.ops import ATOMIC, READ, WRITE

if TYPE_CHECKING:
    from tracelock.instrument.naming import NamedObject, ObjectNames, Variable
    from tracelock.instrument.worker import Worker

PART: Final = "__weakref__"
#: Between the name of a look and the name of what the object dies with: a store to that, or after
#: a read of it.
BY_STORE: Final = " dies with "
BY_READ: Final = " dies after "
_look: Final = ref.__call__
#: Callbacks of weak references by which a library keeps its own accounts.
UNTOLD: Final[list[Any]] = []
#: Module and name of weak tables that the standard library has for the interpreter's end.
_TABLES: Final = (("concurrent.futures.thread", "_threads_queues"), ("threading", "_dangling"))
#: Of those that may be gone, so many are looked at in one step.
AT_ONCE: Final = 128
OURS: Final = 2  # what ``getrefcount`` says of an object that only an attribute has


def all_held(*named: Sequence[Any]) -> bool:
    """Whether somebody else has what these ``keep``: nearly always, and asked at each access."""
    for some in named:
        for known in some:
            if getrefcount(known.keep) <= OURS:
                return False
    return True


def let_die(self: ObjectNames, fresh: list[NamedObject]) -> None:
    """Let go of all that nobody has but us, and of what only that had. Of very many, some at a
    time are looked at: what dies late then proves nothing."""
    kept = self._kept
    if len(kept) > AT_ONCE:
        part, self._kept = kept[:AT_ONCE], kept[AT_ONCE:]
        before = len(part)
        self.let_go(part)
        if len(part) < before:
            self.doubts["when objects die"] = (
                "the program notices it, and has many containers: some objects died later than "
                "they would"
            )
        self._kept += part
        kept = []
    while not all_held(fresh, kept):
        before = len(fresh) + len(kept)
        self.let_go(fresh)
        self.let_go(kept)
        if len(fresh) + len(kept) >= before:
            return


def _of_tables() -> Iterator[Any]:
    """The callbacks of the references in these, as far as there are any."""
    for module, name in _TABLES:
        yield getattr(getattr(sys.modules.get(module), name, None), "_remove", UNTOLD)


class Mortals:
    """The objects of one schedule that weak references were seen to lead to."""

    def __init__(self, names: ObjectNames) -> None:
        self.names = names
        self._variables: dict[int, Variable] = {}  # by the identity of the weak reference
        self._watched: dict[int, ref[Any]] = {}
        self._early: list[ref[Any]] = []
        #: Whether the program has made any.
        self.seen = False
        #: What a look depends on besides: the pair's own variable, and what the object dies with.
        self._causes: dict[str, list[tuple[Variable, Variable, bool]]] = {}

    def begin(self) -> None:
        """A schedule begins."""
        self._variables.clear()
        self._watched.clear()
        self._early.clear()

    def close(self) -> None:
        """Control is over."""
        self.begin()
        del self.names

    # --- looks -------------------------------------------------------------------------------
    def created(self, reference: ref[Any], worker: Worker | None) -> None:
        """A weak reference was made by a worker, or by ``setup`` (None), which names nothing."""
        called = reference.__callback__
        if called is not None and any(called is one for one in (*UNTOLD, *_of_tables())):
            return
        self.names.mortal = self.seen = True
        if worker is None:
            self._early.append(reference)
        else:
            self.variable(reference, worker)

    def settle(self, worker: Worker | None) -> None:
        """``setup`` is over, and what it has returned has its names."""
        for reference in self._early:
            self.variable(reference, worker)
        self._early.clear()

    def variable(self, reference: ref[Any], worker: Worker | None) -> Variable | None:
        """What a look through ``reference`` reads; None where it is not known what it led to."""
        obj = _look(reference)
        if obj is None:
            return self._variables.get(identity(reference))
        names, number = self.names, identity(obj)
        known = names.objects.get(number) or names.lasting.get(number)
        if known is None:
            known = names.identify(obj, worker)
        found = known.parts.get(PART)
        if found is None:
            found = known.parts[PART] = names.named(f"{known.label}.{PART}")
        self._variables[identity(reference)] = found
        if number not in self._watched:
            self._watched[number] = ref(obj, self._dies(number, found))
        return found

    def look(self, variable: Variable) -> tuple[list[int], list[int]]:
        """What a look at ``variable`` depends on: as if it read and wrote these."""
        reads: list[int] = [variable.number]
        writes: list[int] = []
        for pair, cause, stores in self._causes.get(variable.name, ()):
            if pair.shared:
                reads.append(pair.number)
                if cause.shared:
                    (reads if stores else writes).append(cause.number)
        return reads, writes

    def preset(self, name: str) -> None:
        """A trace has this name: of a pair, if it is one."""
        for between in (BY_STORE, BY_READ):
            look, found, cause = name.partition(between)
            if found:
                self._pair(self.names.named(look), self.names.named(cause), between)

    # --- deaths ------------------------------------------------------------------------------
    def _dies(self, number: int, variable: Variable) -> Callable[[ref[Any]], None]:
        def died(_: ref[Any]) -> None:
            self._watched.pop(number, None)
            worker: Any = contexts.get(get_ident())
            if worker is None or not worker.running:
                return
            if not variable.shared:
                self.names.used(variable, worker.number, WRITE)
            self._learn(variable, worker)

        return died

    def _learn(self, variable: Variable, worker: Worker) -> None:
        """What the worker in whose hands the object has died did last."""
        names, last, log = self.names, worker.last, worker.hub.controller.log
        if last is not None and not last.shared:
            names.suspect(last)  # it becomes a step of its own, and then this happens again
            return
        event = log[-1] if log and log[-1][0] == worker.number else None
        op = None if event is None else event[2]
        if op is not None and op.kind in (READ, WRITE) and op.target >= 0:
            cause = names.variables.get(names.layout.names[op.target])
            if cause is not None and cause is not variable:
                self._pair(variable, cause, BY_STORE if op.kind == WRITE else BY_READ)
                return
            if cause is not None:
                return
        if op is not None and op.kind == ATOMIC:
            for number in op.body.writes:
                cause = names.variables.get(names.layout.names[number])
                if cause is not None and cause is not variable:
                    self._pair(variable, cause, BY_STORE)
            return
        names.doubts[f"the death of {variable.name.removesuffix('.' + PART)}"] = (
            f"in {worker.label}, after a step that is no access, and weak references lead to it: "
            "what depends on that order was sampled"
        )

    def _pair(self, variable: Variable, cause: Variable, between: str) -> None:
        pair = self.names.named(f"{variable.name}{between}{cause.name}")
        known = self._causes.setdefault(variable.name, [])
        if all(one is not pair for one, _, _ in known):
            known.append((pair, cause, between == BY_STORE))
        if not pair.shared:
            self.names.suspect(pair)

"""Stable names for the objects of real code, and which of their parts are shared.

A trace must mean the same in another process and on another Python version: no name depends on an
address or a hash. An object is named after the worker that met it first, and its number
among the objects of its class that this worker met
(``Account#1``; ``Account#2@withdraw[0]`` where that was a worker), a container by where it was
read or put (``Account#1.items[]``). What ``setup`` returned is named before any worker runs, in the
order of a walk through it.

Only what two workers touch in one schedule, one of them to write, is *shared*; accesses to all else
are no scheduling points. That is found out while schedules run and counts from the next one on. It
loses nothing: if some schedule had two workers at a variable that is not known to be shared, the
first such schedule differs from one that was run by the order of known accesses alone, and in that
one they are at it too. A search that has noticed something new begins again.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field
from sys import getrefcount
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from tracelock.engine.open_layout import OpenLayout
from tracelock.instrument import callers
from tracelock.instrument.accesses import attributes, places
from tracelock.instrument.accesses.containers import LINKED, is_opaque
from tracelock.instrument.accesses.walking import BOX, CONTAINERS, DICT, shape_of, shapes, walk
from tracelock.instrument.contexts import identity
from tracelock.instrument.mortality import OURS, Mortals, all_held
from tracelock.instrument.threads.owning import APART, count_together
from tracelock.objects import VARIABLE
from tracelock.ops import READ, WRITE, ObjectSpec

if TYPE_CHECKING:
    from tracelock.instrument.worker import Worker

SETUP: Final = "setup"  # the worker that ``setup`` runs as
#: Of the containers that a worker has met last, so many may be gone before the schedule is over.
_FRESH: Final = 8
#: Of those that may be gone, so many are looked at in one step.
AT_ONCE: Final = 128
_IN_C: Final = "its state is kept in C, where other objects may share it"
_LATE: Final = (
    "the program notices it, and without the GIL an object may die later than its last reference"
)


@dataclass(slots=True, eq=False)
class Variable:
    """One shared part of one object: an attribute, or what a container contains.

    ``shared``: accesses are scheduling points. ``users`` and ``writers``: bit masks of the workers
    of schedule number ``stamp``. ``reads``: the read op of each site.
    """

    name: str
    number: int = -1
    shared: bool = False
    stamp: int = 0
    users: int = 0
    writers: int = 0
    reads: dict[Any, Any] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class NamedObject:
    """An object that has a name in this schedule. ``parts``: its variables, by attribute."""

    label: str
    keep: object  # so that no other object gets its address in this schedule
    parts: dict[str | None, Variable] = field(default_factory=dict)


class ObjectNames:
    """All names of one program, and the objects that have them in the current schedule.

    ``frozen``: what is shared is given (in a replay by the trace) and not found out.
    ``deferring``: what is found out stays pending, since a search compares its schedules.
    ``doubts``: what others may depend on unseen -> why: for the account.
    ``unsure``: variables that were read in a way that is not known exactly -> by what, and why.
    ``mortal``: the program notices when objects die (by weak references, or by finalizers), so that
    nothing may live longer than it would.
    """

    def __init__(self, layout: OpenLayout) -> None:
        self.layout = layout
        self.variables: dict[str, Variable] = {}
        self.objects: dict[int, NamedObject] = {}
        self.lasting: dict[int, NamedObject] = {}  # modules and classes: the same in every schedule
        self.frozen = False
        #: In a replay: who has set what, by name.
        self.recorded_sets: frozenset[tuple[str, str]] | None = None
        self.deferring = False
        self.mortal = False
        self.doubts: dict[str, str] = {}
        self.unsure: dict[str, tuple[str, str]] = {}
        #: Variables that code which is not looked into reads -> what is told if one is written.
        self.elsewhere: dict[str, tuple[str, str]] = {}
        self.exposed: dict[str, bool] = {}  # of these, those that no lock keeps others away from
        self._guards: dict[str, frozenset[object]] = {}
        self.whole = False  # whether all attributes of some object are read at once
        #: Objects that only we may have, but for the last that each worker has met.
        self._kept: list[NamedObject] = []
        self._pending: list[Variable] = []
        self._told: dict[str, Variable] = {}  # by ``share_all``
        self.waiting = 0  # so many of them were there as the schedule began
        self.schedule = 0
        self._counts: dict[str, int] = {}
        self._listings: dict[str, tuple[int, int, int]] = {}
        self.mortals = Mortals(self)

    def begin(self) -> None:
        """A schedule begins: of the previous one only the variables are kept."""
        self.schedule += 1
        self.forget()
        self._counts = {}
        self._guards.clear()
        self.mortals.begin()
        places.let_go()
        if not self.deferring:
            self.apply_pending()
        self.waiting = len(self._pending)

    def forget(self) -> None:
        """A schedule is over: what only we have of it dies."""
        objects, self.objects = self.objects, {}
        objects.clear()  # what tells that one has died has all of them
        self._kept = []

    @property
    def pending(self) -> bool:
        """Whether variables were found to be shared that are not scheduling points yet."""
        return bool(self._pending)

    @property
    def learning(self) -> bool:
        """Whether this schedule has found something to be shared, and not scheduled it yet."""
        return len(self._pending) > self.waiting

    def apply_pending(self) -> list[Variable]:
        """Accesses of the variables that were found to be shared are scheduling points from now on.
        Only between two schedules. Returns the variables, for ``revert``."""
        applied = self._pending.copy()
        for variable in applied:
            number = variable.number
            if number < 0:
                told = variable.name in self._told  # it may have a number of then
                known = self.layout.number_of(variable.name) if told else None
                spec = ObjectSpec(variable.name, VARIABLE)
                number = self.layout.add(spec) if known is None else known
            self.number(variable, number)
        self._pending.clear()
        return applied

    def share_all(self) -> bool:
        """All that this schedule has used counts as shared from the next one on, until
        ``share_no_more``; whether anything was not. Between two schedules."""
        found = [
            one for one in self.variables.values()
            if one.stamp == self.schedule and one.number == -1
        ]  # fmt: skip
        for variable in found:
            variable.number = -2
            self._told[variable.name] = variable
        self._pending += found
        return bool(found)

    def share_no_more(self) -> None:
        """What was only told to be shared is so no more. Between two schedules."""
        for variable in self._told.values():
            variable.shared, variable.number = False, -1
            if variable in self._pending:
                self._pending.remove(variable)

    def revert(self, applied: list[Variable]) -> None:
        """Undo ``apply_pending``: a schedule that was run before is to be repeated as it was."""
        for variable in applied:
            variable.shared = False
        self._pending[:0] = applied

    def number(self, variable: Variable, number: int, shared: bool = True) -> None:
        """``variable`` is this one of the layout."""
        variable.number, variable.shared = number, shared
        self.whole = self.whole or (shared and variable.name.endswith(attributes.ENDING))

    def preset(self, names: list[str]) -> None:
        """In a replay these, and no others, are shared."""
        self.frozen = True
        for name in names:
            self.mortals.preset(name)
            variable = self.named(name)
            number = self.layout.number_of(name)
            if number is None:
                number = self.layout.add(ObjectSpec(name, VARIABLE))
            self.number(variable, number)

    # --- objects -----------------------------------------------------------------------------
    def identify(self, obj: object, worker: Worker | None, label: str = "") -> NamedObject:
        """The name and variables of ``obj``, which gets a name where it has none."""
        known = self.objects.get(identity(obj)) or self.lasting.get(identity(obj))
        if known is not None:
            return known
        cls = type(obj)  # ``__class__`` may be a property: code of the user's
        base = places.base_of(obj)
        if base is not None:
            below = self.identify(base, worker, label)
            known = NamedObject(below.label, self._keep(obj), below.parts)
            self.objects[identity(obj)] = known
            return known
        if cls is ModuleType or issubclass(cls, type):
            name = obj.__name__  # type: ignore[attr-defined]
            known = self.lasting[identity(obj)] = NamedObject(name, obj)
            return known
        if label:
            number = self._counts[label] = self._counts.get(label, 0) + 1
            label = label if number == 1 else f"{label}#{number}"
        elif worker is not None and worker.label != SETUP:
            label = f"{cls.__name__}#{worker.count(cls.__name__)}@{worker.label}"
        else:
            number = self._counts[cls.__name__] = self._counts.get(cls.__name__, 0) + 1
            label = f"{cls.__name__}#{number}"
        if cls is places.Closure:
            callers.called[label, ""] = None
        known = self.objects[identity(obj)] = NamedObject(label, self._keep(obj))
        if attributes.replaces(cls):
            attributes.share(self, obj, places.namespace_of(obj), worker)
            known = self.objects[identity(obj)]
        if known.keep is obj:
            if worker is None or worker.label == SETUP:
                self._kept.append(known)
            else:
                worker.fresh.append(known)
                self._kept += worker.fresh[:-_FRESH]
                del worker.fresh[:-_FRESH]
        return known

    def same(self, obj: object, known: NamedObject) -> None:
        """The attributes of ``obj`` are those of an object that has a name."""
        self.objects[identity(obj)] = NamedObject(known.label, self._keep(obj), known.parts)

    def knows(self, obj: object) -> bool:
        """Whether an object has a name."""
        return identity(obj) in self.objects or identity(obj) in self.lasting

    def let_go(self, fresh: list[NamedObject]) -> None:
        """Let go of those that nobody has but us: what they contain dies with them."""
        for known in [known for known in fresh if getrefcount(known.keep) <= OURS]:
            if known in fresh:  # a finalizer may have come here too
                fresh.remove(known)
                self.objects.pop(identity(known.keep), None)
                known.keep = None

    def let_die(self, fresh: list[NamedObject]) -> None:
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

    def _keep(self, obj: object) -> object:
        """What keeps the address from being used again: a weak reference if possible, since
        finalizers and weak references are part of the program."""
        objects, address = self.objects, identity(obj)
        cls = type(obj)
        if DICT <= shape_of(cls)[0] <= BOX and cls.__module__ in ("builtins", "collections"):
            return obj
        try:
            return weakref.ref(obj, lambda _: objects.pop(address, None))
        except TypeError:
            return obj

    def variable(self, obj: object, name: str | None, worker: Worker) -> Variable:
        """The variable that attribute ``name`` of ``obj`` is (None: its contents)."""
        known = (
            self.objects.get(identity(obj))
            or self.lasting.get(identity(obj))
            or self.identify(obj, worker)
        )
        variable = known.parts.get(name)
        if variable is None:
            if name is None and is_opaque(type(obj)) == LINKED and worker.label != SETUP:
                self.doubts.setdefault(type(obj).__name__, _IN_C)
            label = known.label if name is None else f"{known.label}.{name}"
            variable = known.parts[name] = self.named(label)
        return variable

    def contents(self, argument: object, worker: Worker) -> list[Variable]:
        """The shared contents that a container's method reads of its arguments: of ``argument``,
        or of what is in that tuple. Those that are not known to be shared count as used."""
        found = []
        for one in argument if type(argument) is tuple else (argument,):
            if issubclass(type(one), CONTAINERS):
                for obj, name in attributes.spread(self, [(one, None)], worker):
                    variable = self.variable(obj, name, worker)
                    if variable.shared:
                        found.append(variable)
                    else:
                        self.used(variable, worker.number, READ)
        return found

    def others(
        self, parts: Iterable[tuple[object, str | None]], beside: Variable, worker: Worker
    ) -> list[Variable]:
        """Those of ``parts`` that are known to be shared, without ``beside``; the rest is used."""
        found = []
        for obj, name in attributes.spread(self, parts, worker):
            variable = self.variable(obj, name, worker)
            self.guarded(variable, worker)
            if not variable.shared:
                self.used(variable, worker.number, READ)
            elif variable is not beside and variable not in found:
                found.append(variable)
        return found

    def guarded(self, variable: Variable, worker: Worker) -> None:
        """A variable that is read in no exact way is used: by which locks are others kept away?"""
        name = variable.name
        if name in self.unsure and name not in self.exposed:
            held = worker.held()
            known = self._guards.get(name)
            now = self._guards[name] = held if known is None else known & held
            if not now:
                self.exposed[name] = True

    def told(self) -> dict[str, str]:
        """``doubts``, and what was read in no exact way and is shared."""
        found = dict(self.doubts)
        if APART and self.mortals.seen:
            found.setdefault("when objects die", _LATE)
        for name, (what, why) in self.unsure.items():
            variable = self.variables.get(name)
            if variable is not None and variable.number != -1 and name in self.exposed:
                found.setdefault(f"{what} of {name}", why)
        return found

    def used(self, variable: Variable, worker: int, kind: int) -> None:
        """A variable that is not shared was used: does that make it so, from the next schedule?"""
        if variable.stamp != self.schedule:
            variable.stamp = self.schedule
            variable.users = variable.writers = 0
        bit = 1 << worker
        variable.users |= bit
        if kind == WRITE:
            variable.writers |= bit
            if variable.name in self.elsewhere:
                self.doubts.setdefault(*self.elsewhere[variable.name])
        users = variable.users
        if users & (users - 1) and variable.writers and variable.number == -1 and not self.frozen:
            variable.number = -2  # pending
            self._pending.append(variable)

    def named(self, label: str) -> Variable:
        """The variable of this name, also one of no object: a path, shared memory."""
        variable = self.variables.get(label)
        if variable is None:
            variable = self.variables[label] = Variable(label)
        return variable

    def used_by_name(self, label: str, worker: int, kind: int) -> None:
        """The variable of this name was used, and is not shared.

        A name that ends in ``/`` stands for the entries of a directory. Creating or removing a file
        writes them, which conflicts with nothing as long as no worker lists the directory.
        """
        variable = self.named(label)
        if not label.endswith("/"):
            self.used(variable, worker, kind)
            return
        stamp, readers, writers = self._listings.get(label, (0, 0, 0))
        if stamp != self.schedule:
            readers = writers = 0
        if kind == WRITE:
            writers |= 1 << worker
        else:
            readers |= 1 << worker
        self._listings[label] = (self.schedule, readers, writers)
        if readers and writers and (readers | writers) & ((readers | writers) - 1):
            for one in range((readers | writers).bit_length()):
                if (readers | writers) >> one & 1:
                    self.used(variable, one, WRITE if writers >> one & 1 else READ)

    def suspect(self, variable: Variable | None) -> bool:
        """A worker polls ``variable``. If another worker may be meant to change it, its reads are
        scheduling points from the next schedule on."""
        if variable is None or variable.number != -1 or self.frozen:
            return False
        variable.number = -2
        self._pending.append(variable)
        return True

    def name_contents(self, variable: Variable, value: object, worker: Worker) -> None:
        """``value`` was read from or written to ``variable``: a container is called after it."""
        if issubclass(type(value), CONTAINERS):
            if known := self.objects.get(identity(value)):
                callers.hold_used(type(value), known.label, variable.name)
            else:
                self.identify(value, worker, f"{variable.name}[]")
        elif identity(type(value)) in callers.synchronising:
            callers.hold(value, variable.name)

    def name_container(self, variable: Variable, value: object, worker: Worker) -> None:
        """The same where nobody has to be told what people call things."""
        cls = type(value)
        try:
            shape = shapes[identity(cls)][""]
        except KeyError:
            shape = shape_of(cls)
        if DICT <= shape[0] <= BOX and identity(value) not in self.objects:
            self.identify(value, worker, f"{variable.name}[]")

    # --- what setup returned -----------------------------------------------------------------
    def walk(self, root: object) -> None:
        """Name ``root`` and the objects reachable from it, in a fixed order. None of their code
        runs: a container is read as its built-in base, attributes are what the namespace has."""
        walk(self, root)
        self.let_go(self._kept)
        self.mortals.settle(None)
        if self.mortal and APART:
            count_together(gc.get_objects())  # of which ``setup`` has made all

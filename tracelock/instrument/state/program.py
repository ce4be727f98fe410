"""The state of a program as its exploration began, put back before each schedule.

A check-then-act on a module's global or a singleton that is built at first use can go wrong only in
the first schedule, unless each begins without it. What libraries set up at first use (compiled
expressions, loggers, imported modules) is no state of the program: it stays.
"""

from __future__ import annotations

import faulthandler
import sys
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from operator import attrgetter
from types import CodeType, ModuleType
from typing import Any, Final

from tracelock.instrument.naming import ObjectNames
from tracelock.instrument.program import PythonProgram
from tracelock.instrument.state.callers import CallersObjects
from tracelock.instrument.state.holders import Holder, NamesHeld
from tracelock.instrument.state.places import covering, home_of, own_modules
from tracelock.instrument.state.process import ProcessWide
from tracelock.instrument.state.snapshot import MOST, Snapshot
from tracelock.instrument.state.things import Buffer
from tracelock.instrument.state.together import HolderBatch, batches

#: The first schedules, after each of which everything is looked at.
_FIRST: Final = 6
#: Parts that are looked at after each schedule; of more only every so many schedules, as long as
#: nothing new was touched.
_AT_ONCE: Final = 2_000
_MOST_APART: Final = 32


class KeptState:
    """What the program's own modules, classes, closures and objects hold, and the process.

    ``changed``: the names of what schedules have changed, in the order in which it was seen;
    ``lasting``: those of them that could not be put back; ``leaked``: those of these that the
    program's code reaches. ``named``: the objects that it names; ``ran_in``: tells the modules in
    which workers were seen to run.
    """

    def __init__(self, program: PythonProgram, names: ObjectNames) -> None:
        self._names = names
        self.changed: dict[str, None] = {}
        self.lasting: dict[str, None] = {}
        self.leaked: dict[str, None] = {}
        self.named: list[Any] = []
        self.ran_in: Callable[[], Iterable[str]] = tuple
        self._own: set[str] = set()
        functions = (*program.workers, program.setup, program.check, *program.invariants)
        self.given = given = [work for work in functions if work is not None]
        self._covers = covering([*program.instrument, *sorted({*map(home_of, given)})])
        self._snapshot = Snapshot(self._own.__contains__)
        self._process = ProcessWide()
        self._schedules = 0
        self._modules = self._variables = 0
        self._whole = True
        self._hot: dict[Holder, None] = {}  # what was seen to change
        self._dirty: dict[Holder, None] = {}  # what the last schedule has changed
        self._take_modules()
        before = len(self._snapshot.found)
        for work in given:
            self._snapshot.function(work, getattr(work, "__qualname__", type(work).__name__))
        #: What only the given functions reach: whoever wrote them may count in there, or keep
        #: results, and looks at these when the exploration is over. Of a test there is nobody.
        self._theirs = set() if program.source else set(self._snapshot.found[before:])
        size = sum(holder.size for holder in self._snapshot.found)
        self._interval = min(1 + size // _AT_ONCE, _MOST_APART)
        self._batches: list[HolderBatch] = []
        self._alone: list[Holder] = []
        self._batched = 0
        self._sized = (-1, 0)
        #: How often what ``setup`` or ``check`` has made of something was accepted.
        self.accepted = 0
        self.callers = CallersObjects()

    def _take_modules(self) -> None:
        self._modules = len(sys.modules)
        modules = own_modules(self._covers)
        new = {}
        for name, module in modules.items():
            if getattr(module.__spec__, "_initializing", False):
                self._modules = -1  # it is looked at when its import is done
            elif name not in self._own:
                new[name] = module
        self._own.update(new)
        for name, module in new.items():
            self._snapshot.module(name, module)

    def imported(self) -> None:
        """Workers have imported modules: their state is what it is now."""
        if len(sys.modules) != self._modules:
            self._take_modules()
            self._whole = True
            self.accepted += 1

    # --- in a forked process ----------------------------------------------------------------------
    def begin_apart(self) -> None:
        """How this process ends is found out, and need not be told each time."""
        faulthandler.disable()
        self._process.accept("faulthandler")
        self.callers.begin_apart()

    def for_the_caller(self) -> list[tuple[int, list[Any]]]:
        """No further schedule follows here: what there is to be sent of the caller's objects."""
        for holder in self._dirty:
            if holder in self._theirs:
                self.callers.note(holder)
        return self.callers.told()

    def from_apart(self, told: list[tuple[int, list[Any]]]) -> None:
        self.callers.hear(told, self._snapshot.found)

    # --- in processes of workers that go on to the next schedule ------------------------------
    @property
    def size(self) -> int:
        """How many parts are looked after."""
        if self._sized[0] != len(self._snapshot.found):
            found = self._snapshot.found
            self._sized = len(found), sum(holder.size for holder in found)
        return MOST if self._snapshot.full else self._sized[1]

    def untouched(self) -> bool:
        """Whether, now that ``setup`` has run, all is as it was before. Looks at everything."""
        self._whole = True
        return not self._dirty and not self._differing() and self._process.same()

    def others(self) -> list[ModuleType]:
        """Modules that are none of the program's and that its code names."""
        found: dict[str, ModuleType] = {}
        codes = [getattr(work, "__code__", None) for work in self.given]
        while codes:
            code = codes.pop()
            if type(code) is CodeType:
                codes += code.co_consts
                found.update(
                    (name, sys.modules[name]) for name in code.co_names if name in sys.modules
                )
        for own in self._own:
            names = vars(sys.modules[own]) if own in sys.modules else {}
            found.update((name, one) for name, one in names.items() if type(one) is ModuleType)
        return [one for one in found.values() if one.__name__ not in self._own]

    def variables(self) -> list[ContextVar[Any]]:
        """Variables of contexts that the program's modules have."""
        modules = [vars(sys.modules[name]) for name in self._own if name in sys.modules]
        return [one for names in modules for one in names.values() if type(one) is ContextVar]

    def begin_staying(self) -> None:
        """This process has just been forked, for a worker: it is to be made what it is now."""
        self._process = ProcessWide()

    def put_back_here(self) -> bool:
        """The worker of this process has ended: what it has changed is made what it was, if all of
        that can be."""
        self._whole = True
        for holder in self._differing():
            holder.put_back()
            if not holder.whole or holder.changed():
                return False
        return self._process.same()

    # --- what is not put back -------------------------------------------------------------------
    def owns(self, module: str) -> bool:
        """Whether a module is the program's own."""
        return module in self._own

    @property
    def may_leak(self) -> bool:
        """Whether the program's code reaches anything that may change and not be put back."""
        return bool(self._reached(
            holder for holder in self._snapshot.found
            if not holder.whole or isinstance(holder, Buffer)
        ))  # fmt: skip

    def leaking(self, first: bool = False) -> dict[str, None]:
        """What the schedule that has just ended has changed and cannot be put back, by name; of the
        ``first`` one without what it may have set up for all."""
        found = self._reached(
            holder for holder in self._dirty
            if not holder.whole and not (first and holder.settles)
        )  # fmt: skip
        return {holder.label: None for holder in found}

    def _reached(self, holders: Iterable[Holder]) -> list[Holder]:
        """Those that the program's code names, or that the modules in which its workers ran lead
        to: others change for reasons of their own. What the given functions alone reach is
        theirs."""
        wanted = [holder for holder in holders if holder not in self._theirs]
        if not wanted:
            return wanted
        walk = Snapshot(self.owns)
        walk.objects(self.named)
        for name in sorted(self.ran_in()):
            if name in self._own and name in sys.modules:
                walk.module(name, sys.modules[name])
        return [holder for holder in wanted if walk.has_seen(holder.thing)]

    # --- one schedule after the other ----------------------------------------------------------
    def put_back(self) -> None:
        """A schedule is about to begin: what workers have changed is made what it was."""
        self._schedules += 1
        if self._schedules > 1:
            for holder in self._dirty:
                self._restore(holder)
            self._dirty.clear()
            for name in self._process.put_back():
                self.changed.setdefault(name)
        if len(sys.modules) != self._modules:
            self._take_modules()
        self._whole = self._schedules <= _FIRST or self._schedules % self._interval == 0

    def set_up(self) -> None:
        """What the given functions' own closures hold is not put back where ``setup`` alone
        changes it."""
        if not self._theirs:
            return
        for holder in self._theirs if self._look_everywhere() else self._theirs & self._hot.keys():
            if holder.changed():
                self._hot[holder] = None
                self._accept(holder)

    def ran(self) -> None:
        """The workers have ended, or have been unwound: what is not as it was?"""
        for holder in self._differing():
            self._dirty[holder] = None
            self.changed.setdefault(holder.label)
            if self._names.mortal and holder.lost():
                self._names.doubts.setdefault(
                    f"the death of what {holder.label} had",
                    "it is kept, to be put back, and weak references or finalizers may tell",
                )
            if isinstance(holder, NamesHeld):
                holder.note()

    def checked(self) -> None:
        """``check`` has run. What it alone changes is nothing to the workers: it stays."""
        for holder in self._differing():
            if holder not in self._dirty:
                self._accept(holder)
        for holder in self._dirty:
            if isinstance(holder, NamesHeld):
                self.accepted += 1
                holder.accept_others()

    def _accept(self, holder: Holder) -> None:
        self.accepted += 1
        if self.callers.apart and holder in self._theirs:
            self.callers.note(holder)
        holder.accept()

    def _restore(self, holder: Holder) -> None:
        if holder in self._theirs:
            self.callers.note(holder)
        holder.put_back()
        # what is set up at first use is there after the first schedules
        if not holder.whole and (not holder.settles or self._schedules > _FIRST):
            if holder.label not in self.lasting and self._reached([holder]):
                self.leaked.setdefault(holder.label)
            self.lasting.setdefault(holder.label)

    def _look_everywhere(self) -> bool:
        """Whether all is looked at in this schedule, not only what was seen to change."""
        variables = len(self._names.variables)
        if variables != self._variables:
            self._variables = variables
            self._whole = True  # something is touched for the first time
        return self._whole

    def _differing(self) -> list[Holder]:
        """What is not as it was, of all that is looked at in this schedule."""
        found = [holder for holder in self._hot if holder.changed()]
        if self._whole or self._look_everywhere():
            if self._batched != len(self._snapshot.found):
                self._take_batches()
            new = [holder for holder in self._alone if holder.changed()]
            for batch in self._batches:
                new += batch.changed()
            if new:
                new = [holder for holder in new if holder not in self._hot]
                self._hot.update(dict.fromkeys(new))
                self._alone = [holder for holder in self._alone if holder not in self._hot]
                found += new
        return sorted(found, key=attrgetter("place")) if found else found

    def _take_batches(self) -> None:
        new = self._snapshot.found[self._batched :]
        self._batched += len(new)
        found, alone = batches(new)
        self._batches += found
        self._alone += alone

    def close(self) -> None:
        """The exploration is over: what modules and classes hold is put back for the last time.
        The given functions' own closures keep what the last schedule left there; containers there
        have got all that any schedule added to them."""
        if not self._schedules:
            return
        last = set(self._dirty)
        for holder in last - self._theirs:
            holder.put_back()
        self._dirty.clear()
        self.callers.give()
        self._process.put_back()
        # a task that never ended may keep all this for ever
        self._snapshot.forget()
        self.named = []
        for holders in (self._hot, self._theirs, self._batches, self._alone):
            holders.clear()

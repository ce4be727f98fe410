"""Who refers to the originals that are replaced, and to locks that exist already: known, as long as
the counts of references agree.

Every object counts the references to it. Where those that are known to be there are as many, nobody
else has it, and nobody has to be asked; otherwise all are asked, in one pass of the collector's. So
it is where as many are left over as there were when all had been asked: these are code in C, and
functions that run.
What is known is looked at again each time, and so is what has come into being, so that one who has
let go does not hide one who is new.
"""

from __future__ import annotations

import gc
import sys
import types
from _thread import LockType
from _weakref import ref
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from itertools import chain
from types import FrameType, FunctionType
from typing import Any, Final, NamedTuple

from tracelock.instrument.contexts import class_names, identity
from tracelock.instrument.live_objects import NAMED, LiveObjects, weak
from tracelock.instrument.patching import Patch
from tracelock.instrument.scanning.trails import (
    ALONE,
    Trail,
    holding,
    is_kept_copy,
    module_names,
    same,
)

#: Steps that lead to one who has an original, at most.
_FARTHEST: Final = 4
#: How often it is asked who refers to an object, if that cannot be kept in mind.
_PATIENCE: Final = 2
#: What a class that is written in C has its methods and attributes in.
_DESCRIPTORS: Final = frozenset(map(identity, (
    types.MethodDescriptorType, types.WrapperDescriptorType, types.GetSetDescriptorType,
    types.MemberDescriptorType, types.ClassMethodDescriptorType,
)))  # fmt: skip
_FIXED: Final = frozenset(map(identity, (tuple, list, FrameType)))
_defaults: Final = vars(FunctionType)["__defaults__"].__get__


class ModuleSlot(NamedTuple):
    """A name in a module, and what the module has under it, by identity."""

    names: dict[str, Any]
    name: str
    module: str
    value: int


class Referrers:
    """Those that have some objects: ``slots`` of modules, and others, by kind; ``owned``:
    dictionaries, with those that have them, if these are the only ones; else they are ``shared``.
    ``counts``: how many references these are, by the identity of what they have. ``left``: those of
    the ``alone`` objects that others may have."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()
        self.slots: list[ModuleSlot] = []
        self.objects: list[Any] = []
        self.classes: list[tuple[type, str]] = []
        self.functions: list[FunctionType] = []
        self.owned: list[tuple[Any, dict[Any, Any]]] = []
        self.shared: list[dict[Any, Any]] = []
        self.left: frozenset[int] = frozenset()

    def live(self) -> LiveObjects:
        """The same as candidates in which originals are replaced."""
        owned = [held for _, held in self.owned]
        live = LiveObjects(objects=[*self.objects, *owned, *self.shared])
        live.classes += [cls for cls, _ in self.classes]
        live.functions += self.functions
        return live


class KnownReferences:
    """The references that were found so far. ``ours``: gives what holds originals for tracelock
    itself, by identity; ``referrers``: who refers to some objects."""

    def __init__(
        self, ours: Callable[[], dict[int, Any]], referrers: Callable[..., list[Any]]
    ) -> None:
        self._ours = ours
        self._referrers = referrers
        self._slots: dict[tuple[str, str], int] = {}
        self._classes: dict[tuple[int, str], tuple[ref[type], int]] = {}
        self._functions: dict[int, ref[FunctionType]] = {}
        #: All others, and how they are reached.
        self._holders: dict[int, Trail] = {}
        #: How often all were asked for an object.
        self._asked: Counter[int] = Counter()
        #: References to originals that nobody has whom the collector knows, as it was when all were
        #: asked; and how many there are to each object besides those that are known.
        self._hidden: dict[int, int] = {}
        #: Those of which others may be known one day, but were not by the last search.
        self._left: frozenset[int] = frozenset()
        self._shared: frozenset[int] = frozenset()
        self._lost: frozenset[int] = frozenset()
        self._unknown: dict[int, int] = {}

    def of(
        self, originals: Iterable[Any], alone: Sequence[Any], new: Sequence[Any] | None,
        aside: Sequence[list[Any]],
    ) -> Referrers:  # fmt: skip
        """All that refer to these ``originals``. The same of ``alone``, but of dictionaries only
        where one has them alone; some may be ``left`` of which it is not known. ``new``: what has
        come into being since this was asked the last time, None where that is not known.
        ``aside``: lists with any of these, which are there for a while."""
        self._alone = frozenset(map(identity, alone))
        self._modules = module_names()
        # the first of them is referred to by this list alone
        self._wanted = [object(), *{identity(one): one for one in (*originals, *alone)}.values()]
        self._numbers = [*map(identity, self._wanted)]
        self._places = frozenset(self._numbers[1:])
        try:
            return self._of(new, (*aside, alone))
        finally:
            self._wanted, self._modules = [], {}

    def _of(self, new: Sequence[Any] | None, aside: Sequence[Sequence[Any]]) -> Referrers:
        if new is None:
            self._asked.clear()
            self._hidden.clear()
            return self._search(self._places, aside, 1)  # the rest when it is asked again
        self._look_again(new, aside)
        known, doubtful = self._known(aside)
        if doubtful:
            self._look_near(known.objects, doubtful, new, aside)
            del known  # it has references itself
            known, doubtful = self._known(aside)
        hard = frozenset(one for one in doubtful & self._left if self._asked[one] >= _PATIENCE)
        asked = doubtful - hard
        if asked:
            counts, unknown = known.counts, self._unknown
            del known
            known = self._search(asked, aside, _FARTHEST)
            rest = {one: unknown[one] - (known.counts[one] - counts[one]) for one in asked}
            of_others = self._alone & asked & self._lost.union(self._shared)
            self._left = hard.union(one for one in of_others if rest[one])
            # what it has not led to either; who has them and cannot be kept in mind is asked again
            settled = asked - self._lost - self._left
            self._hidden.update({one: rest[one] for one in settled - self._passing(settled)})
        known.left = doubtful & self._left
        return known

    def _look_again(self, new: Sequence[Any], aside: Sequence[Sequence[Any]]) -> None:
        """As many as were hidden may be others now: who is new is looked at, and locks that were
        let go are asked for again."""
        for one in [*filter(self._hidden.__contains__, map(identity, new))]:
            self._hidden.pop(one, None)  # in the place of another that is gone
        for one in self._passing(self._hidden.keys() & self._alone):
            del self._hidden[one]
        if self._hidden:
            hidden = frozenset(self._hidden)
            self._learn(holding(new, hidden), hidden, new, aside, _FARTHEST)
            for one in hidden & self._lost:
                del self._hidden[one]

    def _passing(self, numbers: AbstractSet[int]) -> set[int]:
        """Those of these that are put under control where they are, except locks that somebody
        holds: what has one and is hidden is a function that runs, and may store it. Of a lock that
        is held, it waits for that or is to release it; what only gets a name can do without."""
        some = numbers & self._alone
        return {
            number for number, one in zip(self._numbers, self._wanted, strict=True)
            if number in some and not issubclass(type(one), NAMED)
            and not (type(one) is LockType and one.locked())
        }  # fmt: skip

    def _look_near(
        self, objects: list[Any], doubtful: frozenset[int], new: Sequence[Any],
        aside: Sequence[Sequence[Any]],
    ) -> None:  # fmt: skip
        """Look among what is new, and among the attributes of these ``objects``, which are a
        dictionary since somebody has asked for it."""
        attributes = [part for part in gc.get_referents(*objects) if type(part) is dict]
        some = [*new, *objects, *attributes]
        self._learn(holding(some, doubtful), doubtful, some, aside, _FARTHEST)

    # --- what is known, and whether that is all --------------------------------------------------
    def _known(self, aside: Sequence[Sequence[Any]]) -> tuple[Referrers, frozenset[int]]:
        """What is known and still so; those to which there are other references."""
        has: Callable[[int], bool] = self._places.__contains__
        # these lists have all objects, the first time: they are gone through once
        told = self._places.union(self._holders).__contains__
        listed = Counter(filter(told, map(identity, chain.from_iterable(aside))))
        found = self._still(listed)
        counts = found.counts
        counts.update({number: many for number, many in listed.items() if has(number)})
        for _, held in found.owned:
            counts.update(filter(has, map(identity, gc.get_referents(held))))
        counts.update(filter(has, map(identity, gc.get_referents(*found.objects))))
        shared = [*filter(has, map(identity, gc.get_referents(*found.shared)))]
        self._shared = self._alone.intersection(shared)
        counts.update(one for one in shared if one not in self._alone)
        lists = (found.objects, found.functions)
        counts.update(filter(has, map(identity, chain.from_iterable(lists))))
        counts.update(filter(has, [identity(cls) for cls, _ in found.classes]))
        counts.update(filter(has, [identity(owner) for owner, _ in found.owned]))
        totals = [*map(sys.getrefcount, self._wanted)]
        self._unknown = {
            number: total - totals[0] - counts[number]
            for number, total in zip(self._numbers[1:], totals[1:], strict=True)
        }
        for one in [one for one, left in self._unknown.items() if not left]:
            self._hidden.pop(one, None)
        hidden = self._hidden
        doubtful = [one for one, left in self._unknown.items() if left != hidden.get(one, 0)]
        return found, frozenset(doubtful)

    def _still(self, listed: Counter[int]) -> Referrers:
        """What is known and still so; what tuples have is counted. ``listed``: how often objects
        are in lists that are aside."""
        found = Referrers()
        names = {name: held for held, name in self._modules.values()}
        for (module, name), number in list(self._slots.items()):
            held = names.get(module)
            if held is not None and name in held and identity(held[name]) == number:
                found.counts[number] += 1
                found.slots.append(ModuleSlot(held, name, module, number))
            else:
                del self._slots[module, name]
        for key, (reference, number) in list(self._classes.items()):
            cls = reference()
            if cls is not None and identity(class_names(cls).get(key[1])) == number:
                found.counts[number] += 1
                found.classes.append((cls, key[1]))
            else:
                del self._classes[key]
        for place, function_ref in list(self._functions.items()):
            function = function_ref()
            if function is None:
                del self._functions[place]
            else:
                found.functions.append(function)
        modules = {*map(identity, names.values())}
        for number, trail in list(self._holders.items()):
            if number in modules or not self._add(trail, found, names, listed):
                del self._holders[number]
        return found

    def _add(
        self, trail: Trail, found: Referrers, names: Mapping[str, dict[str, Any]],
        listed: Counter[int],
    ) -> bool:  # fmt: skip
        """Add what a trail leads to; whether there still is anything."""
        owner, holder = trail.end(names)
        if holder is None:
            return False
        if trail.ours or type(holder) not in (dict, tuple):
            found.objects.append(holder)
        elif sys.getrefcount(holder) - listed[identity(holder)] == ALONE:
            if type(holder) is dict:
                found.owned.append((owner, holder))
            else:
                # it cannot be changed in place, and if others have it too, that may be a function
                # among its defaults
                found.counts.update(filter(self._places.__contains__, map(identity, holder)))
        elif type(holder) is dict:  # somebody else may have it for its attributes
            found.shared.append(holder)
        return True

    # --- what is new -----------------------------------------------------------------------------
    def _search(
        self, doubtful: frozenset[int], aside: Sequence[Sequence[Any]], steps: int
    ) -> Referrers:
        """Ask all objects; those that refer to one of these, and who has such ones."""
        self._asked.update(doubtful)
        asked = [
            one for number, one in zip(self._numbers, self._wanted, strict=True)
            if number in doubtful
        ]  # fmt: skip
        own = {*map(identity, aside), identity(asked), identity(self._wanted)}
        holders = [one for one in self._referrers(*asked) if identity(one) not in own]
        del asked
        owners = self._learn(holders, doubtful, None, aside, steps)
        known, _ = self._known((*aside, holders, owners))
        listed = filter(self._places.__contains__, map(identity, chain(holders, owners)))
        known.counts.subtract(listed)
        known.objects += holders + owners
        return known

    def _learn(
        self, holders: list[Any], doubtful: frozenset[int], new: Sequence[Any] | None,
        aside: Iterable[Any], steps: int,
    ) -> list[Any]:  # fmt: skip
        """Keep these in mind, and how they are reached. Classes and functions that have them.
        ``new``: among which those are to be found; None: among all objects."""
        modules, ours = self._modules, self._ours()
        pending: dict[int, Any] = {}
        for holder in holders:
            number = identity(holder)
            if number in modules:
                names, module = modules[number]
                for name, value in list(names.items()):
                    if type(name) is str and identity(value) in doubtful:
                        self._slots[module, name] = identity(value)
            elif number in ours or type(holder) is Patch or self._is_of_class(holder):
                self._holders[number] = Trail(partial(same, holder), (), ours=True)
            elif (reference := weak(holder)) is not None:
                self._holders[number] = Trail(reference, ())
            elif type(holder) is not FrameType:  # of a function that runs no more
                pending[number] = holder
        owners: list[Any] = []
        # what cannot be changed where it stands is of no account
        lost = {number: one for number, one in pending.items() if identity(type(one)) not in _FIXED}
        ways: dict[int, tuple[int, ...]] = {number: (number,) for number in pending}
        for _ in range(steps):
            if not pending:
                break
            if new is None:
                asked = [*pending.values()]
                own = {*map(identity, (pending, asked, owners, holders, *aside))}
                having = [one for one in self._referrers(*asked) if identity(one) not in own]
            else:
                having = holding(new, pending)
            self._named(having, pending, doubtful, owners, lost)
            pending = self._outwards(having, pending, ways, modules)
        for number, holder in [*lost.items()]:
            if new is None and number not in self._holders and is_kept_copy(holder):
                self._holders[number] = Trail(partial(same, holder), ())
            if number in self._holders:
                del lost[number]
        self._lost = frozenset(map(identity, gc.get_referents(*lost.values())))
        return owners

    def _named(
        self, having: list[Any], pending: dict[int, Any], doubtful: frozenset[int],
        owners: list[Any], lost: dict[int, Any],
    ) -> None:  # fmt: skip
        """What classes have under names, and the defaults of functions. These are ``owners``.
        ``lost``: to whom no way is known yet."""
        for owner in having:
            if type(owner) is FunctionType and identity(_defaults(owner)) in pending:
                self._functions[identity(owner)] = ref(owner)
                owners.append(owner)
            elif issubclass(type(owner), type):
                (held,) = gc.get_referents(class_names(owner))
                if lost.pop(identity(held), None) is not None:  # else it leads to one who has them
                    del pending[identity(held)]
                    owners.append(owner)
                    for name, value in list(held.items()):
                        if type(name) is str and identity(value) in doubtful:
                            self._classes[identity(owner), name] = ref(owner), identity(value)

    def _outwards(
        self, having: list[Any], pending: dict[int, Any], ways: dict[int, tuple[int, ...]],
        modules: dict[int, tuple[dict[str, Any], str]],
    ) -> dict[int, Any]:  # fmt: skip
        """Where one of these can be kept in mind, the way from there to those that are ``pending``
        is known; the others are what is pending next."""
        further: dict[int, Any] = {}
        for owner in having:
            known = modules.get(identity(owner))
            start = weak(owner) if known is None else known[1]
            for part in [*map(identity, gc.get_referents(owner))]:
                if part not in pending:
                    continue
                if start is not None:
                    self._holders[ways[part][-1]] = Trail(start, ways[part])
                    del pending[part]
                elif type(owner) is not FrameType:
                    further[identity(owner)] = owner
                    ways[identity(owner)] = (identity(owner), *ways[part])
        return further

    def _is_of_class(self, holder: Any) -> bool:
        """Whether it is a method of an original that is a class, which it belongs to."""
        return identity(type(holder)) in _DESCRIPTORS and (
            identity(holder.__objclass__) in self._places
        )

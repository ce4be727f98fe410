"""Inputs as choices: ``tracelock.choice``, ``integers``, ``booleans``, ``sample``, ``shuffle``.

Each asks for the number of one of some values, in a step of the worker that touches nothing. A
search that tries everything tries every value together with every schedule, a sampler draws one; it
is in the trace, and a replay takes it from there. The first value is the simplest: a failure is
made small towards it. Where no exploration is at work they draw from a generator of their own.
"""

from __future__ import annotations

import math
import random
from _thread import allocate_lock
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from tracelock.engine.choosing import LARGEST, offers_all
from tracelock.errors import UsageError
from tracelock.instrument.callers import caller
from tracelock.instrument.contexts import contexts
from tracelock.instrument.hub import Phase, ScheduleOver, get_ident
from tracelock.instrument.rewrite.sites import Site
from tracelock.instrument.steps import shown
from tracelock.ops import CHOOSE, READ, Alternatives, Op, Value

ItemT = TypeVar("ItemT")

#: So many values are listed in a trace one by one.
_LISTED: Final = 32
#: The seed of what is drawn where no exploration is at work.
SEED: Final = 0
#: Sequences that nobody can change.
_FIXED: Final = frozenset({tuple, str, bytes, range})
_KNOWN: Final = _FIXED | {list}

_generator: Final = random.Random(SEED)
_drawing: Final = allocate_lock()
_sites: dict[str, Site] = {}


def choice(values: Sequence[ItemT]) -> ItemT:
    """One of ``values``, which are one at least. The first one is the simplest.

    In controlled code, and in what ``setup`` runs, this is a choice of the search like that of who
    goes on: tried one after the other where it tries everything (``dpor``, ``preemption``,
    ``delay``), drawn where it samples, recorded, replayed, and made small with the schedule. Of
    more than 256 values such a search tries a few, and claims nothing. Elsewhere the value is
    drawn by a generator that is seeded with 0 when the process begins.

    Raises UsageError for what is no sequence, for an empty one, and in ``check``, which only looks
    at what has happened.
    """
    found = _items(values, "choice")
    number = _number("choice", len(found), _told(found), lambda n: found[n])
    return found[number]


def integers(low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``, both included; ``low`` is the simplest. See
    ``choice``. Raises UsageError where there is none."""
    if not isinstance(low, int) or not isinstance(high, int):
        raise UsageError(f"integers: from {low!r} to {high!r} are no whole numbers")
    if low > high:
        raise UsageError(f"integers: there is no number from {low} to {high}")
    count = high - low + 1
    if count > LARGEST:
        raise UsageError(f"integers: there are more than {LARGEST:,} from {low} to {high}")
    return low + _number("integers", count, f"{low}..{high}", lambda n: low + n)


def booleans() -> bool:
    """False or True; False is the simplest. See ``choice``."""
    return _number("booleans", 2, [False, True], bool) == 1


def sample(values: Sequence[ItemT], k: int) -> list[ItemT]:
    """``k`` of ``values``, from different places, in the order in which they stand there: each such
    list is one value of the choice, and the one of the first ``k`` the simplest. ``shuffle`` gives
    them in any order. See ``choice``. Raises UsageError where there are less than ``k``."""
    found = _items(values, "sample", empty=True)
    if not isinstance(k, int) or not 0 <= k <= len(found):
        raise UsageError(f"sample: {k!r} of {len(found)} values cannot be had")

    def of(number: int) -> list[ItemT]:
        return [found[place] for place in combination(number, len(found), k)]

    if math.comb(len(found), k) > LARGEST:
        return [found[place] for place in sorted(_one_by_one(len(found), k, f"sample of {k}"))]
    return of(_number(f"sample of {k}", math.comb(len(found), k), _told(found), of))


def shuffle(values: Sequence[ItemT]) -> list[ItemT]:
    """A new list of ``values`` in some order: each order is one value of the choice, and the one
    that they have the simplest. See ``choice``."""
    found = _items(values, "shuffle", empty=True)

    def of(number: int) -> list[ItemT]:
        return [found[place] for place in permutation(number, len(found))]

    if math.factorial(len(found)) > LARGEST:
        return [found[place] for place in _one_by_one(len(found), len(found), "shuffle")]
    return of(_number("shuffle", math.factorial(len(found)), _told(found), of))


def combination(number: int, size: int, k: int) -> list[int]:
    """The ``number``-th of the ways to take ``k`` of ``size`` places, in the order of
    ``itertools.combinations``."""
    places = []
    for place in range(size):
        if not k:
            break
        with_it = math.comb(size - place - 1, k - 1)
        if number < with_it:
            places.append(place)
            k -= 1
        else:
            number -= with_it
    return places


def permutation(number: int, size: int) -> list[int]:
    """The ``number``-th order of ``size`` places, in the order of ``itertools.permutations``."""
    left = list(range(size))
    places = []
    for rest in range(size - 1, -1, -1):
        block = math.factorial(rest)
        places.append(left.pop(number // block))
        number %= block
    return places


def _one_by_one(size: int, k: int, name: str) -> list[int]:
    """``k`` of ``size`` places, each a choice of its own: there are too many ways for one."""
    left = list(range(size))
    return [
        left.pop(_number(f"{name}, {done + 1}", len(left), f"{len(left)} places", str))
        for done in range(k)
    ]


# --- asking ----------------------------------------------------------------------------------
def _items(values: Sequence[ItemT], name: str, empty: bool = False) -> Sequence[ItemT]:
    """What there is to choose among, read once."""
    of = type(values)  # not by its abstract class, which would ask code of the library's
    if of not in _KNOWN and not (
        hasattr(of, "__getitem__") and hasattr(of, "__len__") and not hasattr(of, "keys")
    ):
        raise UsageError(
            f"{name}: {type(values).__name__} is no sequence (a list, a tuple, a range or a "
            "string), so that it does not say which value comes first"
        )
    found: Sequence[ItemT] = values
    if of not in _FIXED:
        worker: Any = contexts.get(get_ident())
        if worker is not None and not worker.uncontrolled and worker.hub.phase is Phase.RUN:
            worker.access(READ, values, None, _site())  # others may change it
            found = tuple(values)
            worker.saw(found)
        else:
            found = tuple(values)
    if not found and not empty:
        raise UsageError(f"{name}: there is nothing to choose among")
    return found


def _site() -> Site:
    at = caller(None, 4)
    site = _sites.get(at)
    if site is None:
        file, _, line = at.rpartition(":")
        site = _sites[at] = Site(file, int(line) if line.isdecimal() else 0, "")
    return site


def _told(values: Iterable[object]) -> Value:
    found = [*values]
    if len(found) <= _LISTED:
        return [shown(value) for value in found]
    return f"{len(found):,} values from {shown(found[0])!r} to {shown(found[-1])!r}"


def _number(name: str, count: int, told: Value, value: Callable[[int], object]) -> int:
    """The number of the value that is taken. ``value`` gives that, for the trace."""
    worker: Any = contexts.get(get_ident())
    if worker is None:
        with _drawing:
            return _generator.randrange(count)
    hub = worker.hub
    if hub.phase is Phase.UNWIND:
        return 0  # nothing that comes of it is looked at
    if hub.phase is Phase.CHECK:
        raise UsageError(f"{name} in the check: it looks at what has happened, and chooses nothing")
    at = caller(None, 3)
    if worker.uncontrolled or hub.phase is Phase.IDLE:
        _not_tried(hub, f"{name} at {at}, in code that is not under control: the first value alone")
        return 0
    if not offers_all(count):
        _not_tried(hub, f"{name} at {at}, of {count:,} values: a few alone are tried")
    op = Op(CHOOSE, -1, at, body=Alternatives(name, count, told))
    if hub.phase is Phase.SETUP:
        if hub.unrecorded is not None:  # with a record it is a step
            hub.unrecorded.beyond = True
            raise ScheduleOver
        number: int = hub.controller.step_before(worker.number, op)
    else:
        number = worker.do(op)
    op.remark = _in_words(value(number))
    return number


def _not_tried(hub: Any, what: str) -> None:
    if hub.account is not None:
        hub.account.account.chance.add(what)


def _in_words(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_in_words, value[:_LISTED]))}]"
    told = shown(value)
    return repr(told) if type(value) is str else str(told)

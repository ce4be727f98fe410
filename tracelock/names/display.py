"""A trace as people read it: the same events, with short names.

Stable names are long, since they have to mean the same in each schedule and on each machine. A view
shows a trace that ``for_display`` made, and is otherwise the same for traces of scenarios, whose
names are short, and of real code. What is saved, replayed or given to programs keeps the stable
ones.

What is called by an attribute or a variable is so because the trace says it (``names`` in its
header, which is worked out from the syntax tree at the call that created the object) or because the
access itself was recorded; nothing is guessed from a line of source. What is not known is called
after what it is, and where it was made (``lock@pool.py:41``).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from tracelock.names.parts import CREATED, MET, Parts, Taker
from tracelock.names.unique import unique
from tracelock.names.workers import worker_display
from tracelock.ops import KIND_OF, ON_VARIABLE
from tracelock.trace import Blocked, Trace, Verdict, story
from tracelock.trace.model import NAMES
from tracelock.trace.network import DIRECTIONS

__all__ = ["DisplayNames", "display_names", "for_display"]

#: In the header of a trace that has short names, which are not made shorter again.
MARK: Final = "display"
#: What an object is, by what is done with it; the first that fits.
_KINDS: Final = (
    ("connection", {"transmit"}), ("condition", {"notify"}), ("queue", {"put", "get"}),
    ("lock", {"acquire", "release"}), ("event", {"set", "clear"}), ("object", set[str]()),
)  # fmt: skip
_WORD: Final = r"[\w#@/\[\]<>]"


def for_display(trace: Trace, *beside: Trace) -> Trace:
    """The trace with short names, for a view; itself where its names are short.

    ``beside``: others of the same program that are shown with it, as its twin, so that all have one
    set of names.
    """
    return display_names(trace, *beside).of(trace)


def display_names(*traces: Trace) -> DisplayNames:
    """The short names for these traces, which are of one program."""
    return DisplayNames(traces)


@dataclass(frozen=True)
class DisplayNames:
    """The short names of some traces. No two workers or objects have one name."""

    traces: tuple[Trace, ...]

    @cached_property
    def table(self) -> Mapping[str, str]:
        """Stable name -> short name: of workers, and of all that events and verdicts name."""
        if not any(map(_is_code, self.traces)):
            return {}
        return _table(self.traces)

    def name(self, stable: str) -> str:
        """The short name of a worker or an object."""
        return self.table.get(stable, stable)

    def text(self, text: str) -> str:
        """A sentence of the tool's own with the short names in it."""
        return self._replaced(text, self._pattern)

    def _replaced(self, text: str, pattern: re.Pattern[str] | None) -> str:
        return text if pattern is None else pattern.sub(lambda found: self.table[found[0]], text)

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        return _any_of(name for name, short in self.table.items() if name != short)

    @cached_property
    def _composed(self) -> re.Pattern[str] | None:
        # in what the program says, a name of one word may be any word, or that of a function
        changed = (name for name, short in self.table.items() if name != short)
        return _any_of(name for name in changed if any(char in name for char in "@#/"))

    def of(self, trace: Trace) -> Trace:
        """A trace with these names; it shares the columns of events with the one given."""
        table = self.table
        if not table or trace.extra.get(MARK) is True:
            return trace
        return replace(
            trace,
            workers=[self.name(name) for name in trace.workers],
            events=trace.events.renamed(table),
            verdict=self._verdict(trace.verdict),
            extra={**trace.extra, MARK: True},
        )

    def _verdict(self, verdict: Verdict) -> Verdict:
        blocked = [self._blocked(one) for one in verdict.blocked]
        long = story(verdict.blocked)
        message = verdict.message
        if long and message.startswith(long):
            message = story(blocked) + self.text(message.removeprefix(long))
        else:
            message = self._replaced(message, self._composed)
        state = {self.name(name): value for name, value in verdict.state.items()}
        return replace(verdict, message=message, state=state, blocked=blocked)

    def _blocked(self, one: Blocked) -> Blocked:
        return replace(
            one, worker=self.name(one.worker), target=self.name(one.target),
            holder=[self.name(name) for name in one.holder],
        )  # fmt: skip


def _is_code(trace: Trace) -> bool:
    return isinstance(trace.scenario.get("python"), Mapping) and trace.extra.get(MARK) is not True


def _any_of(names: Iterable[str]) -> re.Pattern[str] | None:
    """What finds these names in a text where they stand alone, the longest first."""
    either = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    return re.compile(rf"(?<!{_WORD})(?:{either})(?!{_WORD})") if either else None


def _table(traces: Iterable[Trace]) -> dict[str, str]:
    workers: dict[str, None] = {}
    used: dict[str, set[str]] = {}
    told: dict[str, str] = {}
    test = False
    for trace in traces:
        workers.update(dict.fromkeys(trace.workers))
        python: Any = trace.scenario.get("python") or {}
        test = test or isinstance(python.get("pytest"), str)
        names = trace.extra.get(NAMES)
        if isinstance(names, Mapping):
            told |= {key: one for key, one in names.items() if type(one) is str}
        for shape in trace.events.table:
            if shape.target is not None:
                used.setdefault(shape.target, set()).add(shape.op)
        for one in trace.verdict.blocked:
            used.setdefault(one.target, set()).add(one.op)
        used |= {name: set() for name in trace.verdict.state if name not in used}
    people = worker_display([*workers], told, test)
    return {**_objects(used, people, told), **people}


def _objects(
    used: Mapping[str, set[str]], workers: Mapping[str, str], told: Mapping[str, str]
) -> dict[str, str]:
    """Short names for the objects and their parts. ``used``: what is done with each."""
    taker = Taker(workers)
    parts = {name: taker.parts(name) for name in used if name not in workers}
    wholes: dict[str, Parts] = {}
    done: defaultdict[str, set[str]] = defaultdict(set)
    for name, one in parts.items():
        wholes.setdefault(one.label, one)
        if not one.rest:
            done[one.label] |= used[name]
        # what is put into a direction of a connection and got out of it
        elif one.rest in DIRECTIONS and used[name] & {"put", "get"}:
            done[one.label].add("transmit")
    # what is called by the variable that has it, which is a part of another object
    holders = {
        label: taker.parts(told[label]) for label, one in [*wholes.items()]
        if one.kind in (CREATED, MET)
        and (holder := taker.parts(told.get(label, ""))).kind == MET
        and (holder.rest or one.kind == CREATED)
    }  # fmt: skip
    for one in [*holders.values()]:
        wholes.setdefault(one.label, one)
    numbers: defaultdict[str, dict[str, int]] = defaultdict(dict)  # of the objects of a class
    made_at: defaultdict[str, set[str]] = defaultdict(set)  # where what has a name was created
    for label, one in wholes.items():
        if one.kind == MET:
            numbers[one.word][label] = len(numbers[one.word]) + 1
        if label in told:
            made_at[told[label]].add(one.at)
    candidates: dict[str, list[str]] = {}
    for label, one in wholes.items():
        if label in holders:
            continue
        if one.kind == MET and label in told:  # a variable that functions share has no object
            names = [told[label]]
        elif one.kind == MET:
            alike = numbers[one.word]
            names = [one.word if len(alike) == 1 else f"{one.word}#{alike[label]}"]
        elif one.kind == CREATED:
            kind = next(word for word, some in _KINDS if some & done[label] or not some)
            place = f"{kind}@{one.at}"
            names = [place]
            if told.get(label):
                several = len(made_at[told[label]]) > 1
                names = [told[label]] + ([f"{told[label]}@{one.at}"] if several else [])
        else:
            names = [_without_workers(label, workers)]
        candidates[label] = [*dict.fromkeys(names)]
    short = unique(candidates, workers.values())
    of_holders = {label: [f"{short[one.label]}{one.rest}"] for label, one in holders.items()}
    short |= unique(of_holders, {*short.values(), *workers.values()})
    whole = {
        name: [f"{short[one.label]}{one.rest}".lstrip(".") or name, name]
        for name, one in parts.items()
    }
    variables = {
        name for name, ops in used.items() if ops and all(KIND_OF[op] in ON_VARIABLE for op in ops)
    }
    for name in variables & whole.keys():
        whole[name].insert(1, f"attribute {whole[name][0]}")
    return unique(whole, workers.values(), whole.keys() - variables)


def _without_workers(name: str, workers: Mapping[str, str]) -> str:
    """A name of another form with the short names of the workers in it."""
    for worker in sorted(workers, key=len, reverse=True):
        if len(worker) > 3 and worker in name:
            return name.replace(worker, workers[worker])
    return name

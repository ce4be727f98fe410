"""What the debugger says: where the replay stands, who is where, why another worker goes on."""

from __future__ import annotations

import linecache
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tracelock.debugger.stops import BREAKPOINT, END, FAILURE, LINE, Standstill
from tracelock.debugger.workers import name_in
from tracelock.errors import UsageError
from tracelock.report.timeline import Reasons
from tracelock.report.wording import clean, describe, outcome_name

if TYPE_CHECKING:
    from tracelock.debugger.reversible import Reversible
    from tracelock.debugger.workers import WorkerState


def heading(replay: Reversible, stop: Standstill) -> Iterator[str]:
    """Where the replay stands, in a line or two."""
    name = "" if stop.worker is None else clean(name_in(replay.watch.hub, stop.worker))
    event = replay.event()
    if stop.kind == FAILURE:
        text = clean(stop.text.split("\n")[0])
        yield f"-- failure in {name}: {text}" if stop.error is not None else f"-- {text} ({name})"
        return
    if event is None:
        after = f"after event {replay.last}, the last"
    else:
        mine = clean(replay.trace.workers[event.worker])
        after = f"next: event {event.seq} of {replay.last}, {mine}: {told(replay, event)}"
    if stop.kind in (LINE, BREAKPOINT):
        what = "breakpoint()" if stop.kind == BREAKPOINT else "line"
        yield f"-- {what} in {name}; {after}"
    else:
        yield f"-- {after}"


def told(replay: Reversible, event: Any) -> str:
    """What an event does, and where."""
    names = [clean(name) for name in replay.trace.workers]
    return f"{describe(event, names)}  ({clean(event.at)})"


def over(stop: Standstill, left_behind: Sequence[str] = ()) -> Iterator[str]:
    """How the replay has ended. ``left_behind``: what earlier ones have, and what cannot be put
    back."""
    result = stop.result
    if result is None:
        yield "-- the replay is over"
        return
    if result.diverged is not None:
        yield f"-- the replay diverged: {clean(str(result.diverged))}"
        if left_behind:
            yield (
                f"   an earlier one has left behind: {clean(', '.join(left_behind[:3]))}; in a new "
                f"process (--at {stop.seq}) it may not"
            )
        return
    name = outcome_name(result.verdict.kind, result.verdict.failure)
    same = "as the trace says" if result.reproduced else "which is not what the trace says"
    yield f"-- the replay is over: {name}, {same}"


def moved(
    replay: Reversible, move: Callable[[], Standstill], wanted: Callable[[Standstill], bool],
    say: Callable[[str], None], complain: Callable[[str], None],
) -> Standstill:  # fmt: skip
    """Make a move, and go on to where it is ``wanted`` to stop (asked of lines with a breakpoint).

    A move that there is not is told by ``complain``, and the replay stands where it stood; how it
    ended is told by ``say``, and it stands before its last event then, of kind ``end`` where it
    cannot.
    """
    try:
        stop = move()
        while stop.kind == LINE and not wanted(stop):
            stop = replay.proceed()
    except UsageError as error:
        complain(str(error))
        stop = replay.stop
    if stop.kind == END:
        for line in over(stop, replay.left_behind):
            say(line)
        stop = replay.last_stop(stop)
    return stop


def listing(workers: Sequence[WorkerState], shown: int | None) -> Iterator[str]:
    """A line for each worker."""
    if not workers:
        yield "no worker has begun"
        return
    width = max(len(clean(one.name)) for one in workers)
    place = max(len(clean(one.at)) for one in workers)
    for one in workers:
        mark = (">" if one.goes_on else " ") + ("*" if one.number == shown else " ")
        row = f"{mark} {clean(one.name):{width}}  {clean(one.at):{place}}  {clean(one.state)}"
        yield row.rstrip()
        line = source_line(one)
        if line:
            yield f"   {'':{width}}  {line}"


def source_line(one: WorkerState) -> str:
    """The line that a worker is at."""
    if not one.stack:
        return ""
    frame, number = one.stack[-1]
    return clean(linecache.getline(frame.f_code.co_filename, number).strip())


def place_of_worker(one: WorkerState) -> str:
    return f"-- {clean(one.name)}: {clean(one.state)}"


def next_switch(replay: Reversible) -> Iterator[str]:
    """Why another worker goes on next, and before which event."""
    events, seq = replay.trace.events, replay.stop.seq
    workers = events.workers
    for number in range(max(1, seq), len(events)):
        if workers[number] != workers[number - 1]:
            event = events[number]
            switch = Reasons(replay.trace).at(event)
            assert switch is not None
            names = [clean(name) for name in replay.trace.workers]
            yield f"before event {number}: {names[switch.left]} {switch.text}"
            yield f"  {names[event.worker]} goes on: {told(replay, event)}"
            return
    if seq >= len(events):
        yield "no worker goes on any more: the trace ends here"
        return
    who = clean(replay.trace.workers[workers[-1]])
    yield f"no other worker goes on any more: {who} makes all steps up to the end"

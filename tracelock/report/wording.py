"""Events, values and verdicts in words, the same in every kind of report. Pure: data in, text out.

Names and values come from files that anybody may have written: what is given out here holds no
character that a terminal or a browser would act on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from tracelock.trace import MISSING, Blocked, Event, Verdict, story
from tracelock.trace.crashes import crash_of

LONGEST_VALUE: Final = 60  # characters of one value

_GOT: Final = {
    "acquire": "not got", "put": "not put", "wake": "not woken", "wait": "not woken",
    "join": "not ended",
}  # fmt: skip


def clean(text: str) -> str:
    """``text`` on one line, everything that is not printable (escape codes, ...) made visible."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode()
        for char in text
    )


def clean_lines(text: str) -> str:
    """``text`` with all that is not printable made visible, but for the ends of its lines."""
    return "\n".join(map(clean, text.split("\n")))


def shown(value: Any) -> str:
    """A value as JSON writes it, cut where it gets long."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    text = clean(text)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."


def seconds(value: Any) -> str:
    """A duration in seconds, for people: ``0.05 s``."""
    return f"{value:g} s" if isinstance(value, int | float) else shown(value)


def step_of(at: str) -> str:
    """A step without the worker, which its column names anyway: ``steps[0].do[1]``."""
    parts = at.split(".", 2)
    return parts[2] if len(parts) == 3 and parts[0] == "workers" else at


def by_timer(event: Event) -> bool:
    """Whether it was a timer that made this event happen: a sleep's end, a timeout."""
    if event.op in ("sleep", "timeout"):
        return True
    if not isinstance(event.timeout, int | float) or event.timeout <= 0:
        return False
    empty = isinstance(event.result, dict) and event.result.get("error") == "Empty"
    return event.result is False or empty


def describe(event: Event, workers: Sequence[str]) -> str:
    """What one event did: ``write counter = 1``, ``acquire account[1]: not got, timed out``."""
    target = clean(event.target) if event.target is not None else ""
    head = f"{clean(event.op)} {target}".rstrip()
    result = event.result
    if isinstance(result, dict) and set(result) == {"error"}:
        error = result["error"]
        if event.op == "get" and error == "Empty":
            return f"{head}: {_ran_out(event, 'empty')}"
        return f"{head}: raises {clean(str(error))}"
    if result is False and event.op in _GOT:
        return f"{head}: {_ran_out(event, _GOT[event.op])}"
    if event.op in _WORDS:
        return head + _WORDS[event.op](event, workers)
    return head + _given(" = ", event.value)


def _ran_out(event: Event, what: str) -> str:
    return f"{what}, timed out" if by_timer(event) else what


def _given(before: str, value: Any, after: str = "") -> str:
    return "" if value is MISSING else f"{before}{shown(value)}{after}"


def _result(event: Event, workers: Sequence[str]) -> str:
    return _given(" = ", event.result)


def _atomic(event: Event, workers: Sequence[str]) -> str:
    parts = [told] if (told := _set_to(event)) else []
    for word, held in (("read", event.result), ("write", event.value)):
        if isinstance(held, Mapping):
            parts += [f"{word} {clean(str(name))} = {shown(value)}" for name, value in held.items()]
    return f": {', '.join(parts)}" if parts else ""


def _wait(event: Event, workers: Sequence[str]) -> str:
    return "" if event.result in (MISSING, None, True) else f" = {shown(event.result)}"


def _notify(event: Event, workers: Sequence[str]) -> str:
    if not isinstance(event.result, list):
        return ""
    woken = [
        clean(workers[number]) if isinstance(number, int) and 0 <= number < len(workers)
        else shown(number)
        for number in event.result
    ]  # fmt: skip
    return f": wakes {', '.join(woken) or 'nobody'}"


def _call(event: Event, workers: Sequence[str]) -> str:
    arguments = ", ".join(map(shown, event.value)) if isinstance(event.value, list) else ""
    result = "" if event.result in (MISSING, None) else f" = {shown(event.result)}"
    return f"({arguments}){result}"


def chosen(event: Event) -> str:
    """The value that was chosen, or its number, and out of what."""
    told = event.extra.get("chosen")
    taken = clean(told) if isinstance(told, str) else f"value {shown(event.result)}"
    among = event.value
    if isinstance(among, list):
        among = ", ".join(map(shown, among))
    elif isinstance(among, str):
        among = clean(among)
    else:
        among = shown(among)
    return f"{taken} (of {among})"


def _set_to(event: Event) -> str:
    """What a direction of a connection is from then on, where it is not just over."""
    told = event.extra.get("to")
    return f" to {clean(told)}" if isinstance(told, str) else ""


def crashed(event: Event) -> str:
    """What a crash of the machine has left."""
    told = crash_of(event.extra.get("chosen"))
    if told is None or not told.lost:
        return "the machine crashes, and nothing is lost"
    kept = f", and keeps {_list(told.durable)}" if told.durable else ""
    return clean(f"the machine crashes: it loses {_list(told.lost)}{kept}")


def _list(texts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(texts[:-1]), texts[-1])))


#: What follows the operation and its target; of other operations the value, if there is one.
_WORDS: Final[Mapping[str, Callable[[Event, Sequence[str]], str]]] = {
    "read": _result, "get": _result, "wait": _wait, "wake": _wait, "notify": _notify,
    "atomic": _atomic, "call": _call,
    "compare_exchange": lambda event, _: (
        f": {shown(event.expect)} -> {shown(event.value)}, "
        f"{'done' if event.result is True else 'refused'}"
    ),
    "exchange": lambda event, _: f" = {shown(event.value)}, was {shown(event.result)}",
    "fetch_add": lambda event, _: f" by {shown(event.value)}, was {shown(event.result)}",
    "release": lambda event, _: _given(" ", event.n, " times"),
    "set": lambda event, _: _set_to(event) or _given(" = ", event.value),
    "request": lambda event, _: ": queues",
    "choose": lambda event, _: f" = {chosen(event)}",
    "sleep": lambda event, _: "" if event.value is MISSING else f" {seconds(event.value)}",
    "timeout": lambda event, _: ": cuts its block off",
}  # fmt: skip


# --- verdicts --------------------------------------------------------------------------------
_WAITS: Final = {
    "join": "waits for {} to end", "sleep": "sleeps", "put": "waits for room in {}",
    "get": "waits for something to get from {}",
}  # fmt: skip


def waits(one: Blocked) -> str:
    """What a worker waits for at the end: ``waits for account[1] (held by transfer[1])``."""
    target = clean(one.target)
    if one.op in _WAITS:
        return _WAITS[one.op].format(target)
    held = ""
    if one.holder:
        names = ["itself" if name == one.worker else clean(name) for name in one.holder]
        held = f" (held by {', '.join(names)})"
    verb = "waits at" if one.op == "wait" else "waits for"
    return f"{verb} {target}{held}" if target else f"waits ({clean(one.op)})"


def counted(count: int, word: str, ending: str = "s") -> str:
    """``1 event``, ``2,000 events``."""
    return f"{count:,} {word}{'' if count == 1 else ending}"


def outcome_name(kind: str, failure: str | None) -> str:
    """The short name of an outcome: ``deadlock``, ``failed (finally)``."""
    return f"{clean(kind)} ({clean(failure)})" if failure else clean(kind)


def state_text(state: Mapping[str, Any]) -> str:
    """The shared variables on one line: ``balance = [100, 100], ready = true``."""
    return ", ".join(f"{clean(str(name))} = {shown(value)}" for name, value in state.items())


class Said(NamedTuple):
    """One thing that a verdict says: ``at`` is the place it speaks of, if any, and ``more`` the
    further lines of a message of several (a traceback)."""

    text: str
    at: str | None
    more: list[str]


def said_of(verdict: Verdict, workers: Sequence[str]) -> list[Said]:
    """What a verdict says beyond its name, for somebody who sees one for the first time: the
    message of a failure, and each worker that waits."""
    waiting = [Said(f"{clean(one.worker)} {waits(one)}", one.at, []) for one in verdict.blocked]
    first, *rest = verdict.message.split("\n")
    more = [clean(line) for line in rest if line.strip()]
    if verdict.kind == "failed" and verdict.worker is not None:
        known = 0 <= verdict.worker < len(workers)
        name = workers[verdict.worker] if known else f"worker {verdict.worker}"
        return [Said(clean(f"{name} failed: {first}"), verdict.at, more), *waiting]
    if verdict.kind == "deadlock" and verdict.blocked:
        told = verdict.message.removeprefix(story(verdict.blocked)).removeprefix("; ")
        lines = [one.split("\n") for one in told.split("; ") if one and told != verdict.message]
        return [*waiting, *(Said(clean(one), None, list(map(clean, more))) for one, *more in lines)]
    if first:
        at = verdict.at if verdict.kind == "failed" else None
        return [Said(clean(first), at, more), *waiting]
    return waiting

"""Events, values and verdicts in words, the same in every kind of report. Pure: data in, text out.

Names and values come from files that anybody may have written: what is given out here holds no
character that a terminal or a browser would act on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from tracelock.trace import MISSING, Blocked, Event, Verdict

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
    words = _WORDS.get(event.op)
    if words is not None:
        return words(event, head, workers)
    if event.value is not MISSING:
        return f"{head} = {shown(event.value)}"
    return head


def _ran_out(event: Event, what: str) -> str:
    return f"{what}, timed out" if by_timer(event) else what


def _read(event: Event, head: str, workers: Sequence[str]) -> str:
    return head if event.result is MISSING else f"{head} = {shown(event.result)}"


def _compare_exchange(event: Event, head: str, workers: Sequence[str]) -> str:
    done = "done" if event.result is True else "refused"
    return f"{head}: {shown(event.expect)} -> {shown(event.value)}, {done}"


def _exchange(event: Event, head: str, workers: Sequence[str]) -> str:
    return f"{head} = {shown(event.value)}, was {shown(event.result)}"


def _fetch_add(event: Event, head: str, workers: Sequence[str]) -> str:
    return f"{head} by {shown(event.value)}, was {shown(event.result)}"


def _atomic(event: Event, head: str, workers: Sequence[str]) -> str:
    parts = []
    for word, held in (("read", event.result), ("write", event.value)):
        if isinstance(held, Mapping):
            parts += [f"{word} {clean(str(name))} = {shown(value)}" for name, value in held.items()]
    return f"{head}: {', '.join(parts)}" if parts else head


def _counted(event: Event, head: str, workers: Sequence[str]) -> str:
    return head if event.n is MISSING else f"{head} {shown(event.n)} times"


def _request(event: Event, head: str, workers: Sequence[str]) -> str:
    return f"{head}: queues"


def _wait(event: Event, head: str, workers: Sequence[str]) -> str:
    return head if event.result in (MISSING, None, True) else f"{head} = {shown(event.result)}"


def _notify(event: Event, head: str, workers: Sequence[str]) -> str:
    if not isinstance(event.result, list):
        return head
    woken = [
        clean(workers[number]) if isinstance(number, int) and 0 <= number < len(workers)
        else shown(number)
        for number in event.result
    ]  # fmt: skip
    return f"{head}: wakes {', '.join(woken) or 'nobody'}"


def _sleep(event: Event, head: str, workers: Sequence[str]) -> str:
    return head if event.value is MISSING else f"{head} {seconds(event.value)}"


def _get(event: Event, head: str, workers: Sequence[str]) -> str:
    return head if event.result is MISSING else f"{head} = {shown(event.result)}"


def _timeout(event: Event, head: str, workers: Sequence[str]) -> str:
    return f"{head}: cuts its block off"


def _call(event: Event, head: str, workers: Sequence[str]) -> str:
    arguments = ", ".join(map(shown, event.value)) if isinstance(event.value, list) else ""
    result = "" if event.result in (MISSING, None) else f" = {shown(event.result)}"
    return f"{head}({arguments}){result}"


_WORDS: Final = {
    "read": _read, "compare_exchange": _compare_exchange, "exchange": _exchange,
    "fetch_add": _fetch_add, "atomic": _atomic, "release": _counted, "request": _request,
    "wait": _wait, "wake": _wait, "notify": _notify, "sleep": _sleep, "get": _get,
    "timeout": _timeout, "call": _call,
}  # fmt: skip


# --- verdicts --------------------------------------------------------------------------------
def waits(one: Blocked) -> str:
    """What a worker waits for at the end: ``waits for account[1] (held by transfer[1])``."""
    target = clean(one.target)
    if one.op == "join":
        return f"waits for {target} to end"
    if one.op == "sleep":
        return "sleeps"
    if one.op == "get":
        return f"waits for something to get from {target}"
    if one.op == "put":
        return f"waits for room in {target}"
    held = ""
    if one.holder:
        names = ["itself" if name == one.worker else clean(name) for name in one.holder]
        held = f" (held by {', '.join(names)})"
    verb = "waits at" if one.op == "wait" else "waits for"
    return f"{verb} {target}{held}" if target else f"waits ({clean(one.op)})"


def outcome_name(kind: str, failure: str | None) -> str:
    """The short name of an outcome: ``deadlock``, ``failed (finally)``."""
    return f"{clean(kind)} ({clean(failure)})" if failure else clean(kind)


def state_text(state: Mapping[str, Any]) -> str:
    """The shared variables on one line: ``balance = [100, 100], ready = true``."""
    return ", ".join(f"{clean(str(name))} = {shown(value)}" for name, value in state.items())


def verdict_lines(verdict: Verdict, workers: Sequence[str]) -> list[tuple[str, str | None]]:
    """What a verdict says beyond its name, for somebody who sees one for the first time.

    A line for each worker that waits, the message of a failure; with each the step's path (as
    the trace has it) that is to follow after "at", or None.
    """
    lines: list[tuple[str, str | None]] = []
    at = verdict.at if verdict.kind == "failed" else None
    if verdict.kind == "failed" and verdict.worker is not None:
        known = 0 <= verdict.worker < len(workers)
        name = workers[verdict.worker] if known else f"worker {verdict.worker}"
        lines += _message(f"{name} failed: {verdict.message}", at)
    elif verdict.message and not (verdict.kind == "deadlock" and verdict.blocked):
        lines += _message(verdict.message, at)
    lines += [(f"{clean(one.worker)} {waits(one)}", one.at) for one in verdict.blocked]
    return lines


def _message(text: str, at: str | None) -> list[tuple[str, str | None]]:
    """A message, the first line with its place; of real code a traceback follows."""
    first, *rest = text.split("\n")
    return [(clean(first), at), *((clean(line), None) for line in rest)]


class Said(NamedTuple):
    """One thing that a verdict says: ``at`` is the place it speaks of, if any, and ``more`` the
    further lines of a message of several (a traceback)."""

    text: str
    at: str | None
    more: list[str]


def said_of(verdict: Verdict, workers: Sequence[str]) -> list[Said]:
    """``verdict_lines``, the first line of a message with the others beneath it."""
    message, *more = verdict.message.split("\n")
    lines = verdict_lines(replace(verdict, message=message), workers)
    found = [Said(text, at, []) for text, at in lines]
    if found and not (verdict.kind == "deadlock" and verdict.blocked):
        found[0].more.extend(clean(line) for line in more if line.strip())
    return found

"""Traces made by hand: one line an event, ``worker op target [-> result]``."""

from __future__ import annotations

import json
from typing import Any

from tracelock.trace import MISSING, Blocked, Events, Trace, Verdict

RESULTS: dict[str, Any] = {"acquire": True, "wake": True, "put": True, "join": True}


def trace_of(
    text: str,
    objects: dict[str, Any] | None = None,
    *,
    backend: str = "threading",
    enabled: bool = False,
    verdict: Verdict | None = None,
    scenario: dict[str, Any] | None = None,
    apart: int = 1,
) -> Trace:
    """A trace, of a passing run unless told otherwise. One line is one event:

    worker's name, op, target (``.``: none; JSON where it begins with a quote), then in any order
    ``-> RESULT`` (JSON; acquire, wake, put and join succeed unless told otherwise), ``= VALUE``
    (JSON), ``@ PATH`` (else one made of the worker, op and target), ``timeout=S``, ``n=N`` and
    ``!`` (a choice was made here, in a controlled trace: ``enabled``; ``!0,2``: these workers could
    have gone instead), ``waited=NS``, ``raised=NAME``, ``chosen=TEXT`` (JSON) and ``swallowed``
    (the optional keys).
    Events are ``apart`` ns from each other.
    """
    rows = [line.split() for line in text.strip().splitlines() if line.strip()]
    names = list(dict.fromkeys(row[0] for row in rows))
    events = Events()
    for row in rows:
        name, op, target = row[:3]
        target = json.loads(target) if target.startswith('"') else target
        options: dict[str, Any] = {}
        rest = row[3:]
        at, timeout, n, chosen = f"{name}.{op}.{target}", MISSING, MISSING, False
        others: list[int] = []
        extra: dict[str, Any] = {}
        while rest:
            word = rest.pop(0)
            if word == "->":
                options["result"] = json.loads(rest.pop(0))
            elif word == "=":
                options["value"] = json.loads(rest.pop(0))
            elif word == "@":
                at = rest.pop(0)
            elif word.startswith("timeout="):
                timeout = float(word[8:])
            elif word.startswith("n="):
                n = int(word[2:])
            elif word.startswith("raised="):
                extra["raised"] = word[7:]
            elif word.startswith("chosen="):
                extra["chosen"] = json.loads(word[7:])
            elif word == "swallowed":
                extra["swallowed"] = True
            elif word.startswith("waited="):
                options["waited"] = int(word[7:])
            elif word.startswith("!"):
                chosen = True
                others = [int(number) for number in word[1:].split(",") if number]
        if op in RESULTS:
            options.setdefault("result", RESULTS[op])
        shape = events.shape(op, None if target == "." else target, at, timeout, n)
        events.append(
            names.index(name), shape, len(events) * apart,
            enabled=others if enabled and chosen else None, **options,
        )  # fmt: skip
        if extra:
            events.extras[len(events) - 1] = extra
    document = {"objects": objects or {}} if scenario is None else scenario
    mode = "controlled" if enabled else "recorded"
    end = verdict or Verdict("passed")
    return Trace(document, backend, mode, None, "real", {}, names, events, end)


def stuck(*waits: str, kind: str = "deadlock") -> Verdict:
    """A verdict with blocked workers, each told as ``worker op target [holder...]``."""
    rows = [wait.split() for wait in waits]
    blocked = [Blocked(row[0], row[1], row[2], f"{row[0]}.end", row[3:]) for row in rows]
    return Verdict(kind, blocked=blocked)

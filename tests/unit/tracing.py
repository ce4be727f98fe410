"""Traces made by hand: one line an event, ``worker op target [-> result]``."""

from __future__ import annotations

import json
from typing import Any

from tracelock.trace import MISSING, Events, Trace, Verdict

RESULTS: dict[str, Any] = {"acquire": True, "wake": True, "put": True, "join": True}


def trace_of(
    text: str,
    objects: dict[str, Any] | None = None,
    *,
    backend: str = "threading",
    enabled: bool = False,
) -> Trace:
    """A passing trace. Each line: worker's name, op, target (``.``: none), then in any order

    ``-> RESULT`` (JSON; acquire, wake, put and join succeed unless told otherwise), ``= VALUE``
    (JSON), ``@ PATH`` (else one made of the worker, op and target), ``timeout=S``, ``n=N`` and
    ``!`` (a choice was made here, in a controlled trace: ``enabled``).
    """
    rows = [line.split() for line in text.strip().splitlines() if line.strip()]
    names = list(dict.fromkeys(row[0] for row in rows))
    events = Events()
    for row in rows:
        name, op, target = row[:3]
        options: dict[str, Any] = {}
        rest = row[3:]
        at, timeout, n, chosen = f"{name}.{op}.{target}", MISSING, MISSING, False
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
            elif word == "!":
                chosen = True
        if op in RESULTS:
            options.setdefault("result", RESULTS[op])
        shape = events.shape(op, None if target == "." else target, at, timeout, n)
        events.append(
            names.index(name), shape, len(events),
            enabled=[] if enabled and chosen else None, **options,
        )  # fmt: skip
    scenario = {"objects": objects or {}}
    mode = "controlled" if enabled else "recorded"
    return Trace(scenario, backend, mode, None, "real", {}, names, events, Verdict("passed"))

"""Small random scenarios, the same for the same seed, with few enough runs to try them all.

Each draws on one *theme*, a kind of object or step, and on plain variables. Its size is bounded
before it is made, by the number of ways in which its events could be interleaved if nothing ever
waited; a draw that is too large is drawn again, from the same seed.
"""

from __future__ import annotations

import random
from math import comb
from typing import Any

OBJECTS: dict[str, Any] = {
    "m": "lock",
    "n": "lock",
    "r": "rlock",
    "s": {"type": "semaphore", "value": 1},
    "t": {"type": "bounded_semaphore", "value": 2},
    "c": {"type": "condition", "lock": "m"},
    "e": "event",
    "b": {"type": "barrier", "parties": 2},
    "q": {"type": "queue", "maxsize": 1},
    "p": {"type": "queue", "order": "lifo"},
}

PLAIN: list[Any] = [
    {"write": "x", "value": "x + 1"},
    {"write": "x", "value": 2},
    {"write": "y", "value": "index + 1"},
    {"read": "x", "into": "l"},
    {"read": "y", "into": "l"},
    {"fetch_add": "x", "by": 1},
    {"if": "x > 0", "then": [{"write": "y", "value": 3}]},
    "checkpoint",
]

THEMES: dict[str, list[Any]] = {
    "variables": [
        {"exchange": "x", "value": "index", "into": "l"},
        {"compare_exchange": "x", "expect": 0, "value": 5, "into": "l"},
        {"compare_exchange": "x", "expect": 2, "value": 0, "into": "l"},
        {"assert": "x < 3"},
        {"if": "x == y", "then": [{"fail": "no"}]},
    ],
    "atomics": [
        {"atomic": [{"read": "x", "into": "l"}, {"write": "y", "value": "l"}]},
        {"atomic": [{"if": "x > 0", "then": [{"write": "y", "value": 1}]}]},
        {"atomic": [{"read": "x", "into": "l"}, {"if": "l == 2", "then": [
            {"read": "z", "into": "l"}], "else": [{"write": "z", "value": 4}]}]},
        {"atomic": [{"read": "y", "into": "l"}, {"read": "z", "into": "k"}]},
        {"write": "z", "value": "index"},
        {"compare_exchange": "z", "expect": 0, "value": 2, "into": "l"},
    ],
    "locks": [
        {"with": "m", "do": []},
        {"with": "m", "do": [{"write": "y", "value": 7}]},
        {"with": "m", "do": [{"with": "n", "do": []}]},
        {"with": "n", "do": [{"with": "m", "do": []}]},
        {"acquire": "m", "blocking": False, "into": "l"},
        {"acquire": "n"},
        {"release": "n"},
        {"if": "x > 1", "then": [{"acquire": "m"}]},
    ],
    "rlocks": [
        {"with": "r", "do": []},
        {"with": "r", "do": [{"with": "r", "do": []}]},
        {"acquire": "r"},
        {"release": "r"},
        {"acquire": "r", "blocking": False, "into": "l"},
        {"with": "m", "do": [{"acquire": "r"}]},
    ],
    "semaphores": [
        {"acquire": "s"},
        {"release": "s"},
        {"acquire": "t"},
        {"release": "t"},
        {"with": "t", "do": [{"with": "s", "do": []}]},
        {"acquire": "s", "blocking": False, "into": "l"},
        {"release": "s", "n": 2},
    ],
    "conditions": [
        {"with": "c", "do": [{"wait": "c"}]},
        {"with": "c", "do": [{"notify": "c"}]},
        {"with": "c", "do": [{"notify": "c", "all": True}]},
        {"with": "c", "do": [{"if": "x == 0", "then": [{"wait": "c"}]}]},
        {"with": "m", "do": [{"write": "x", "value": 1}]},
        {"notify": "c"},
    ],
    "events": [
        {"set": "e"},
        {"set": "e"},
        {"clear": "e"},
        {"wait": "e"},
        {"wait": "e"},
        {"with": "m", "do": [{"wait": "e"}]},
    ],
    "barriers": [
        {"wait": "b"},
        {"wait": "b"},
        {"with": "m", "do": [{"wait": "b"}]},
        {"write": "x", "value": "index"},
    ],
    "queues": [
        {"put": "q", "value": "index"},
        {"put": "q", "value": 8},
        {"get": "q", "into": "l"},
        {"get": "q", "into": "k"},
        {"put": "p", "value": "index"},
        {"get": "p", "into": "l"},
        {"put": "q", "value": 9, "blocking": False, "into": "l"},
        {"get": "q", "blocking": False, "into": "l", "got": "k"},
    ],
    "timeouts": [
        {"sleep": 1},
        {"sleep": 2},
        {"with": "m", "do": [{"sleep": 2}]},
        {"acquire": "m", "timeout": 1, "into": "l"},
        {"acquire": "s", "timeout": 2, "into": "l"},
        {"wait": "e", "timeout": 1, "into": "l"},
        {"set": "e"},
        {"with": "c", "do": [{"wait": "c", "timeout": 1, "into": "l"}]},
        {"with": "c", "do": [{"notify": "c"}]},
        {"get": "q", "into": "l", "timeout": 2, "got": "k"},
        {"put": "q", "value": 1},
        {"wait": "b", "timeout": 1, "into": "l"},
    ],
    "spawning": [
        {"spawn": "late"},
        {"join": "late"},
        {"join": "w1"},
        {"join": "late", "timeout": 1, "into": "l"},
        {"with": "m", "do": [{"spawn": "late"}]},
        {"with": "m", "do": []},
    ],
}  # fmt: skip

#: Steps that tasks have and threads do not; and objects and steps that not all tasks have.
TASKS: list[Any] = [
    {"sleep": 1},
    {"sleep": 0},
    {"cancel": "w0"},
    {"cancel": "w1"},
    {"timeout": 1, "do": [{"acquire": "m"}, {"release": "m"}]},
    {"timeout": 1, "do": [{"wait": "e"}], "into": "l"},
    {"try": [{"wait": "e"}], "finally": [{"write": "y", "value": 5}]},
    {"acquire": "m", "timeout": 1, "into": "l"},
    {"get": "q", "into": "l", "timeout": 2, "got": "k"},
]
_THREADS = ("'r'", "'p'", "'b'", "'clear'")


def events(step: Any) -> int:
    """About the most events that a step can be."""
    if isinstance(step, str):
        return 1
    inner = sum(
        events(part)
        for key in ("do", "then", "else", "try", "finally")
        for part in step.get(key, ())
    )
    reads = sum(str(value).count(name) for key, value in step.items() if key in (
        "value", "if", "assert") for name in ("x", "y", "z"))  # fmt: skip
    if "with" in step:
        return 2 + inner
    if "if" in step or "assert" in step:
        return reads + inner
    if "try" in step:
        return inner
    if "wait" in step:
        return 2 + reads
    return 1 + inner + reads


def timers(step: Any) -> int:
    """How many timers there can be in a step."""
    if isinstance(step, str):
        return 0
    return ("timeout" in step) + sum(
        timers(part) for key in ("do", "then", "else", "try") for part in step.get(key, ())
    )


def ways(counts: list[int]) -> int:
    """In how many ways sequences of these lengths can be interleaved."""
    total, product = 0, 1
    for count in counts:
        total += count
        product *= comb(total, count)
    return product


def generate(seed: int, theme: str, most: int = 3000, early: bool = False) -> dict[str, Any]:
    """A scenario document. ``most``: interleavings at most, if nothing waits. ``early``: its
    timers may fire at any moment, which makes for more of them."""
    draw = random.Random(f"{theme}-{seed}")
    special = THEMES[draw.choice(list(THEMES))] if theme == "tasks" else THEMES[theme]
    if theme == "tasks":
        special = TASKS + [
            step for step in special if not any(word in str(step) for word in _THREADS)
        ]
    while True:
        workers: dict[str, Any] = {}
        for number in range(draw.choice((2, 3, 3, 4))):
            steps = [
                draw.choice(special if draw.random() < 0.7 else PLAIN)
                for _ in range(draw.randint(1, 4))
            ]
            workers[f"w{number}"] = {"steps": steps}
        if "late" in str(workers):
            steps = [draw.choice(special[4:] + PLAIN) for _ in range(draw.randint(0, 2))]
            workers["late"] = {"start": "manual", "steps": steps}
        lists = [worker["steps"] for worker in workers.values()]
        size = ways([sum(events(step) for step in steps) for steps in lists])
        if early:
            size *= 3 ** sum(timers(step) for steps in lists for step in steps)
        wanted = any(step in special for steps in lists for step in steps)
        if wanted and most // 100 <= size <= most:
            break
    used = str(workers)
    return {
        "format": "tracelock-scenario/1",
        "name": f"{theme}-{seed}",
        "shared": {"x": 0, "y": 0, "z": 0},
        "objects": {name: spec for name, spec in OBJECTS.items() if f"'{name}'" in used}
        | ({"m": "lock"} if "'c'" in used else {}),
        "workers": workers,
    }

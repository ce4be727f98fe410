"""Small scenarios that between them use everything, for whoever compares one thing with another."""

from __future__ import annotations

from typing import Any


def scenario(name: str, workers: dict[str, Any], **rest: Any) -> dict[str, Any]:
    """A scenario document; a worker may be given as its list of steps."""
    return {
        "format": "tracelock-scenario/1",
        "name": name,
        "workers": {
            key: {"steps": value} if isinstance(value, list) else value
            for key, value in workers.items()
        },
        **rest,
    }


CASES: dict[str, dict[str, Any]] = {
    one["name"]: one
    for one in (
        scenario(
            "timed-acquire",
            {
                "holder": [{"with": "m", "do": [{"sleep": 0.2}, {"write": "x", "value": "x + 1"}]}],
                "timed": {
                    "count": 2,
                    "steps": [
                        {"acquire": "m", "timeout": "0.1 * (index + 1)", "into": "got"},
                        {
                            "if": "got",
                            "then": [{"release": "m"}],
                            "else": [{"write": "x", "value": 5}],
                        },
                    ],
                },
            },
            shared={"x": 0},
            objects={"m": "lock"},
        ),
        scenario(
            "try-acquire",
            {
                "w": {
                    "count": 3,
                    "steps": [
                        {"acquire": "m", "blocking": False, "into": "got"},
                        {
                            "if": "got",
                            "then": [{"write": "x", "value": "x + 1"}, {"release": "m"}],
                            "else": [{"write": "lost", "value": "lost + 1"}],
                        },
                    ],
                }
            },
            shared={"x": 0, "lost": 0},
            objects={"m": "lock"},
        ),
        scenario(
            "release-by-another",
            {
                "a": [{"acquire": "m"}, {"write": "x", "value": 1}],
                "b": [{"read": "x", "into": "v"}, {"if": "v == 1", "then": [{"release": "m"}]}],
                "c": [{"with": "m", "do": [{"write": "x", "value": 2}]}],
            },
            shared={"x": 0},
            objects={"m": "lock"},
        ),
        scenario(
            "release-unlocked",
            {"a": [{"release": "m"}], "b": [{"with": "m", "do": [{"write": "x", "value": 1}]}]},
            shared={"x": 0},
            objects={"m": "lock"},
        ),
        scenario(
            "rlock",
            {
                "w": {
                    "count": 2,
                    "steps": [
                        {
                            "with": "r",
                            "do": [{"with": "r", "do": [{"write": "x", "value": "x + 1"}]}],
                        }
                    ],
                },
                "thief": [{"read": "x", "into": "v"}, {"if": "v == 1", "then": [{"release": "r"}]}],
            },
            shared={"x": 0},
            objects={"r": "rlock"},
        ),
        scenario(
            "self-deadlock",
            {"w": {"count": 2, "steps": [{"acquire": "m"}, {"acquire": "m"}]}},
            objects={"m": "lock"},
        ),
        scenario(
            "semaphores",
            {
                "w": {
                    "count": 3,
                    "steps": [
                        {
                            "with": "s",
                            "do": [
                                {"fetch_add": "in_use", "by": 1},
                                {"fetch_add": "in_use", "by": -1},
                            ],
                        },
                        {"acquire": "done", "timeout": 0.5, "into": "ok"},
                    ],
                },
                "signal": [{"release": "done"}, {"release": "b"}, {"release": "done"}],
            },
            shared={"in_use": 0},
            objects={
                "s": {"type": "semaphore", "value": 2},
                "done": {"type": "semaphore", "value": 0},
                "b": {"type": "bounded_semaphore", "value": 1},
            },
            always=["in_use <= 2"],
        ),
        scenario(
            "bounded-over-release",
            {"a": [{"acquire": "b"}, {"release": "b"}], "c": [{"release": "b"}]},
            objects={"b": {"type": "bounded_semaphore", "value": 1}},
        ),
        scenario(
            "condition",
            {
                "waiter": {
                    "count": 2,
                    "steps": [
                        {
                            "with": "c",
                            "do": [
                                {"wait": "c", "until": "ready > 0"},
                                {"write": "ready", "value": "ready - 1"},
                            ],
                        }
                    ],
                },
                "maker": {
                    "count": 2,
                    "steps": [
                        {
                            "with": "c",
                            "do": [{"write": "ready", "value": "ready + 1"}, {"notify": "c"}],
                        }
                    ],
                },
            },
            shared={"ready": 0},
            objects={"c": "condition"},
            finally_=None,
        ),
        scenario(
            "condition-timed",
            {
                "waiter": {
                    "count": 2,
                    "steps": [
                        {"with": "m", "do": [{"wait": "c", "timeout": 0.1, "into": "got"}]},
                        {"if": "got", "then": [{"fetch_add": "woken", "by": 1}]},
                    ],
                },
                "maker": [
                    {"with": "m", "do": [{"sleep": 0.1}, {"notify": "c"}]},
                    {"with": "m", "do": [{"notify": "c", "all": True}]},
                ],
            },
            shared={"woken": 0},
            objects={"m": "lock", "c": {"type": "condition", "lock": "m"}},
        ),
        scenario(
            "condition-misuse",
            {
                "a": [{"notify": "c"}],
                "b": [{"with": "c", "do": [{"checkpoint": None}]}],
                "d": [{"wait": "c", "timeout": 1}],
            },
            objects={"c": "condition"},
        ),
        scenario(
            "notify-many",
            {
                "waiter": {
                    "count": 3,
                    "steps": [
                        {
                            "with": "c",
                            "do": [{"wait": "c", "timeout": 5}, {"fetch_add": "n", "by": 1}],
                        }
                    ],
                },
                "maker": [
                    {"with": "c", "do": [{"notify": "c", "n": 2}]},
                    {"sleep": 1},
                    {"with": "c", "do": [{"notify": "c", "all": True}]},
                ],
            },
            shared={"n": 0},
            objects={"c": "condition"},
        ),
        scenario(
            "event",
            {
                "waiter": {
                    "count": 2,
                    "steps": [
                        {"wait": "go", "timeout": 1, "into": "ok"},
                        {"if": "ok", "then": [{"write": "x", "value": "x + 1"}]},
                    ],
                },
                "setter": [{"sleep": 1}, {"set": "go"}, {"write": "y", "value": 1}],
            },
            shared={"x": 0, "y": 0},
            objects={"go": "event"},
        ),
        scenario(
            "event-pulse",
            {
                "waiter": {"count": 2, "steps": [{"wait": "go"}, {"write": "x", "value": "x + 1"}]},
                "setter": [{"set": "go"}, {"clear": "go"}],
            },
            shared={"x": 0},
            objects={"go": "event"},
        ),
        scenario(
            "barrier",
            {
                "w": {
                    "count": 3,
                    "steps": [
                        {
                            "repeat": 2,
                            "do": [
                                {"fetch_add": "x", "by": 1},
                                {"wait": "b"},
                                {"assert": "x % 3 == 0 or x > 3"},
                            ],
                        }
                    ],
                }
            },
            shared={"x": 0},
            objects={"b": {"type": "barrier", "parties": 3}},
        ),
        scenario(
            "barrier-timed",
            {
                "w": {
                    "count": 2,
                    "steps": [
                        {"wait": "b", "timeout": 0.1, "into": "ok"},
                        {"write": "x", "value": "1 if ok else 2"},
                    ],
                },
                "late": [{"sleep": 0.1}, {"wait": "b", "into": "ok"}],
            },
            shared={"x": 0},
            objects={"b": {"type": "barrier", "parties": 3}},
        ),
        scenario(
            "queue",
            {
                "maker": {
                    "count": 2,
                    "steps": [
                        {"repeat": 2, "index": "i", "do": [{"put": "q", "value": "10 * index + i"}]}
                    ],
                },
                "taker": {
                    "count": 2,
                    "steps": [
                        {
                            "repeat": 2,
                            "do": [
                                {"get": "q", "into": "v"},
                                {"write": "total", "value": "total + v"},
                            ],
                        }
                    ],
                },
            },
            shared={"total": 0},
            objects={"q": {"type": "queue", "maxsize": 1}},
        ),
        scenario(
            "queue-tries",
            {
                "maker": [
                    {"put": "q", "value": "[1, 2]", "blocking": False, "into": "ok"},
                    {"put": "q", "value": "'b'", "timeout": 0.1, "into": "ok2"},
                    {"write": "x", "value": "1 if ok2 else 2"},
                ],
                "taker": [
                    {"get": "q", "blocking": False, "into": "v", "got": "g"},
                    {"get": "q", "timeout": 0.1, "into": "v", "got": "g2"},
                    {"write": "y", "value": "1 if g2 else 2"},
                ],
            },
            shared={"x": 0, "y": 0},
            objects={"q": {"type": "queue", "maxsize": 1}},
        ),
        scenario(
            "queue-priority",
            {
                "maker": {
                    "count": 2,
                    "steps": [{"put": "q", "value": "2 - index"}, {"put": "q", "value": 5}],
                },
                "taker": [
                    {
                        "repeat": 4,
                        "do": [{"get": "q", "into": "v"}, {"write": "last", "value": "v"}],
                    }
                ],
            },
            shared={"last": 0},
            objects={"q": {"type": "queue", "order": "priority"}},
        ),
        scenario(
            "queue-lifo",
            {
                "maker": {"count": 2, "steps": [{"put": "q", "value": "index"}]},
                "taker": [
                    {"repeat": 2, "do": [{"get": "q", "into": "v"}]},
                    {"write": "last", "value": "v"},
                ],
            },
            shared={"last": 0},
            objects={"q": {"type": "queue", "order": "lifo"}},
        ),
        scenario(
            "atomics",
            {
                "w": {
                    "count": 2,
                    "steps": [
                        {"compare_exchange": "x", "expect": 0, "value": "index + 1", "into": "ok"},
                        {"exchange": "y", "value": "index", "into": "old"},
                        {
                            "atomic": [
                                {"read": "x", "into": "a"},
                                {"if": "a > 0", "then": [{"write": "z", "value": "z + a"}]},
                            ]
                        },
                        {"fetch_add": "x", "by": 2, "into": "b"},
                    ],
                }
            },
            shared={"x": 0, "y": None, "z": 0},
            always=["z >= 0"],
        ),
        scenario(
            "spawn-join",
            {
                "main": [
                    {"spawn": "child"},
                    {"write": "x", "value": "x + 1"},
                    {"join": "child[0]", "timeout": 0.05, "into": "soon"},
                    {"join": "child"},
                    {"assert": "x >= 2"},
                ],
                "child": {
                    "count": 2,
                    "start": "manual",
                    "steps": [{"sleep": 0.1}, {"write": "x", "value": "x + 1"}],
                },
            },
            shared={"x": 0},
        ),
        scenario(
            "failure-inside",
            {
                "w": {
                    "count": 2,
                    "steps": [
                        {
                            "try": [
                                {
                                    "with": "m",
                                    "do": [
                                        {"write": "x", "value": "x + 1"},
                                        {"assert": "x < 2", "message": "too many"},
                                    ],
                                }
                            ],
                            "finally": [{"write": "y", "value": "y + 1"}],
                        }
                    ],
                }
            },
            shared={"x": 0, "y": 0},
            objects={"m": "lock"},
        ),
        scenario(
            "arrays",
            {
                "w": {
                    "count": 2,
                    "steps": [
                        {"let": {"i": "index"}},
                        {
                            "while": "i < 2",
                            "do": [
                                {
                                    "with": "m[i]",
                                    "do": [{"write": "a[i]", "value": "a[1 - i] + 1"}],
                                },
                                {"let": {"i": "i + 1"}},
                            ],
                        },
                        {"write": "total", "value": "sum(a)"},
                    ],
                }
            },
            shared={"a": [0, 0], "total": 0},
            objects={"m": {"type": "lock", "count": 2}},
        ),
        scenario(
            "sleepers",
            {
                "w": {
                    "count": 3,
                    "steps": [
                        {"sleep": "0.1 * (count - index)"},
                        {"write": "last", "value": "index"},
                        "checkpoint",
                    ],
                }
            },
            shared={"last": -1},
        ),
    )
}
for _case in CASES.values():
    _case.pop("finally_", None)

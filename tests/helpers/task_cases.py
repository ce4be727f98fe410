"""Scenarios for tasks: hand-over, cancellation, timeouts, storms, each small enough to read."""

from __future__ import annotations

from typing import Any

from tests.helpers.cases import scenario

ADD = {"write": "x", "value": "x + 1"}


def case(name: str, workers: dict[str, Any], **objects: Any) -> dict[str, Any]:
    return scenario(name, workers, shared={"x": 0}, objects=objects)


def many(count: int, steps: list[Any]) -> dict[str, Any]:
    return {"count": count, "steps": steps}


_SCENARIOS = (
    case(
        "hand-over",
        {"w": many(4, [{"repeat": 2, "do": [{"with": "m", "do": ["checkpoint", ADD]}]}])},
        m="lock",
    ),
    case(
        "try-while-handed-over",
        {
            "holder": [{"with": "m", "do": ["checkpoint"]}],
            "waiter": [{"with": "m", "do": [ADD]}],
            "trier": many(
                2,
                [
                    {"acquire": "m", "blocking": False, "into": "got"},
                    {"if": "got", "then": ["checkpoint", {"release": "m"}]},
                    "checkpoint",
                    {"acquire": "m", "timeout": 0, "into": "got"},
                    {"if": "got", "then": [{"release": "m"}]},
                ],
            ),
        },
        m="lock",
    ),
    case(
        "permits",
        {
            "giver": [{"repeat": 3, "do": [{"release": "s", "n": 2}, "checkpoint"]}],
            "taker": many(3, [{"repeat": 2, "do": [{"acquire": "s"}, ADD]}]),
            "canceller": ["checkpoint", {"cancel": "taker[1]"}],
        },
        s={"type": "semaphore", "value": 0},
    ),
    case(
        "notify-storm",
        {
            "waiter": many(3, [{"with": "m", "do": [{"wait": "c"}, ADD]}]),
            "hasty": [{"with": "m", "do": [{"wait": "c", "timeout": 0.1, "into": "ok"}, ADD]}],
            "notifier": [
                {"repeat": 3, "do": [{"with": "m", "do": [{"notify": "c", "n": 2}]}, "checkpoint"]},
                {"with": "m", "do": [{"notify": "c", "all": True}]},
            ],
        },
        m="lock",
        c={"type": "condition", "lock": "m"},
    ),
    case(
        "notified-and-cancelled",
        {
            "waiter": many(3, [{"with": "c", "do": [{"wait": "c"}, ADD]}]),
            "notifier": ["checkpoint", {"with": "c", "do": [{"notify": "c"}]}],
            "canceller": ["checkpoint", {"cancel": "waiter[0]"}, "checkpoint"],
        },
        c="condition",
    ),
    case(
        "cancelled-while-it-takes-its-lock-back",
        {
            "waiter": many(2, [{"with": "c", "do": [{"wait": "c"}, "checkpoint", ADD]}]),
            "hog": [
                {"with": "c", "do": [{"notify": "c", "all": True}, "checkpoint", "checkpoint"]}
            ],
            "canceller": [
                "checkpoint",
                {"cancel": "waiter[0]"},
                "checkpoint",
                {"cancel": "waiter[0]"},
            ],
        },
        c="condition",
    ),
    case(
        "cancelled-before-it-begins",
        {
            "killer": [{"cancel": "victim"}, {"cancel": "sleeper"}, {"cancel": "killer"}, ADD],
            "victim": [{"try": [ADD, "checkpoint", ADD], "finally": [ADD]}],
            "sleeper": [{"try": [{"sleep": 1}], "finally": [ADD]}],
        },
    ),
    case(
        "cancelled-in-its-clean-up",
        {
            "w": [
                {
                    "try": [{"get": "q", "into": "item"}],
                    "finally": [{"with": "m", "do": ["checkpoint", ADD]}, "checkpoint", ADD],
                }
            ],
            "canceller": many(2, [{"with": "m", "do": ["checkpoint", {"cancel": "w"}]}]),
        },
        q="queue",
        m="lock",
    ),
    case(
        "nested-timeouts",
        {
            "w": many(
                2,
                [
                    {
                        "timeout": 0.3,
                        "into": "outer",
                        "do": [
                            {
                                "timeout": "0.1 + 0.3 * index",
                                "into": "inner",
                                "do": [
                                    {
                                        "try": [{"acquire": "m", "timeout": 0.2, "into": "got"}],
                                        "finally": ["checkpoint", ADD],
                                    },
                                    {"sleep": 1},
                                ],
                            },
                            ADD,
                            {"wait": "e"},
                        ],
                    },
                    ADD,
                ],
            ),
            "holder": [{"with": "m", "do": [{"sleep": 0.25}]}],
        },
        m="lock",
        e="event",
    ),
    case(
        "timeout-and-cancel",
        {
            "w": [
                {
                    "timeout": 0.1,
                    "into": "ok",
                    "do": [{"with": "c", "do": [{"wait": "c", "timeout": 0.2, "into": "got"}]}],
                },
                ADD,
                "checkpoint",
                ADD,
            ],
            "canceller": [{"sleep": 0.1}, {"cancel": "w"}],
            "hog": [{"sleep": 0.05}, {"with": "c", "do": [{"sleep": 0.1}, {"notify": "c"}]}],
        },
        c="condition",
    ),
    case(
        "full-queue",
        {
            "producer": many(
                3, [{"put": "q", "value": "index"}, {"put": "q", "value": "index + 10"}]
            ),
            "consumer": many(
                2, [{"repeat": 3, "do": [{"get": "q", "into": "item"}, "checkpoint"]}]
            ),
            "hasty": [
                {"put": "q", "value": 99, "timeout": 0.1, "into": "ok"},
                {"get": "q", "timeout": 0.1, "into": "item", "got": "ok"},
            ],
        },
        q={"type": "queue", "maxsize": 1},
    ),
    case(
        "empty-queue",
        {
            "consumer": many(
                3, [{"get": "q", "into": "item"}, {"write": "x", "value": "x + item"}]
            ),
            "thief": [{"repeat": 2, "do": [{"get": "q", "blocking": False, "into": "item"}, ADD]}],
            "producer": [{"repeat": 3, "do": [{"put": "q", "value": 1}, "checkpoint"]}],
            "canceller": ["checkpoint", {"cancel": "consumer[0]"}, {"cancel": "consumer[1]"}],
        },
        q="queue",
    ),
    case(
        "cancelled-sender",
        {
            "producer": many(2, [{"put": "q", "value": "index"}, ADD]),
            "filler": [{"put": "q", "value": 7, "blocking": False, "into": "ok"}],
            "canceller": ["checkpoint", {"cancel": "producer[0]"}],
            "consumer": many(2, [{"get": "q", "into": "item", "timeout": 0.1, "got": "ok"}]),
        },
        q={"type": "queue", "maxsize": 1},
    ),
    case(
        "events",
        {
            "waiter": many(2, [{"wait": "e"}, ADD, {"wait": "e", "timeout": 0.1, "into": "ok"}]),
            "setter": ["checkpoint", {"set": "e"}, {"cancel": "waiter[0]"}],
            "tester": [{"wait": "e", "timeout": 0, "into": "ok"}, {"wait": "e"}],
        },
        e="event",
    ),
    case(
        "spawned-and-joined",
        {
            "parent": [
                {"spawn": "child"},
                {"join": "child", "timeout": 0.1, "into": "ok"},
                {"cancel": "child"},
                {"join": "child", "timeout": 0, "into": "ok"},
                {"join": "child"},
                ADD,
            ],
            "child": {"start": "manual", "steps": [{"try": [{"sleep": 0.2}], "finally": [ADD]}]},
            "rival": [{"spawn": "child"}, ADD],
        },
    ),
    case(
        "ends-with-its-lock",
        {
            "careless": [{"acquire": "m"}, "checkpoint"],
            "last": [{"acquire": "n"}],
            "failing": [{"acquire": "n"}, {"assert": "false"}],
            "waiter": many(2, [{"with": "m", "do": [ADD]}, {"with": "n", "do": [ADD]}]),
        },
        m="lock",
        n="lock",
    ),
    case(
        "own-lock-again",
        {"w": many(2, [{"with": "m", "do": [{"with": "m", "do": [ADD]}]}])},
        m="lock",
    ),
    case(
        "barrier-again",
        {
            "w": many(3, [{"repeat": 2, "do": [{"wait": "b"}, ADD]}]),
            "hasty": [{"wait": "b", "timeout": 0.1, "into": "ok"}, {"wait": "b"}],
            "canceller": ["checkpoint", {"cancel": "w[0]"}],
        },
        b={"type": "barrier", "parties": 2},
    ),
    case(
        "pulses",
        {
            "waiter": many(3, [{"wait": "e"}, ADD]),
            "pulse": [{"repeat": 2, "do": [{"set": "e"}, {"clear": "e"}, "checkpoint"]}],
            "canceller": ["checkpoint", {"cancel": "waiter[1]"}],
        },
        e="event",
    ),
    case(
        "priorities",
        {
            "producer": many(
                2, [{"put": "q", "value": "3 - index"}, {"put": "q", "value": "index"}]
            ),
            "consumer": many(2, [{"repeat": 2, "do": [{"get": "q", "into": "item"}]}]),
            "spoiler": [{"put": "q", "value": "'text'", "timeout": 0.1, "into": "ok"}],
        },
        q={"type": "queue", "maxsize": 2, "order": "priority"},
    ),
)

TASK_CASES: dict[str, dict[str, Any]] = {one["name"]: one for one in _SCENARIOS}

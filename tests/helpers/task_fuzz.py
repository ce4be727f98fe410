"""Random scenarios for tasks: everything that can be asked of them, in every combination."""

from __future__ import annotations

import random
from typing import Any

OBJECTS: dict[str, Any] = {
    "a": "lock",
    "b": "lock",
    "s": {"type": "semaphore", "value": 1},
    "bs": {"type": "bounded_semaphore", "value": 2},
    "c": {"type": "condition", "lock": "a"},
    "d": "condition",
    "e": "event",
    "q": {"type": "queue", "maxsize": 1},
    "r": "queue",
}
ASYNCIO_ONLY: dict[str, Any] = {
    "bar": {"type": "barrier", "parties": 2},
    "pq": {"type": "queue", "maxsize": 1, "order": "priority"},
    "lq": {"type": "queue", "maxsize": 2, "order": "lifo"},
}


class Maker:
    """Makes the steps of one scenario."""

    def __init__(self, seed: int, backend: str, workers: list[str]) -> None:
        self.random = random.Random(seed)
        self.asyncio = backend == "asyncio"
        self.workers = workers

    def steps(self, depth: int, most: int = 4) -> list[Any]:
        return [self.step(depth) for _ in range(self.random.randint(1, most))]

    def timed(self, step: dict[str, Any], soft: str = "into") -> dict[str, Any]:
        """Half of the time with a timeout, whose end is a result."""
        if self.random.random() < 0.5:
            step["timeout"] = self.random.choice([0, 0.1, 0.2, 0.3])
            step[soft] = "ok"
        return step

    def step(self, depth: int) -> Any:
        pick = self.random.choice
        kinds = ["acquire", "with", "sem", "wait", "notify", "set", "event", "put", "get", "plain"]
        kinds += ["sleep", "checkpoint", "cancel", "cond", "cond"]
        if self.asyncio:
            kinds += ["clear", "barrier"]
        if depth < 3:
            kinds += ["timeout", "timeout", "try", "with"]
        kind = pick(kinds)
        queues = ["q", "q", "r"] + (["pq", "lq"] if self.asyncio else [])
        if kind == "acquire":
            name = pick("ab")
            how = self.timed({"acquire": name, "into": "ok"})
            if self.random.random() < 0.2:
                how = {"acquire": name, "blocking": False, "into": "ok"}
            inner = self.steps(depth + 1, 2)
            release = {"if": "ok", "then": [{"release": name}]}
            if self.random.random() < 0.1:
                return {"repeat": 1, "do": [how, *inner]}
            return {"repeat": 1, "do": [how, {"try": inner, "finally": [release]}]}
        if kind == "with":
            return {"with": pick(["a", "b", "s", "bs", "d"]), "do": self.steps(depth + 1, 3)}
        if kind == "sem":
            name = pick(["s", "bs"])
            n = pick([1, 1, 1, 2]) if self.random.random() < 0.3 else 1
            return {
                "repeat": 1,
                "do": [
                    self.timed({"acquire": name, "into": "ok"}),
                    *self.steps(depth + 1, 2),
                    {"if": "ok", "then": [{"release": name, "n": n}]},
                ],
            }
        if kind == "cond":
            name, lock = pick([("c", "a"), ("d", "d")])
            body = self.timed({"wait": name})
            return {"with": lock, "do": [body, *self.steps(depth + 1, 1)]}
        if kind == "wait":
            return self.timed({"wait": pick(["c", "d", "e"])})
        if kind == "notify":
            name, lock = pick([("c", "a"), ("d", "d")])
            how: dict[str, Any] = {"notify": name}
            how.update(pick([{}, {"n": 2}, {"all": True}]))
            return {"with": lock, "do": [how]}
        if kind == "set":
            return {"set": "e"}
        if kind == "clear":
            return {"clear": "e"}
        if kind == "event":
            return self.timed({"wait": "e"})
        if kind == "barrier":
            return self.timed({"wait": "bar"})
        if kind == "put":
            step = {"put": pick(queues), "value": "index + 1"}
            if self.random.random() < 0.2:
                return {**step, "blocking": False, "into": "ok"}
            return self.timed(step)
        if kind == "get":
            step = {"get": pick(queues), "into": "item"}
            if self.random.random() < 0.2:
                return {**step, "blocking": False, "got": "ok"}
            return self.timed(step, "got")
        if kind == "sleep":
            return {"sleep": pick([0, 0.1, 0.2])}
        if kind == "checkpoint":
            return "checkpoint"
        if kind == "cancel":
            return {"cancel": pick(self.workers)}
        if kind == "timeout":
            return {
                "timeout": pick([0, 0.1, 0.2, 0.3]), "into": "ok", "do": self.steps(depth + 1, 3)
            }  # fmt: skip
        if kind == "try":
            return {"try": self.steps(depth + 1, 3), "finally": self.steps(depth + 2, 2)}
        return {"write": "x", "value": "x + 1"}


def random_scenario(seed: int, backend: str) -> dict[str, Any]:
    """Scenario number ``seed`` for a backend of tasks."""
    chooser = random.Random(seed)
    count = chooser.randint(2, 4)
    names = [f"w{number}" for number in range(count)]
    maker = Maker(seed, backend, names)
    workers: dict[str, Any] = {
        name: {"steps": [{"let": {"ok": False}}, *maker.steps(0)]} for name in names
    }
    if chooser.random() < 0.4:
        workers["late"] = {"start": "manual", "steps": [{"let": {"ok": False}}, *maker.steps(1)]}
        spawner = workers[chooser.choice(names)]["steps"]
        spawner.insert(1, {"spawn": "late"})
        if chooser.random() < 0.5:
            spawner.append({"join": "late", "timeout": 0.2, "into": "ok"})
            spawner.append({"join": "late"})
        if chooser.random() < 0.5:
            workers[chooser.choice(names)]["steps"].append({"cancel": "late"})
    objects = OBJECTS | (ASYNCIO_ONLY if backend == "asyncio" else {})
    return {
        "format": "tracelock-scenario/1",
        "name": f"fuzz-{seed}",
        "shared": {"x": 0},
        "objects": objects,
        "workers": workers,
    }

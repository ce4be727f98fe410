"""Small programs with a known truth: drawn by a seed, decided by going through all their states.

A program is two or three workers on shared variables, locks and events. It is *right* when every
interleaving ends, and ends in a state that some serial execution ends in too (each worker at once,
until it ends or cannot go on). The interleavings are those of ``MODELS``: threads may switch before
every access of an attribute and every operation on a lock or an event; tasks of asyncio and trio
only where they give control up. It knows nothing of tracelock, which gets the program as text.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

VARIABLES = ("a", "b", "c")
LOCKS = ("first", "second")
EVENTS = ("go",)
MODELS = ("threads", "asyncio", "trio")
#: Where the value of the one register of a worker stands for "not read".
NOTHING = None


class Step(NamedTuple):
    """One instruction: ``load``, ``store``, ``unless`` (jump by ``place`` unless the register is
    ``value``), ``acquire``, ``release``, ``set``, ``wait``, ``pause``."""

    what: str
    target: str = ""
    value: int = 0
    place: int = 0


@dataclass(frozen=True)
class Small:
    """A program: the statements of each worker, and what it does (``model``)."""

    model: str
    workers: tuple[tuple[Any, ...], ...]

    # --- as text -------------------------------------------------------------------------------
    def text(self) -> str:
        """A module with ``Shared``, ``worker_0``, ``worker_1`` ... for this model."""
        kind = {"threads": "threading", "asyncio": "asyncio", "trio": "trio"}[self.model]
        lines = [f"import {kind}", "", "", "class Shared:", "    def __init__(self):"]
        lines += [f"        self.{name} = 0" for name in VARIABLES]
        lines += [f"        self.{name} = {kind}.Lock()" for name in LOCKS]
        lines += [f"        self.{name} = {kind}.Event()" for name in EVENTS]
        word = "def" if self.model == "threads" else "async def"
        for number, body in enumerate(self.workers):
            lines += ["", "", f"{word} worker_{number}(s):"]
            lines += [*self._lines(body, 1)] or ["    pass"]
        return "\n".join(lines) + "\n"

    def _lines(self, body: tuple[Any, ...], depth: int) -> Iterator[str]:
        indent = "    " * depth
        threads = self.model == "threads"
        pause = {"asyncio": "await asyncio.sleep(0)", "trio": "await trio.sleep(0)"}
        for statement in body:
            what, *rest = statement
            if what == "add":
                yield f"{indent}s.{rest[0]} += {rest[1]}"
            elif what == "slow add":
                yield f"{indent}t = s.{rest[0]}"
                if not threads:
                    yield f"{indent}{pause[self.model]}"
                yield f"{indent}s.{rest[0]} = t + {rest[1]}"
            elif what == "put":
                yield f"{indent}s.{rest[0]} = {rest[1]}"
            elif what == "if":
                yield f"{indent}if s.{rest[0]} == {rest[1]}:"
                yield from self._lines(rest[2], depth + 1)
            elif what == "with":
                yield f"{indent}{'' if threads else 'async '}with s.{rest[0]}:"
                yield from self._lines(rest[1], depth + 1)
            elif what == "set":
                yield f"{indent}s.{rest[0]}.set()"
            elif what == "wait":
                yield f"{indent}{'' if threads else 'await '}s.{rest[0]}.wait()"
            else:
                yield f"{indent}{pause[self.model]}"

    # --- its states ------------------------------------------------------------------------------
    def code(self, number: int) -> tuple[Step, ...]:
        """The instructions of one worker."""
        return tuple(self._steps(self.workers[number]))

    def _steps(self, body: tuple[Any, ...]) -> list[Step]:
        steps: list[Step] = []
        for statement in body:
            what, *rest = statement
            if what in ("add", "slow add"):
                steps.append(Step("load", rest[0]))
                if what == "slow add" and self.model != "threads":
                    steps.append(Step("pause"))
                steps.append(Step("store", rest[0], rest[1], 1))  # what was read, and so much
            elif what == "put":
                steps.append(Step("store", rest[0], rest[1]))
            elif what == "if":
                inner = self._steps(rest[2])
                steps += [Step("load", rest[0]), Step("unless", "", rest[1], len(inner) + 1)]
                steps += inner
            elif what == "with":
                steps.append(Step("acquire", rest[0]))
                if self.model == "trio":  # which gives control up when it has the lock
                    steps.append(Step("pause"))
                steps += [*self._steps(rest[1]), Step("release", rest[0])]
            elif what == "wait":
                steps.append(Step("wait", rest[0]))
                if self.model == "trio":
                    steps.append(Step("pause"))
            else:
                steps.append(Step(what if what == "set" else "pause", rest[0] if rest else ""))
        return steps

    def outcomes(self) -> set[Any]:
        """How it can end: the values of the variables, or ``"deadlock"``."""
        return self._reached(serial=False)

    def serial_outcomes(self) -> set[Any]:
        """How serial executions end."""
        return self._reached(serial=True)

    def right(self) -> bool:
        """Whether no interleaving ends in another way than some serial execution."""
        return "deadlock" not in self.outcomes() and self.outcomes() <= self.serial_outcomes()

    def _reached(self, serial: bool) -> set[Any]:
        code = [self.code(number) for number in range(len(self.workers))]
        start = State(
            tuple((0, NOTHING, "ready") for _ in code), (0,) * len(VARIABLES),
            ((-1, ()),) * len(LOCKS), (False,) * len(EVENTS), -1,
        )  # fmt: skip
        seen, todo, ends = {start}, [start], set()
        while todo:
            state = todo.pop()
            following = list(self._next(state, code, serial))
            if not following:
                over = all(
                    place == len(code[n]) and status == "ready"  # not parked in its last step
                    for n, (place, _, status) in enumerate(state.workers)
                )
                ends.add(state.values if over else "deadlock")
            for one in following:
                if one not in seen:
                    seen.add(one)
                    todo.append(one)
        return ends

    def _next(self, state: State, code: list[tuple[Step, ...]], serial: bool) -> Iterator[State]:
        able = [
            n
            for n, (place, _, status) in enumerate(state.workers)
            if place < len(code[n]) and status == "ready" and self._enabled(state, code[n][place])
        ]
        if state.running in able and (serial or self.model != "threads"):
            able = [state.running]  # it goes on as long as it can
        for number in able:
            yield self._step(state, number, code[number], serial)

    def _enabled(self, state: State, step: Step) -> bool:
        if self.model != "threads":
            return True  # a task parks itself and is woken
        if step.what == "acquire":
            return state.locks[LOCKS.index(step.target)][0] < 0
        return step.what != "wait" or state.events[EVENTS.index(step.target)]

    def _step(self, state: State, number: int, code: tuple[Step, ...], serial: bool) -> State:
        place, register, _ = state.workers[number]
        step = code[place]
        workers, values = list(state.workers), list(state.values)
        locks, events = list(state.locks), list(state.events)
        running, status, after = number, "ready", place + 1
        if step.what == "load":
            register = values[VARIABLES.index(step.target)]
        elif step.what == "store":
            base = register if step.place else 0
            values[VARIABLES.index(step.target)] = base + step.value
        elif step.what == "unless":
            after = place + (1 if register == step.value else step.place)
        elif step.what == "pause" and not serial:
            running = -1
        elif step.what == "set":
            events[EVENTS.index(step.target)] = True
            for other, (where, held, how) in enumerate(workers):
                if how == step.target:
                    workers[other] = (where, held, "ready")
        elif step.what == "wait":
            if self.model != "threads" and not events[EVENTS.index(step.target)]:
                status, running = step.target, -1
        elif step.what == "acquire":
            which = LOCKS.index(step.target)
            owner, queue = locks[which]
            if owner < 0:
                locks[which] = (number, queue)
            else:  # of tasks: in a line
                locks[which] = (owner, (*queue, number))
                status, running = step.target, -1
        elif step.what == "release":
            which = LOCKS.index(step.target)
            _, queue = locks[which]
            locks[which] = (queue[0], queue[1:]) if queue else (-1, ())
            if queue:  # the first in the line has it
                where, held, _ = workers[queue[0]]
                workers[queue[0]] = (where, held, "ready")
        workers[number] = (after, register, status)
        if after == len(code) and status == "ready":
            running = -1
        return State(tuple(workers), tuple(values), tuple(locks), tuple(events), running)


class State(NamedTuple):
    """``workers``: place, register and what each waits for; ``locks``: owner and line; ``running``:
    the task that has control, -1 for none."""

    workers: tuple[Any, ...]
    values: tuple[int, ...]
    locks: tuple[Any, ...]
    events: tuple[bool, ...]
    running: int


# --- drawing ----------------------------------------------------------------------------------
def draw(model: str, seed: int) -> Small:
    """A program of this model; the same for the same seed."""
    generator = random.Random(f"{model} {seed}")
    count = generator.choice((2, 2, 3))
    return Small(model, tuple(_body(generator, 2, model) for _ in range(count)))


def _body(generator: random.Random, depth: int, model: str) -> tuple[Any, ...]:
    return tuple(
        _statement(generator, depth, model) for _ in range(generator.choice((1, 1, 2, 2, 3)))
    )


def _statement(generator: random.Random, depth: int, model: str) -> tuple[Any, ...]:
    kinds = ["add", "slow add", "put", "set", "wait"]
    weights = [4, 4, 2, 1, 1]
    if depth:
        kinds += ["if", "with", "with"]
        weights += [3, 3, 3]
    if model != "threads":
        kinds.append("pause")
        weights.append(2)
    what = generator.choices(kinds, weights)[0]
    if what in ("add", "slow add", "put"):
        return (what, generator.choice(VARIABLES[:2]), generator.choice((1, 2)))
    if what in ("set", "wait"):
        return (what, EVENTS[0])
    if what == "if":
        inner = _body(generator, depth - 1, model)
        return (what, generator.choice(VARIABLES[:2]), generator.choice((0, 1)), inner)
    if what == "with":
        free = LOCKS if depth == 2 else LOCKS[1:]  # not the one that it has: not reentrant
        lock = generator.choice(free)
        if depth == 2 and lock == LOCKS[1]:
            return (what, lock, _without_locks(_body(generator, depth - 1, model)))
        return (what, lock, _body(generator, 1 if depth == 2 else 0, model))
    return (what,)


def _without_locks(body: tuple[Any, ...]) -> tuple[Any, ...]:
    kept: list[Any] = []
    for statement in body:
        if statement[0] == "with":
            kept += _without_locks(statement[2])
        elif statement[0] == "if":
            kept.append((*statement[:3], _without_locks(statement[3])))
        else:
            kept.append(statement)
    return tuple(kept)

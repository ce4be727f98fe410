"""Shared by the conformance tests: run a scenario on a backend, and compare what happened."""

from __future__ import annotations

from typing import Any

from tracelock.backends.base import Backend, Options
from tracelock.backends.simulated import SimulatedBackend
from tracelock.engine.controller import Controller
from tracelock.engine.recording import result_of, target_name, value_of
from tracelock.explore.running import Executed, Runner, Tape
from tracelock.ops import NAMES
from tracelock.scenario.program import Program
from tracelock.schedulers.simple import RandomScheduler


def events_of(controller: Controller) -> list[tuple[Any, ...]]:
    """The log of a schedule in comparable terms."""
    layout = controller.layout
    return [
        (
            layout.workers[worker].name,
            NAMES[kind],
            target_name(layout, kind, op),
            op.at,
            repr(value_of(layout, kind, op, result)),
            repr(result_of(layout, kind, result)),
            None if options is None else tuple(options),
            now,
        )
        for worker, kind, op, result, options, now in controller.log
    ]


def schedules(
    backend: Backend, program: Program, seed: int, count: int, clock: str
) -> list[tuple[Any, ...]]:
    """What happened in ``count`` schedules of ``seed``: events, values, failure, who is left."""
    controller = Controller(
        program.layout, backend.rules, RandomScheduler(seed), clock=clock, max_steps=3000
    )
    found: list[tuple[Any, ...]] = []

    def done(controller: Controller) -> bool:
        failure = controller.failure
        found.append(
            (
                events_of(controller),
                list(controller.values),
                None if failure is None else (failure[0], failure[1].message),
                list(controller.active),
                list(controller.crashed),
                controller.limit,
            )
        )
        return len(found) >= count

    backend.controlled(controller, done)
    return found


def assert_same_as_simulated(
    backend: Backend, program: Program, seed: int, count: int, clock: str
) -> None:
    """The real backend and the models alone do exactly the same, schedule by schedule."""
    simulated = SimulatedBackend(program, Options(), backend.rules)
    real = schedules(backend, program, seed, count, clock)
    for number, (mine, theirs) in enumerate(
        zip(real, schedules(simulated, program, seed, count, clock), strict=True)
    ):
        assert mine == theirs, f"schedule {number} of seed {seed}"


def random_run(runner: Runner, seed: int, schedule: int) -> Executed:
    """One schedule of a random walk."""
    tape = Tape(RandomScheduler(seed, schedule))
    controller = runner.run(tape, lambda _: True)
    return runner.executed(controller, tape.picks)

"""Which calls the workers of a state machine make: drawn by Hypothesis, run under control."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final

from tracelock.errors import UsageError

#: Under which attribute a method of a machine has what its decorator says.
_MARKERS: Final = ("RULE_MARKER", "INITIALIZE_RULE_MARKER", "INVARIANT_MARKER")
_FARTHEST: Final = 7
_LONGEST: Final = 60


@dataclass(frozen=True, slots=True)
class BundleValue:
    """The value number ``place`` of those that a worker has in the bundle ``name``, counted round
    and round."""

    name: str
    place: int

    def __repr__(self) -> str:
        return f"{self.name}[{self.place}]"


@dataclass(slots=True)
class RuleCall:
    """One call: of which rule, and its arguments."""

    rule: Any
    arguments: dict[str, Any]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={_shown(value)}" for name, value in self.arguments.items())
        return f"{self.rule.function.__name__}({shown})"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


@dataclass(slots=True)
class Client:
    """All calls of one run: ``first`` before the workers begin, then each worker its own."""

    first: list[RuleCall]
    workers: list[list[RuleCall]]

    def __str__(self) -> str:
        lines = [f"before: {call!r}" for call in self.first]
        for number, calls in enumerate(self.workers):
            lines.append(f"worker {number}: {', '.join(map(repr, calls)) or 'nothing'}")
        return "\n".join(lines)


class MachineRules:
    """The rules, initializers and invariants of a class.

    Raises UsageError for what is no state machine, or has what workers cannot do at once.
    """

    def __init__(self, machine: Any) -> None:
        stateful: Any = import_module("hypothesis.stateful")
        base = stateful.RuleBasedStateMachine
        if not (isinstance(machine, type) and issubclass(machine, base)):
            raise UsageError(f"{machine!r} is no RuleBasedStateMachine of Hypothesis")
        rules, first, invariants = (
            [
                found
                for _, method in inspect.getmembers(machine)
                if (found := getattr(method, getattr(stateful, marker), None)) is not None
            ]
            for marker in _MARKERS
        )
        if not rules:
            raise UsageError(f"{machine.__name__} has no rules")
        self.machine = machine
        self.rules: list[Any] = rules
        self.first: list[Any] = first
        self.invariants: list[Any] = invariants
        self._bundle: Any = stateful.Bundle
        self._several: Any = stateful.MultipleResults
        for rule in (*rules, *first):
            for name, strategy in rule.arguments.items():
                if isinstance(strategy, self._bundle) and (
                    strategy.consume or getattr(strategy, "_transformations", ())
                ):
                    raise UsageError(
                        f"{rule.function.__qualname__}: {name} consumes, filters or maps a bundle, "
                        "which workers that run at once cannot do: each has values of its own"
                    )
        if any(inspect.iscoroutinefunction(one.function) for one in (*first, *invariants)):
            raise UsageError("initializers and invariants of a state machine are plain functions")

    @property
    def asynchronous(self) -> bool:
        """Whether the workers are tasks: some rule is a coroutine function."""
        return any(inspect.iscoroutinefunction(rule.function) for rule in self.rules)

    # --- drawing -----------------------------------------------------------------------------
    def strategy(self, workers: int, most: int) -> Any:
        """A strategy of Hypothesis for a ``Client`` of so many workers, of ``most`` calls each."""
        st: Any = import_module("hypothesis.strategies")

        def call(rule: Any) -> Any:
            arguments = {
                name: st.builds(BundleValue, st.just(one.name), st.integers(0, _FARTHEST))
                if isinstance(one, self._bundle) else one
                for name, one in sorted(rule.arguments.items())
            }  # fmt: skip
            return st.builds(RuleCall, st.just(rule), st.fixed_dictionaries(arguments))

        calls = st.lists(st.one_of([call(rule) for rule in self.rules]), max_size=most)
        first = st.tuples(*[call(rule) for rule in self.first]).map(list)
        every = st.tuples(*[calls] * workers).map(list)
        return st.builds(Client, first, every)

    # --- running -----------------------------------------------------------------------------
    def begin(self, client: Client) -> MachineRun:
        """A machine, initialized; with copies of what was drawn."""
        run = MachineRun(self.machine(), copy.deepcopy([one.arguments for one in client.first]))
        for call, arguments in zip(client.first, run.arguments, strict=True):
            self._keep(call, self._call(run, call, arguments, run.values), run.values)
        run.drawn = [copy.deepcopy([call.arguments for call in calls]) for calls in client.workers]
        return run

    def worker(self, client: Client, number: int) -> Callable[[MachineRun], Any]:
        """What one worker does."""
        calls = client.workers[number]

        def work(run: MachineRun) -> None:
            values = {name: list(held) for name, held in run.values.items()}
            for call, arguments in zip(calls, run.drawn[number], strict=True):
                self._keep(call, self._call(run, call, arguments, values), values)

        async def work_async(run: MachineRun) -> None:
            values = {name: list(held) for name, held in run.values.items()}
            for call, arguments in zip(calls, run.drawn[number], strict=True):
                result = self._call(run, call, arguments, values)
                if inspect.isawaitable(result):
                    result = await result
                self._keep(call, result, values)

        made: Any = work_async if self.asynchronous else work
        made.__module__ = self.machine.__module__  # where the code is that is looked into
        made.__name__ = made.__qualname__ = "worker"
        return made  # type: ignore[no-any-return]

    def check(self, run: MachineRun) -> None:
        """What must hold when all calls are over."""
        try:
            for one in self.invariants:
                if all(condition(run.machine) for condition in one.preconditions):
                    one.function(run.machine)
        finally:
            run.machine.teardown()

    def _call(
        self, run: MachineRun, call: RuleCall, arguments: dict[str, Any], values: dict[str, Any]
    ) -> Any:
        given = {}
        for name, value in arguments.items():
            if isinstance(value, BundleValue):
                held = values.get(value.name)
                if not held:
                    return _SKIPPED
                value = held[value.place % len(held)]
            given[name] = value
        if not all(condition(run.machine) for condition in call.rule.preconditions):
            return _SKIPPED
        return call.rule.function(run.machine, **given)

    def _keep(self, call: RuleCall, result: Any, values: dict[str, list[Any]]) -> None:
        if result is not _SKIPPED:
            results = result.values if isinstance(result, self._several) else (result,)
            for target in call.rule.targets:
                values.setdefault(target, []).extend(results)


@dataclass(slots=True)
class MachineRun:
    """One machine in one schedule. ``values``: of bundles, by the initializers; ``drawn``: the
    arguments of each worker's calls."""

    machine: Any
    arguments: list[dict[str, Any]]
    values: dict[str, list[Any]] = field(default_factory=dict)
    drawn: Sequence[list[dict[str, Any]]] = ()


#: The result of a call that was not made: its precondition did not hold, or a bundle is empty.
_SKIPPED: Final = object()

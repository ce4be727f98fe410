"""A model of ``tracelock.history.models`` as what says what calls come to, in place of the class.

The calls of a client are made on the model in every order that is asked for. A model may leave
open what a call comes to; then there is more than one end of an order.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tracelock.audit.bench import WORKERS, Bench, ClientRun
from tracelock.audit.clients import ClientOf, Contracts, orders, shown_as
from tracelock.audit.judging import Judge
from tracelock.audit.planning import Calls, Planner
from tracelock.audit.reading import MethodCall
from tracelock.audit.results import WAITS
from tracelock.errors import UsageError, unknown
from tracelock.history import models
from tracelock.history.models.base import CallResult, RaisedError, Sequential
from tracelock.history.operations import Operation
from tracelock.history.values import ByEquality, Frozen, InAnyOrder


def _bounded(maxsize: int, **how: Any) -> Sequential:
    return models.QueueSpec(maxsize=maxsize, **how)


#: The ready-made models, by what they are called; each with arguments, if it takes any.
MODELS: Final[Mapping[str, Callable[..., Sequential]]] = {
    "register": models.RegisterSpec, "counter": models.CounterSpec, "dict": models.DictSpec,
    "set": models.SetSpec, "queue": models.QueueSpec, "stack": models.StackSpec,
    "deque": models.DequeSpec, "bounded-queue": _bounded, "lru": models.LRUSpec,
    "ttl": models.TTLSpec, "mutex": models.MutexSpec, "semaphore": models.SemaphoreSpec,
}  # fmt: skip
_NAMED: Final = re.compile(r"^\s*([\w-]+)\s*(?:\((.*)\))?\s*$", re.DOTALL)
#: Functions of Python that call a method of an object, and which.
_FUNCTIONS: Final = {
    "len": "__len__", "list": "__iter__", "next": "__next__", "items_of": "__aiter__",
}  # fmt: skip


def model_of(given: str | Sequential) -> Sequential:
    """A model, or the one of a text like ``queue`` or ``lru(2)``, whose arguments are plain values.
    Raises UsageError for unknown names and wrong arguments."""
    if isinstance(given, Sequential):
        return given
    found = _NAMED.match(given) if isinstance(given, str) else None
    if found is None:
        raise UsageError(f"--model takes NAME or NAME(ARGUMENTS), such as lru(2), not {given!r}")
    name, text = found.groups()
    if name not in MODELS:
        raise unknown("model", name, MODELS)
    try:
        call = ast.parse(f"f({text or ''})", mode="eval").body
        assert isinstance(call, ast.Call)
        arguments = [ast.literal_eval(one) for one in call.args]
        keywords = {str(one.arg): ast.literal_eval(one.value) for one in call.keywords}
        return MODELS[name](*arguments, **keywords)
    except (SyntaxError, ValueError, TypeError) as error:
        told = str(error).replace("_bounded()", name)
        raise UsageError(f"--model {given}: {told}; its arguments are plain values") from None


@dataclass
class _Branch:
    """One of the ways in which an order may go: so far."""

    state: Any
    results: dict[int, Any] = field(default_factory=dict)
    events: list[tuple[bool, int]] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    after: list[Any] = field(default_factory=list)

    def copy(self, state: Any) -> _Branch:
        return _Branch(state, {**self.results}, [*self.events], [*self.waiting], [*self.after])


class ModelOracle:
    """``module``: the one of the calls, in which their arguments are evaluated. ``any_order``: the
    methods whose items come in any order, as far as that is known."""

    def __init__(self, model: Sequential, bench: Bench, module: Any) -> None:
        self.model, self.bench, self.module = model, bench, module
        self.any_order: set[str] = set()
        self._client = ClientOf((), ())
        self._operations: dict[tuple[MethodCall, str], Operation] = {}

    # --- does it fit -------------------------------------------------------------------------
    def fit(self, calls: dict[str, list[MethodCall]], named: bool) -> dict[str, str]:
        """Leave out of ``calls`` the methods of which the model knows nothing, and say why.
        Raises UsageError where that is all, or they were ``named``."""
        missing = {}
        for name, listed in list(calls.items()):
            try:
                for one in listed:
                    for step in one.steps:
                        self.model.known(self.operation(step, WORKERS[0]))
            except UsageError as error:
                missing[name] = str(error).partition(": it knows")[0]
                del calls[name]
        if missing and (named or not calls):
            first, *others = missing
            more = f"; so it is with {', '.join(others)}" if others else ""
            raise UsageError(
                f"the class does not fit the model: {missing[first]}{more}. Name by "
                "--methods those that it knows, or take another --model"
            )
        return missing

    def compare(
        self, planner: Planner, states: Sequence[Calls], every: Sequence[MethodCall],
        contracts: Contracts,
    ) -> None:  # fmt: skip
        """Raises UsageError where the class and the model differ already when calls are made one
        after the other."""
        for state in states:
            for one in every:
                calls = (*state, one)
                real = planner.sequence(calls)
                self.begin(ClientOf((), (calls,)))
                ends = [
                    [*run.results.values(), *([WAITS] if run.waiting else [])]
                    for run in self.in_orders(range(len(calls)))
                ]
                told = [planner.numbered(self._viewed(contracts, calls, end)) for end in ends]
                if planner.numbered(self._viewed(contracts, calls, real)) in told:
                    continue
                where = f" after {'; '.join(map(str, state))}" if state else ""
                should = " or ".join(sorted({shown_as(end[-1]) for end in ends}))
                raise UsageError(
                    f"the class does not fit the model: {one}{where} {shown_as(real[-1])}, and "
                    f"{type(self.model).__name__} says that it {should}, with no other call at "
                    "work. Give the model other arguments, or the class another --init, or leave "
                    "this method out by --methods"
                )

    def check(self, judge: Judge) -> None:
        """Raises UsageError where what the calls of a client come to one after the other is already
        of no order of the model."""
        for order in orders(judge.client.numbers):
            run = self.bench.in_order(order)
            if not (run.waiting or run.died) and judge(run) and judge.anomaly is not None:
                raise UsageError(
                    f"the class does not fit the model: {judge.client}, one call after the other: "
                    f"{judge.anomaly.detail}. Give the model other arguments, or the class another "
                    "--init"
                )

    @staticmethod
    def _viewed(contracts: Contracts, calls: Calls, results: Sequence[Any]) -> list[Any]:
        return [contracts.view(*pair) for pair in zip(calls, results, strict=False)]

    # --- calls -------------------------------------------------------------------------------
    def operation(self, call: MethodCall, worker: str) -> Operation:
        """A call as one of a history."""
        known = self._operations.get((call, worker))
        if known is None:
            name, arguments, keywords = self._parts(ast.parse(call.source, mode="eval").body)
            known = Operation(worker, name, tuple(arguments), keywords)
            self._operations[call, worker] = known
        return known

    def _parts(self, node: ast.expr) -> tuple[str, list[Any], dict[str, Any]]:
        """The method, and its arguments."""
        if isinstance(node, ast.Compare):
            return "__contains__", [self._value(node.left)], {}
        if isinstance(node, ast.Subscript):
            return "__getitem__", [self._value(node.slice)], {}
        if isinstance(node, ast.Attribute):
            return node.attr, [], {}
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Name) and function.id in _FUNCTIONS:
                return _FUNCTIONS[function.id], [], {}
            name = function.attr if isinstance(function, ast.Attribute) else "__call__"
            keywords = {str(one.arg): self._value(one.value) for one in node.keywords}
            return name, [self._value(one) for one in node.args], keywords
        return ast.unparse(node), [], {}

    def _value(self, node: ast.expr) -> Any:
        return eval(compile(ast.Expression(node), "an argument", "eval"), vars(self.module))

    # --- the oracle --------------------------------------------------------------------------
    def begin(self, client: ClientOf) -> None:
        self._client = client
        if len(client.threads) > 1:
            self.bench.begin(client)

    def in_orders(self, order: Sequence[int], open: bool = False) -> list[ClientRun]:
        client = self._client
        branches = [_Branch(self.model.initial())]
        for call in client.before:
            branches = [
                _Branch(reached.state)
                for branch in branches
                for reached in self._apply(branch.state, call, "setup")
                or [CallResult(None, branch.state)]
            ]
        for number in order:
            branches = [made for one in branches for made in self._made(one, number, open)]
        if not any(branch.waiting for branch in branches):
            branches = self._afterwards(branches)
        found = []
        for branch in branches:
            run = ClientRun(branch.results, branch.events, branch.after, not branch.waiting)
            if run not in found:
                found.append(run)
        return found

    def _made(self, branch: _Branch, number: int, open: bool) -> Iterator[_Branch]:
        """A branch with one more call; those that wait go on where they can."""
        if branch.waiting and not open:
            yield branch
            return
        branch = branch.copy(branch.state)
        branch.events.append((True, number))
        branch.waiting.append(number)
        yield from self._settled(branch)

    def _settled(self, branch: _Branch) -> Iterator[_Branch]:
        for number in branch.waiting:
            call = self._client.calls[number]
            reached = self._apply(branch.state, call, self._worker(number))
            if not reached:
                continue
            for one in reached:
                more = branch.copy(one.state)
                more.waiting.remove(number)
                more.results[number] = self._told(call, one)
                more.events.append((False, number))
                yield from self._settled(more)
            return
        yield branch

    def _afterwards(self, branches: list[_Branch]) -> list[_Branch]:
        for call in self._client.after:
            following = []
            for branch in branches:
                reached = self._apply(branch.state, call, "afterwards")
                if branch.after and branch.after[-1] == WAITS:
                    following.append(branch)
                elif not reached:
                    branch.after.append(WAITS)
                    following.append(branch)
                else:
                    for one in reached:
                        more = branch.copy(one.state)
                        more.after.append(self._told(call, one))
                        following.append(more)
            branches = following
        return branches

    def _worker(self, number: int) -> str:
        places = [place for place, mine in enumerate(self._client.numbers) if number in mine]
        return WORKERS[places[0]]

    def _apply(self, state: Any, call: MethodCall, worker: str) -> Sequence[CallResult]:
        return self.model.apply(state, self.operation(call, worker))

    # --- results -----------------------------------------------------------------------------
    def _told(self, call: MethodCall, reached: CallResult) -> tuple[Any, ...]:
        """A result of the model in the form of those of the class."""
        if isinstance(reached.result, RaisedError):
            return ("raises", reached.result.error)
        if isinstance(reached.result, InAnyOrder):
            self.any_order.add(call.method)
            return ("returns", ("items", *map(self._plain, reached.result.items)))
        return ("returns", self._plain(reached.result))

    def _plain(self, value: Any) -> Any:
        if isinstance(value, ByEquality):
            return self._plain(value.value)
        if not isinstance(value, Frozen):
            return self.module.told(value, self)
        kind, *rest = value
        if kind == "mapping":
            pairs = [(self._plain(key), self._plain(one)) for key, one in rest[0]]
            return (kind, *sorted(pairs, key=repr))
        if kind == "set":
            return (kind, *sorted(map(self._plain, rest[0]), key=repr))
        return (kind, *map(self._plain, rest))

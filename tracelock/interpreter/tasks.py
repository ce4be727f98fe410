"""A statement with ``await`` among the tasks of one event loop: where it suspends.

A task goes on until an ``await`` really suspends: one that finds what it waits for lets nobody in.
Which ones suspend is seen when the statement runs; of the others it is only sometimes certain that
they never do.
"""

from __future__ import annotations

import ast
import asyncio
import asyncio.locks
import asyncio.queues
import dis
import time
import types
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

from tracelock.interpreter.expressions import Span, span_of
from tracelock.interpreter.instructions import span_at
from tracelock.interpreter.statement import Statement, StatementProblem, namespace
from tracelock.interpreter.stress import Stressed, in_turn, state
from tracelock.interpreter.switches import CodeFlow, Effect, Known, SwitchClass
from tracelock.interpreter.verdicts import Written, access_text, lock_of, shared_accesses

_NO, _UNSURE, _CAN = SwitchClass.ONLY_WITHOUT_GIL, SwitchClass.CANNOT_TELL, SwitchClass.CAN
_QUIET = Effect(_NO, _NO, _NO, "")
#: asyncio's own: they suspend before they take effect, and go on in one piece then.
_WAITS: dict[Any, str] = {
    asyncio.Lock.acquire: "while another task holds it",
    asyncio.Semaphore.acquire: "while no permit is left",
    asyncio.Event.wait: "until it is set",
    asyncio.Queue.get: "while it is empty",
    asyncio.Queue.put: "while it is full",
}
_LOCKS = (asyncio.Lock, asyncio.Condition)
#: How long a statement may wait when it runs alone.
_PATIENCE = 5.0
_CHUNK = 500


def judge_tasks(statements: Sequence[Statement], source: str) -> dict[str, Any]:
    """Of the first of two statements, whether other tasks come between its accesses.

    ``{"atomic", "why", "suspends": [{"at", "how"}]}``; ``how`` is ``suspends``, ``may`` or
    ``never``. Raises StatementProblem.
    """
    statement = statements[0]
    space = namespace(source)
    flow = _TaskFlow(statement.code(space), statement.tree, suspensions(statement, source))
    known = statement.watched(space)
    names = frozenset().union(*(one.stored for one in statements))
    shared = shared_accesses(flow, known, space, Written(names, None))
    awaits = flow.awaits(known)
    locked = lock_of(statement, known, ast.AsyncWith, _LOCKS)
    if locked:
        return _told(True, f"{locked} is held from its beginning to its end", awaits)
    worst, why = _NO, ""
    for pair in flow.pairs(known, shared):
        if pair.switch > worst and pair.before is not pair.after:
            worst = pair.switch
            between = f"{access_text(pair.before, flow)} and {access_text(pair.after, flow)}"
            why = f"{pair.why}, between {between}"
    if worst:
        return _told(False, why, awaits)
    if any(how == "suspends" for _, how, _ in awaits):
        why = "where it suspends, none of what others can see of it lies on both sides"
    elif any(how == "may" for _, how, _ in awaits):
        why = "where it may suspend, none of what others can see of it lies on both sides"
    else:
        why = "none of its awaits suspends: a task goes on until one does"
    return _told(True, why, awaits)


def _told(atomic: bool, why: str, awaits: list[tuple[str, str, str]]) -> dict[str, Any]:
    found = [{"at": text, "how": how, "when": when} for text, how, when in awaits]
    return {"atomic": atomic, "why": why, "suspends": found}


class _TaskFlow(CodeFlow):
    """The ways through a coroutine, where only a suspended await lets others in."""

    def __init__(self, code: types.FunctionType, tree: ast.AST, suspended: set[Span]) -> None:
        super().__init__(code.__code__, tree)
        self.table = replace(self.table, jumps=frozenset())  # a loop lets no task in
        self._suspended = suspended

    def effect(self, one: dis.Instruction, known: Known | None = None) -> Effect:
        span = span_at(one)
        if one.opname != "SEND" or span is None or known is None:
            return _QUIET
        level, why, waits = self._await(span, known)
        # what waits for its turn has not had its effect yet
        return Effect(level, _NO, _NO, why) if waits else Effect(_NO, level, _NO, why)

    def _await(self, span: Span, known: Known) -> tuple[SwitchClass, str, str]:
        """Whether an await suspends, in words, and when one of asyncio's own does."""
        text = self.expressions.text("await", span) if self.expressions is not None else ""
        values = self.awaited(span, known)
        found = [_WAITS.get(_function_of(value)) for value in values]
        waits = (found and all(found) and found[0]) or ""
        if span in self._suspended:
            return _CAN, f"it suspends at {text!r}", waits
        if values and all(_never(value) for value in values):
            return _NO, "", waits
        when = f" ({waits})" if waits else ""
        return _UNSURE, f"it may suspend at {text!r}{when}", waits

    def awaited(self, span: Span, known: Known) -> Sequence[Any]:
        """What was awaited at ``span``."""
        nodes = self.operands("await", span)
        return (known(span_of(nodes[0])) if nodes else None) or ()

    def awaits(self, known: Known) -> list[tuple[str, str, str]]:
        """Each await: its text, whether it suspends, and when one of asyncio's own does."""
        found = {}
        words = {_NO: "never", _UNSURE: "may", _CAN: "suspends"}
        for one in self.instructions.values():
            span = span_at(one)
            if one.opname == "SEND" and span is not None and self.expressions is not None:
                level, _, waits = self._await(span, known)
                found[span] = self.expressions.text("await", span), words[level], waits
        return list(found.values())


def _function_of(value: Any) -> Any:
    """The function of a bound coroutine, as its class has it."""
    code = getattr(value, "cr_code", None)
    return next((one for one in _WAITS if one.__code__ is code), None)


def _never(value: Any) -> bool:
    """Whether a coroutine has no place at which it could suspend."""
    code = getattr(value, "cr_code", None)
    if not isinstance(code, types.CodeType):
        return False
    names = {one.opname for one in dis.get_instructions(code)}
    return not names & {"SEND", "YIELD_VALUE", "GET_AWAITABLE"}


class _Suspending:
    """Awaits a coroutine, and notes where it stands each time it suspends."""

    def __init__(self, coroutine: Any, seen: set[Span]) -> None:
        self._coroutine, self._seen = coroutine, seen
        self._positions = list(coroutine.cr_code.co_positions())

    def __await__(self) -> Generator[Any, Any, Any]:
        step, given = self._coroutine.send, None
        while True:
            try:
                asked = step(given)
            except StopIteration as end:
                return end.value
            place = self._positions[self._coroutine.cr_frame.f_lasti // 2]
            if None not in place:
                self._seen.add((place[0], place[1], place[2], place[3]))
            try:
                step, given = self._coroutine.send, (yield asked)
            except BaseException as error:
                step, given = self._coroutine.throw, error


def suspensions(statement: Statement, source: str) -> set[Span]:
    """At which awaits the statement suspends when it runs alone. Raises StatementProblem."""
    seen: set[Span] = set()

    async def main() -> None:
        coroutine = statement.code(namespace(source))()
        await asyncio.wait_for(_awaiting(_Suspending(coroutine, seen)), _PATIENCE)

    try:
        asyncio.run(main())
    except TimeoutError:
        raise StatementProblem(
            f"{statement.text!r} waits for something that nobody does: --setup can do it before, "
            "as in --setup 'import asyncio; event = asyncio.Event(); event.set()'"
        ) from None
    except Exception as error:
        problem = f"{statement.text!r} raises {type(error).__name__}: {error}"
        raise StatementProblem(problem) from error
    return seen


async def _awaiting(what: Any) -> Any:
    return await what


def stress_tasks(
    statements: Sequence[Statement], source: str, rounds: int, seconds: float
) -> Stressed:
    """Run two statements as two tasks of one loop, ``rounds`` times each, and compare with one
    after the other."""
    number = max(1, min(_CHUNK, rounds // 5 or 1))
    try:
        ends = {in_turn(statements, source, number, how) for how in ("12", "21", "mixed")}
    except Exception as error:
        return Stressed(0, 0, None, f"repeated, it raises {type(error).__name__} by itself")
    if len(ends) > 1:
        why = "the order of the two makes a difference: no end state is wrong by itself"
        return Stressed(0, 0, None, why)
    done = chunks = anomalies = 0
    end = time.monotonic() + seconds
    while done < rounds and time.monotonic() < end:
        space = namespace(source)
        anomalies += _together(statements, space, number) or state(space) not in ends
        chunks += 1
        done += number
    return Stressed(done, chunks, anomalies)


def _together(statements: Sequence[Statement], space: dict[str, Any], number: int) -> bool:
    """Whether one of two tasks raised."""

    async def repeated(statement: Statement) -> None:
        once = statement.code(space)
        for _ in range(number):
            result = once()
            if statement.kind == "coroutine":
                await result

    async def main() -> list[Any]:
        tasks = (repeated(statement) for statement in statements)
        return await asyncio.gather(*tasks, return_exceptions=True)

    return any(isinstance(one, Exception) for one in asyncio.run(main()))

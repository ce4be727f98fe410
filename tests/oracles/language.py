"""What a scenario's workers do, by the description of the language: flat code for a stack machine.

Written apart from ``tracelock.scenario.compile``, which it is there to check. ``lowering`` makes
the code. A worker's state is a position, a stack, its
locals and its open blocks, so that it can be copied and compared at any moment.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

MAX_QUIET = 100_000  # instructions without a visible step; more than that is a loop without end


class Endless(Exception):
    """A worker went round and round without a visible step."""


class Failure(Exception):
    """A step failed: ``kind`` is ``assert`` or ``error``."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class Cancelled(Exception):
    """Raised at a step of a worker that was cancelled."""


class Expired(Exception):
    """Raised at a step in the ``timeout`` block ``uid`` whose time is over."""

    def __init__(self, uid: int) -> None:
        super().__init__(uid)
        self.uid = uid


EMPTY = ("nothing in the queue",)  # result of a get that got nothing


class Ask(NamedTuple):
    """A visible step that a worker has come to. ``thing``: a variable's number, the number of
    an object, or that of a worker."""

    kind: str
    thing: int = -1
    value: Any = None
    timeout: float | None = None
    blocking: bool = True
    expect: Any = None
    soft: bool = False

    @property
    def tries(self) -> bool:
        """It does not wait: a try, or a wait that may take no time."""
        return not self.blocking or (self.timeout is not None and self.timeout <= 0)


def frozen(value: Any) -> Hashable:
    """A value made hashable; 1, 1.0 and True are kept apart."""
    if isinstance(value, list | tuple):
        return tuple(frozen(item) for item in value)
    if isinstance(value, bool | float):
        return (value.__class__, value)
    if isinstance(value, Exception):
        return (value.__class__.__name__, *value.args)
    return value  # type: ignore[no-any-return]


# --- what is declared ---------------------------------------------------------------------------
class Names:
    """Everything declared, numbered: variables first, then objects, each worker by itself."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.values: list[Any] = []
        self.places: dict[str, tuple[int, int | None]] = {}
        for name, value in data.get("shared", {}).items():
            many = isinstance(value, list)
            self.places[name] = (len(self.values), len(value) if many else None)
            self.values += value if many else [value]
        self.variables = len(self.values)
        self.objects: list[dict[str, Any]] = []  # type and options; "lock" is a number
        declared = {
            name: {"type": spec} if isinstance(spec, str) else spec
            for name, spec in data.get("objects", {}).items()
        }
        later: list[tuple[int, str, int]] = []
        for name, spec in declared.items():
            count = spec.get("count")
            first = self.variables + len(self.objects)
            self.places[name] = (first, count)
            for place in range(1 if count is None else count):
                self.objects.append(dict(spec))
                if spec["type"] == "condition" and "lock" in spec:
                    later.append((len(self.objects) - 1, spec["lock"], place))
        for spec in list(self.objects):
            if spec["type"] == "condition" and "lock" not in spec:
                spec["lock"] = self.variables + len(self.objects)
                self.objects.append({"type": "condition_lock"})
        for place, lock, own in later:
            first, count = self.places[lock]
            self.objects[place]["lock"] = first if count is None else first + own
        self.workers: list[tuple[str, int, int, bool]] = []  # group, index, count, manual
        self.groups: dict[str, list[int]] = {}
        for group, worker in data["workers"].items():
            count = worker.get("count", 1)
            for index in range(count):
                self.groups.setdefault(group, []).append(len(self.workers))
                manual = worker.get("start") == "manual"
                self.workers.append((group, index, count, manual))

    def spec(self, thing: int) -> dict[str, Any]:
        return self.objects[thing - self.variables]

    def lock_of(self, thing: int) -> int:
        """What is taken where a condition is named: its lock."""
        spec = self.spec(thing)
        return spec["lock"] if spec["type"] == "condition" else thing


# --- the machine -----------------------------------------------------------------------------
class Worker:
    """One worker somewhere in its code. ``blocks``: (handler, height of the stack) of each open
    block; ``scopes``: (uid, seconds) of each ``timeout`` block it is in."""

    __slots__ = ("blocks", "code", "locals", "pc", "scopes", "stack", "uids")

    def __init__(self, code: list[tuple[Any, ...]]) -> None:
        self.code = code
        self.pc = 0
        self.stack: list[Any] = []
        self.locals: dict[str, Any] = {}
        self.blocks: tuple[tuple[int, int], ...] = ()
        self.scopes: tuple[tuple[int, Any], ...] = ()
        self.uids = 0

    def copy(self) -> Worker:
        new = Worker(self.code)
        new.pc, new.blocks, new.scopes, new.uids = self.pc, self.blocks, self.scopes, self.uids
        new.stack, new.locals = self.stack[:], self.locals.copy()
        return new

    def key(self) -> Hashable:
        settled = tuple((name, frozen(value)) for name, value in sorted(self.locals.items()))
        return self.pc, frozen(self.stack), settled, self.blocks, len(self.scopes)

    def resume(self, result: Any) -> Ask | None:
        """Go on with the result of the step it was at, to its next one; None: it has ended."""
        self.stack.append(result)
        return self._run()

    def throw(self, error: Exception) -> Ask | None:
        """Go on with an error at the step it was at."""
        self._caught(error)
        return self._run()

    def begin(self) -> Ask | None:
        return self._run()

    def _caught(self, error: Exception) -> None:
        if not self.blocks:
            raise error
        *outer, (self.pc, height) = self.blocks
        self.blocks = tuple(outer)
        del self.stack[height:]
        self.stack.append(error)

    def _run(self, values: list[Any] | None = None, seen: Any = None) -> Any:
        """To the next visible step; with ``values``, to the end of the atomic block on them."""
        for _ in range(MAX_QUIET):
            kind, *rest = self.code[self.pc]
            self.pc += 1
            try:
                if kind == "end":
                    self.pc -= 1
                    return None
                if kind == "atomic":
                    return Ask("atomic")
                if kind == "atomic ends":
                    return None
                if kind == "ask":
                    ask = self._asked(*rest)
                    if values is None:
                        return ask
                    self.stack.append(_at_once(ask, values, seen))
                else:
                    getattr(self, f"do_{kind}")(*rest)
            except (Failure, Cancelled, Expired) as error:
                self._failed(error, values)
            except Exception:
                self._failed(Failure("error"), values)
        raise Endless

    def _failed(self, error: Exception, values: list[Any] | None) -> None:
        if values is not None:
            raise error
        self._caught(error)

    def atomically(self, values: list[Any]) -> tuple[set[int], set[int], Failure | None]:
        """Do the atomic block it has come to on ``values``: what it read and wrote, how it failed.

        What it did before it failed stays done.
        """
        reads: set[int] = set()
        writes: set[int] = set()
        try:
            self._run(values, (reads, writes))
        except Failure as error:
            return reads, writes, error
        return reads, writes, None

    def _pop(self, count: int) -> list[Any]:
        if not count:
            return []
        taken = self.stack[-count:]
        del self.stack[-count:]
        return taken

    def _asked(self, count: int, make: Callable[..., Ask]) -> Ask:
        return make(*self._pop(count))

    def do_push(self, value: Any) -> None:
        self.stack.append(value)

    def do_pop(self) -> None:
        self.stack.pop()

    def do_load(self, name: str, otherwise: Any) -> None:
        if name not in self.locals and otherwise is None:
            raise NameError(name)
        self.stack.append(self.locals.get(name, otherwise))

    def do_store(self, name: str) -> None:
        self.locals[name] = self.stack.pop()

    def do_call(self, function: Callable[..., Any], count: int) -> None:
        self.stack.append(function(*self._pop(count)))

    def do_jump(self, there: int) -> None:
        self.pc = there

    def do_unless(self, there: int) -> None:
        if not self.stack.pop():
            self.pc = there

    def do_keep(self, wanted: bool, there: int) -> None:
        """Short circuit: go ``there`` with the value where it is as ``wanted``."""
        if bool(self.stack[-1]) is wanted:
            self.pc = there
        else:
            self.stack.pop()

    def do_chain(self, compare: Callable[[Any, Any], Any], there: int) -> None:
        """One link of ``a < b < c``: on with b, or ``there`` with what is false."""
        a, b = self._pop(2)
        value = compare(a, b)
        self.stack.append(b if value else value)
        if not value:
            self.pc = there

    def do_round(self, index: str | None, there: int) -> None:
        count, done = self.stack[-2:]
        if done >= count:
            del self.stack[-2:]
            self.pc = there
            return
        self.stack[-1] += 1
        if index is not None:
            self.locals[index] = done

    def do_setup(self, handler: int) -> None:
        self.blocks += ((handler, len(self.stack)),)

    def do_leave(self) -> None:
        self.blocks = self.blocks[:-1]

    def do_fail(self, kind: str) -> None:
        raise Failure(kind)

    def do_raise(self) -> None:
        raise self.stack.pop()

    def do_enter(self) -> None:
        self.uids += 1
        self.scopes += ((self.uids, self.stack.pop()),)

    def do_exit(self) -> None:
        self.scopes = self.scopes[:-1]

    def do_expired(self) -> None:
        """In the handler of a timeout block: on where its time is over, else out with the error."""
        error = self.stack.pop()
        uid, _ = self.scopes[-1]
        self.scopes = self.scopes[:-1]
        if not isinstance(error, Expired) or error.uid != uid:
            raise error

    def do_got(self, into: str | None, got: str | None) -> None:
        """What a get that may find nothing leaves in its locals."""
        result = self.stack.pop()
        if got is None and result is EMPTY:
            raise Failure("error")
        if into is not None:
            if result is not EMPTY:
                self.locals[into] = result
            elif got is not None:
                self.locals.setdefault(into, None)
        if got is not None:
            self.locals[got] = result is not EMPTY


def _at_once(ask: Ask, values: list[Any], seen: tuple[set[int], set[int]]) -> Any:
    """A read or a write inside an atomic block."""
    reads, writes = seen
    if ask.kind == "read":
        if ask.thing not in writes:
            reads.add(ask.thing)
        return values[ask.thing]
    writes.add(ask.thing)
    values[ask.thing] = ask.value
    return None

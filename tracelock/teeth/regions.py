"""The lock regions of a module, in its syntax tree.

A region is what stands between taking a lock and giving it back: ``with lock:``, ``async with
lock:``, or ``lock.acquire()`` with ``lock.release()`` after it in the same block, in the
``finally`` of the next statement or plainly. A lock is what a constructor of ``threading``,
``multiprocessing``, ``asyncio``, ``trio`` or ``anyio`` made and the module keeps under a name, and
what is called like one. Decorators, exit stacks and locks taken in one function and given back in
another are not regions.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Final

#: Constructors of what is taken and given back.
_MAKERS: Final = frozenset({
    "Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore", "CapacityLimiter",
    "StrictFIFOLock", "allocate_lock",
})  # fmt: skip
#: Words in the names of such things, and words that end as they do.
_WORDS: Final = frozenset({
    "mutex", "sem", "semaphore", "semaphores", "cond", "condition", "conditions", "cv", "limiter",
})  # fmt: skip
_OTHER_WORDS: Final = frozenset({
    "block", "unblock", "clock", "wallclock", "unlock", "deadlock", "livelock", "padlock",
})  # fmt: skip
#: What the standard library calls its conditions.
_NAMES: Final = frozenset({"not_empty", "not_full", "all_tasks_done"})
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_WITH, _TRY, _PAIR = "with", "try", "pair"


@dataclass(frozen=True, slots=True)
class KnownLock:
    """A lock that a module makes. ``attribute``: whether it is one of the objects of the class
    ``owner``, else ``owner`` is the function, or class, that has the name ("": the module).
    ``maker``: its constructor; ``family``: the library of that; ``same``: the name of the lock that
    a condition is made of."""

    owner: str
    name: str
    attribute: bool
    maker: str
    family: str
    same: str = ""


@dataclass(eq=False)
class LockRegion:
    """``block``: the statements among which it stands, from ``start`` on, ``length`` of them.
    ``lock``: the expression that is taken; ``item``: its place where a ``with`` has several.
    ``body``: what is done under the lock. ``function``: the qualified name of where it is;
    ``owner``: the class, "" where there is none; ``local``: names that are the function's own."""

    block: list[ast.stmt]
    start: int
    length: int
    form: str
    lock: ast.expr
    body: list[ast.stmt]
    function: str
    owner: str
    local: frozenset[str]
    item: int = 0
    #: Of a pair that is awaited.
    awaited: bool = False
    #: Regions that stand directly in it, in the same block, and around it.
    inner: list[LockRegion] = field(default_factory=list)
    beside: list[LockRegion] = field(default_factory=list)
    outer: tuple[LockRegion, ...] = ()

    @property
    def first(self) -> ast.stmt:
        return self.block[self.start]

    @property
    def line(self) -> int:
        return self.first.lineno

    @property
    def text(self) -> str:
        """The lock, as it is written."""
        return ast.unparse(self.lock)

    @property
    def is_async(self) -> bool:
        return isinstance(self.first, ast.AsyncWith) or self.awaited

    @property
    def alone(self) -> bool:
        """Whether its lock is all that it stands for: nothing else is opened or handled there."""
        here = self.block[self.start + self.length - 1]
        if self.form == _WITH:
            assert isinstance(here, (ast.With, ast.AsyncWith))
            return len(here.items) == 1 and here.items[0].optional_vars is None
        if self.form == _TRY:
            assert isinstance(here, ast.Try)
            return not here.handlers and not here.orelse and len(here.finalbody) == 1
        return True

    def around(self, body: list[ast.stmt], lock: ast.expr | None = None) -> list[ast.stmt]:
        """The statements of this region, around another body, or with another lock."""
        made = deepcopy(self.block[self.start : self.start + self.length])
        expression = self.lock if lock is None else lock
        here = made[-1]
        if self.form == _WITH:
            assert isinstance(here, (ast.With, ast.AsyncWith))
            here.items[self.item].context_expr = expression
            here.body = body
            return made
        _replace_receiver(made[0], expression)
        if self.form == _TRY:
            assert isinstance(here, ast.Try)
            here.body = body
            for one in here.finalbody:
                if called_on(one, "release") == ast.dump(self.lock):
                    _replace_receiver(one, expression)
            return made
        _replace_receiver(made[-1], expression)
        return [made[0], *body, made[-1]]

    def without(self) -> list[ast.stmt]:
        """The statements of this region, without its lock."""
        here = deepcopy(self.block[self.start + self.length - 1])
        if self.form == _PAIR:
            return list(self.body)
        if self.form == _WITH:
            assert isinstance(here, (ast.With, ast.AsyncWith))
            gone = here.items.pop(self.item)
            given: list[ast.stmt] = []
            if gone.optional_vars is not None:  # what ``with lock as name`` gives
                value = ast.Constant(None if self.is_async else True)
                given = [ast.copy_location(ast.Assign([gone.optional_vars], value), here)]
            if not here.items:
                return [*given, *self.body]
            here.body = [*given, *self.body]
            return [here]
        assert isinstance(here, ast.Try)
        here.body = self.body
        here.finalbody = [
            one for one in here.finalbody if called_on(one, "release") != ast.dump(self.lock)
        ]
        if here.finalbody or here.handlers:
            return [here]
        return [*self.body, *here.orelse]


def called_on(statement: ast.stmt, method: str) -> str:
    """What ``x.method()``, or ``await x.method()``, is called on, as a dump, "" for another
    statement."""
    receiver = _receiver(statement, method)
    return "" if receiver is None else ast.dump(receiver)


def _receiver(statement: ast.stmt, method: str) -> ast.expr | None:
    if not isinstance(statement, ast.Expr):
        return None
    value = statement.value
    if isinstance(value, ast.Await):
        value = value.value
    match value:
        case ast.Call(func=ast.Attribute(value=receiver, attr=name), args=[], keywords=[]):
            return receiver if name == method else None
    return None


def _replace_receiver(statement: ast.stmt, lock: ast.expr) -> None:
    assert isinstance(statement, ast.Expr)
    value = statement.value
    call = value.value if isinstance(value, ast.Await) else value
    assert isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
    call.func.value = lock


# --- which locks there are ----------------------------------------------------------------------
def known_locks(tree: ast.Module) -> list[KnownLock]:
    """The locks that a module makes and keeps under names of its own or of its classes."""
    found: dict[tuple[str, str, bool], KnownLock] = {}
    imported = _imported(tree)
    for owner, function, node in _owned(tree):
        targets: list[ast.expr]
        match node:
            case ast.Assign(targets=targets, value=ast.expr() as value):
                pass
            case ast.AnnAssign(target=one, value=ast.expr() as value):
                targets = [one]
            case _:
                continue
        made = _made(value, imported)
        if made is None:
            continue
        for target in targets:
            match target:
                case ast.Attribute(value=ast.Name(), attr=name) if owner:
                    attribute, place = True, owner
                case ast.Name(id=name):
                    attribute, place = bool(owner) and function == owner, function
                case _:
                    continue
            found.setdefault((place, name, attribute), KnownLock(place, name, attribute, *made))
    return list(found.values())


def _owned(tree: ast.Module) -> Iterator[tuple[str, str, ast.stmt]]:
    """The statements of a module, with the class and with the function (or class) of each."""

    def walk(
        block: list[ast.stmt], owner: str, function: str
    ) -> Iterator[tuple[str, str, ast.stmt]]:
        for node in block:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                name = f"{function}.{node.name}" if function else node.name
                inside = name if isinstance(node, ast.ClassDef) else owner
                yield from walk(node.body, inside, name)
                continue
            yield owner, function, node
            for inner in _blocks(node):
                yield from walk(inner, owner, function)

    return walk(tree.body, "", "")


def _imported(tree: ast.Module) -> dict[str, str]:
    """The names of a module that are modules or constructors of others: by the name here."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name.partition(".")[0]] = alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


def _made(value: ast.expr, imported: dict[str, str]) -> tuple[str, str, str] | None:
    """The constructor, its library, and the lock of a condition, of an expression that makes a
    lock; None for another."""
    match value:
        case ast.Call(func=ast.Name("field") | ast.Attribute(attr="field"), keywords=keywords):
            for given in keywords:
                if given.arg == "default_factory":
                    return _made(ast.Call(given.value, [], []), imported)
            return None
        case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr=name), args=arguments):
            library = imported.get(module, module)
        case ast.Call(func=ast.Name(id=known), args=arguments):
            library, _, name = imported.get(known, known).rpartition(".")
        case _:
            return None
    if name not in _MAKERS:
        return None
    same = ""
    if name == "Condition" and arguments and isinstance(arguments[0], (ast.Attribute, ast.Name)):
        one = arguments[0]
        same = one.attr if isinstance(one, ast.Attribute) else one.id
    return name, library.partition(".")[0], same


def _final_name(lock: ast.expr) -> str:
    match lock:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case ast.Subscript(value=value):
            return _final_name(value)
    return ""


def _is_lock(lock: ast.expr, names: frozenset[str]) -> bool:
    called = isinstance(lock, ast.Call)
    name = _final_name(lock.func if isinstance(lock, ast.Call) else lock)
    return bool(name) and ((name in names and not called) or is_called_like_one(name))


def is_called_like_one(name: str) -> bool:
    """Whether something of this name is probably a lock: ``_write_lock``, ``rlock``, ``cond2``."""
    if name in _NAMES:
        return True
    words = [word.lower() for word in _WORD.findall(name)]
    return any(
        word in _WORDS
        or (word.removesuffix("s").endswith("lock") and word.removesuffix("s") not in _OTHER_WORDS)
        for word in words
    )


# --- where they are taken -----------------------------------------------------------------------
def regions_of(tree: ast.Module) -> list[LockRegion]:
    """The lock regions of a module, in the order of its lines, those inside after those around."""
    names = frozenset(one.name for one in known_locks(tree))
    found: list[LockRegion] = []
    _block(tree.body, names, _Place("", "", frozenset()), found)
    blocks: dict[int, list[LockRegion]] = {}
    for one in found:
        one.beside = blocks.setdefault(id(one.block), [])
        one.beside.append(one)
    return found


@dataclass(frozen=True, slots=True)
class _Place:
    function: str
    owner: str
    local: frozenset[str]
    outer: tuple[LockRegion, ...] = ()

    def inside(self, node: ast.stmt) -> _Place:
        """The place of what stands in a function or class."""
        name = node.name  # type: ignore[attr-defined]
        full = f"{self.function}.{name}" if self.function else name
        if isinstance(node, ast.ClassDef):
            return _Place(full, full, self.local)
        assert isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        return _Place(full, self.owner, local_names(node))


def local_names(node: ast.FunctionDef | ast.AsyncFunctionDef) -> frozenset[str]:
    """The names that are a function's own, and that no function inside of it has."""
    mine: set[str] = set()
    others: set[str] = set()
    for one in ast.walk(node):
        if isinstance(one, ast.arg):
            mine.add(one.arg)
        elif isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store):
            mine.add(one.id)
        elif isinstance(one, (ast.Global, ast.Nonlocal)):
            others.update(one.names)
        if one is not node and isinstance(one, _FUNCTIONS):
            others.update(name.id for name in ast.walk(one) if isinstance(name, ast.Name))
    return frozenset(mine - others)


def _block(
    block: list[ast.stmt], names: frozenset[str], place: _Place, found: list[LockRegion]
) -> None:
    for start, node in enumerate(block):
        regions = list(_here(block, start, names, place))
        for region in regions:
            region.outer = place.outer
        found += regions
        inside = place
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            inside = place.inside(node)
        elif regions:
            inside = replace(place, outer=(*place.outer, *regions))
        before = len(found)
        for inner in _blocks(node):
            _block(inner, names, inside, found)
        for region in regions:
            region.inner = [one for one in found[before:] if one.block is region.body]


def _blocks(node: ast.stmt) -> Iterator[list[ast.stmt]]:
    """The blocks of a statement."""
    for name in ("body", "orelse", "finalbody"):
        inner = getattr(node, name, None)
        if isinstance(inner, list) and inner and isinstance(inner[0], ast.stmt):
            yield inner
    for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
        yield part.body


def _here(
    block: list[ast.stmt], start: int, names: frozenset[str], place: _Place
) -> Iterator[LockRegion]:
    node = block[start]
    given = (place.function, place.owner, place.local)
    if isinstance(node, (ast.With, ast.AsyncWith)):
        for item, one in enumerate(node.items):
            if _is_lock(one.context_expr, names):
                yield LockRegion(block, start, 1, _WITH, one.context_expr, node.body, *given, item)
        return
    taken = _receiver(node, "acquire")
    if taken is None:
        return
    awaited = isinstance(node, ast.Expr) and isinstance(node.value, ast.Await)
    dump = ast.dump(taken)
    following = block[start + 1] if start + 1 < len(block) else None
    if isinstance(following, ast.Try):
        if any(called_on(one, "release") == dump for one in following.finalbody):
            body = following.body
            yield LockRegion(block, start, 2, _TRY, taken, body, *given, awaited=awaited)
        return
    for end in range(start + 2, len(block)):
        if called_on(block[end], "acquire") == dump:
            return
        if called_on(block[end], "release") == dump:
            body = block[start + 1 : end]
            length = end - start + 1
            yield LockRegion(block, start, length, _PAIR, taken, body, *given, awaited=awaited)
            return

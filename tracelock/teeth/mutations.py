"""Mutants of the lock regions of a module: what each changes, and how."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from tracelock.instrument.rewrite.changing import noting
from tracelock.teeth.regions import KnownLock, LockRegion, known_locks, regions_of

REMOVED: Final = "removed"
NARROWED: Final = "narrowed"
WIDENED: Final = "widened"
SWAPPED: Final = "swapped"
REPLACED: Final = "replaced"
#: What is done to a region, in the order in which mutants are tried.
KINDS: Final = (REMOVED, NARROWED, SWAPPED, REPLACED, WIDENED)

#: Other locks that are tried in the place of one.
_OTHERS: Final = 2
_JUMPS: Final = (ast.Return, ast.Raise, ast.Break, ast.Continue)
#: Statements that are not taken into a region: nothing of them is done at its place alone.
_DECLARING: Final = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Global,
    ast.Nonlocal, ast.Pass,
)  # fmt: skip
#: What a condition does for who holds its lock alone.
_OF_CONDITIONS: Final = ("wait", "wait_for", "notify", "notify_all")
_SHOWN: Final = 70


@dataclass(eq=False)
class Mutation:
    """One change of one region. ``line``: where the region begins; ``was``, ``now``: the line that
    tells it, before and after; ``apply`` changes the tree that it was found in, once, with a note
    of this ``number`` where what was changed is run."""

    kind: str
    number: int
    line: int
    function: str
    owner: str
    lock: str
    was: str
    now: str
    apply: Callable[[int], None]
    #: Puts the note alone into the tree.
    mark: Callable[[int], None]
    #: What it does without the lock that this needs, "" where nothing is seen.
    misuse: str = ""


def mutations_of(tree: ast.Module, kinds: Sequence[str] = KINDS) -> list[Mutation]:
    """All mutants of a module, one for each change of each region, in the order of the lines. The
    same tree gives the same ones."""
    locks = known_locks(tree)
    found: list[Mutation] = []
    for region in regions_of(tree):
        for kind, was, now, change, at, without in _changes(region, locks):
            if kind in kinds:
                found.append(
                    Mutation(
                        kind, len(found), region.line, region.function, region.owner,
                        region.text, was, now,
                        partial(_apply, change, tree), partial(_mark, tree, *at),
                        _misused(region, without, locks),
                    )
                )  # fmt: skip
    return found


_Change = Callable[[int], None]
#: The kind, the line before and after, the change, where what it changes is run, and the statements
#: that are done without the lock then.
_Row = tuple[
    str, str, str, _Change, tuple[list[ast.stmt], ast.stmt], Sequence[ast.stmt]
]  # fmt: skip


def _apply(change: _Change, tree: ast.Module, number: int) -> None:
    change(number)
    ast.fix_missing_locations(tree)


def _mark(tree: ast.Module, block: list[ast.stmt], statement: ast.stmt, number: int) -> None:
    place = next(place for place, one in enumerate(block) if one is statement)
    block.insert(place, noting(number, statement))
    ast.fix_missing_locations(tree)


def _changes(region: LockRegion, locks: Sequence[KnownLock]) -> Iterator[_Row]:
    yield _removed(region)
    if region.alone:
        yield from _narrowed(region)
        yield from _widened(region)
    yield from _swapped(region)
    yield from _replaced(region, locks)


def _row(
    region: LockRegion, kind: str, was: str, now: str, made: Callable[[int], list[ast.stmt]],
    *, start: int | None = None, length: int | None = None,
    at: ast.stmt | None = None, without: Sequence[ast.stmt] = (),
) -> _Row:  # fmt: skip
    """A change that puts other statements in the place of those of a region, or of those from
    ``start`` on. ``at``: where its note is, that of the region unless given; ``without``: what is
    done without the lock then."""
    begin = region.start if start is None else start
    count = region.length if length is None else length

    def change(number: int) -> None:
        region.block[begin : begin + count] = made(number)

    return kind, was, now, change, _place(region, at), without


def _place(region: LockRegion, statement: ast.stmt | None) -> tuple[list[ast.stmt], ast.stmt]:
    """A statement of a region, or near it, and the block that has it; the first unless given."""
    wanted = region.first if statement is None else statement
    blocks = (region.block, region.body)  # the body of a pair is a part of the block
    return next(block for block in blocks if any(one is wanted for one in block)), wanted


# --- removed ------------------------------------------------------------------------------------
def _removed(region: LockRegion) -> _Row:
    return _row(
        region, REMOVED, _head(region), _without(region),
        lambda number: [noting(number, region.first), *region.without()], without=region.body,
    )  # fmt: skip


def _head(region: LockRegion) -> str:
    """The first line of a region, or what stands for it."""
    if region.form == "with":
        return _short(ast.unparse(region.first).split("\n")[0])
    return f"from {_short(region.text)}.acquire() to .release():"


def _without(region: LockRegion) -> str:
    first = region.first
    if isinstance(first, (ast.With, ast.AsyncWith)) and len(first.items) > 1:
        return _short(ast.unparse(region.without()[0]).split("\n")[0])
    return f"if True:  # without {_short(region.text)}"


# --- narrowed -----------------------------------------------------------------------------------
def _narrowed(region: LockRegion) -> Iterator[_Row]:
    body = region.body
    if len(body) < 2:
        return
    first, last = body[0], body[-1]
    if not isinstance(first, _JUMPS) and not isinstance(first, _DECLARING):
        yield _row(
            region, NARROWED, f"{_head(region)} {_short(_text(first))}; ...",
            f"{_short(_text(first))}; then {_head(region)} ...",
            lambda number: [noting(number, first), first, *region.around(body[1:])],
            without=[first],
        )  # fmt: skip
    if _does_something(last, region):
        yield _row(
            region, NARROWED, f"{_head(region)} ...; {_short(_text(last))}",
            f"{_head(region)} ...; then, without it: {_short(_text(last))}",
            lambda number: [*region.around(body[:-1]), noting(number, last), last],
            at=last, without=[last],
        )  # fmt: skip


def _does_something(statement: ast.stmt, region: LockRegion) -> bool:
    """Whether it matters where a last statement is: not that of a jump with what is the function's
    own alone, nor after a lock of tasks what does not suspend."""
    if isinstance(statement, (ast.Break, ast.Continue, *_DECLARING)):
        return False
    if region.is_async and not _suspends(statement):
        return False  # no other task comes in between the end of the region and this
    if isinstance(statement, ast.Return):
        return not _is_own(statement.value, region)
    return True


def _suspends(statement: ast.stmt) -> bool:
    return any(
        isinstance(node, (ast.Await, ast.AsyncFor, ast.AsyncWith, ast.Yield))
        for node in ast.walk(statement)
    )


def _is_own(value: ast.expr | None, region: LockRegion) -> bool:
    match value:
        case None | ast.Constant():
            return True
        case ast.Name(id=name):
            return name in region.local
        case ast.Tuple(elts=parts):
            return all(_is_own(one, region) for one in parts)
    return False


# --- widened ------------------------------------------------------------------------------------
def _widened(region: LockRegion) -> Iterator[_Row]:
    block, start, end = region.block, region.start, region.start + region.length
    if start > 0 and _may_come_in(block[start - 1], region, before=True):
        before = block[start - 1]
        yield _row(
            region, WIDENED, f"{_short(_text(before))}; then {_head(region)} ...",
            f"{_head(region)} {_short(_text(before))}; ...",
            lambda number: region.around([noting(number, before), before, *region.body]),
            start=start - 1, length=region.length + 1, at=before,
        )  # fmt: skip
    if end < len(block) and _may_come_in(block[end], region, before=False):
        after = block[end]
        yield _row(
            region, WIDENED, f"{_head(region)} ...; then {_short(_text(after))}",
            f"{_head(region)} ...; {_short(_text(after))}",
            lambda number: region.around([*region.body, noting(number, after), after]),
            length=region.length + 1, at=after,
        )  # fmt: skip


def _may_come_in(statement: ast.stmt, region: LockRegion, *, before: bool) -> bool:
    """Whether a statement can be done under the lock as well: the lock has to be there, and not to
    be taken by it already."""
    if isinstance(statement, _DECLARING):
        return False
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return False  # a text that says what the function does
    if not before and region.body and isinstance(region.body[-1], _JUMPS):
        return False
    dump = ast.dump(region.lock)
    used = {node.id for node in ast.walk(region.lock) if isinstance(node, ast.Name)}
    for node in ast.walk(statement):
        if isinstance(node, ast.expr) and ast.dump(node) == dump:
            return False
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in used:
            return False
        if (
            isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
            and isinstance(region.lock, ast.Attribute) and node.attr == region.lock.attr
        ):  # fmt: skip
            return False
    return True


# --- swapped ------------------------------------------------------------------------------------
def _swapped(region: LockRegion) -> Iterator[_Row]:
    first = region.first
    if region.form == "with" and isinstance(first, (ast.With, ast.AsyncWith)):
        following = region.item + 1
        if following < len(first.items):
            other = first.items[following]
            beside = [
                one for one in regions_in(region, region.block, region.start)
                if one.item == following
            ]  # fmt: skip
            if (
                beside
                and other.optional_vars is None
                and first.items[region.item].optional_vars is None
            ):
                yield _order(region, first, following)
    for inner in region.inner:
        if _exchangeable(region, inner, region.body[: inner.start]):
            yield _exchanged(region, inner, "inside it")
    end = region.start + region.length
    for other_region in regions_in(region, region.block, end):
        plain = other_region.item == 0 and region.alone and other_region.alone
        if plain and _exchangeable(region, other_region, region.body):
            yield _exchanged(region, other_region, "after it")


def regions_in(region: LockRegion, block: list[ast.stmt], place: int) -> list[LockRegion]:
    """The regions that begin at a place of the block of a region."""
    return [one for one in region.beside if one.block is block and one.start == place]


def _order(region: LockRegion, first: ast.With | ast.AsyncWith, following: int) -> _Row:
    here = region.item
    names = [ast.unparse(one.context_expr) for one in first.items]
    turned = list(names)
    turned[here], turned[following] = turned[following], turned[here]

    def change(number: int) -> None:
        items = first.items
        items[here], items[following] = items[following], items[here]
        region.block.insert(region.start, noting(number, first))

    word = "async with" if isinstance(first, ast.AsyncWith) else "with"
    was, now = (f"{word} {_short(', '.join(each))}:" for each in (names, turned))
    return SWAPPED, was, now, change, _place(region, None), ()


def _exchangeable(one: LockRegion, other: LockRegion, between: list[ast.stmt]) -> bool:
    """Whether two regions can have one another's lock: both awaited or neither, two locks, and the
    second is not made or chosen after the first was taken."""
    if one.is_async != other.is_async or ast.dump(one.lock) == ast.dump(other.lock):
        return False
    used = {
        node.id for lock in (one.lock, other.lock) for node in ast.walk(lock)
        if isinstance(node, ast.Name)
    }  # fmt: skip
    return not any(
        isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in used
        for statement in between for node in ast.walk(statement)
    )  # fmt: skip


def _exchanged(region: LockRegion, other: LockRegion, where: str) -> _Row:
    def change(number: int) -> None:
        theirs, mine = other.lock, region.lock
        # the later one first: the places of statements before it stay
        made = other.around(other.body, mine)
        other.block[other.start : other.start + other.length] = made
        again = region.around(region.body, theirs)
        region.block[region.start : region.start + region.length] = [
            noting(number, region.first), *again,
        ]  # fmt: skip

    return (
        SWAPPED, f"{_short(region.text)}, and {where} {_short(other.text)}",
        f"{_short(other.text)}, and {where} {_short(region.text)}", change,
        (other.block, other.first), [one for one in region.body if one is not other.first],
    )  # fmt: skip


# --- replaced -----------------------------------------------------------------------------------
def _replaced(region: LockRegion, locks: Sequence[KnownLock]) -> Iterator[_Row]:
    mine = _known(region, region.lock, locks)
    if mine is None:
        return
    count = 0
    for one in locks:
        if count == _OTHERS:
            return
        if (one.owner, one.attribute) != (mine.owner, mine.attribute) or one.name == mine.name:
            continue
        if one.family != mine.family or _root(one, locks) == _root(mine, locks):
            continue
        other = _named(region.lock, one.name)
        same = regions_in(region, region.block, region.start)
        held = [ast.dump(each.lock) for each in (*region.inner, *region.outer, *same)]
        if ast.dump(other) in held:
            continue  # it would be taken twice
        count += 1
        yield _row(
            region, REPLACED, _head(region), _head(region).replace(region.text, ast.unparse(other)),
            partial(_with_lock, region, other), without=region.body,
        )  # fmt: skip


def _with_lock(region: LockRegion, other: ast.expr, number: int) -> list[ast.stmt]:
    return [noting(number, region.first), *region.around(region.body, other)]


def _known(
    region: LockRegion, lock: ast.expr, locks: Sequence[KnownLock]
) -> KnownLock | None:  # fmt: skip
    for one in locks:
        match lock:
            case ast.Attribute(attr=name) if one.attribute:
                if name == one.name and region.owner == one.owner:
                    return one
            case ast.Name(id=name) if not one.attribute and name == one.name:
                if not one.owner or f"{region.function}.".startswith(f"{one.owner}."):
                    return one
    return None


def _root(lock: KnownLock, locks: Sequence[KnownLock]) -> str:
    """The lock that is really taken: a condition may be made of another lock."""
    seen = {lock.name}
    while lock.same and lock.same not in seen:
        seen.add(lock.same)
        following = [
            one for one in locks
            if one.name == lock.same and (one.owner, one.attribute) == (lock.owner, lock.attribute)
        ]  # fmt: skip
        if not following:
            return lock.same
        lock = following[0]
    return lock.name


def _named(lock: ast.expr, name: str) -> ast.expr:
    if isinstance(lock, ast.Attribute):
        return ast.copy_location(ast.Attribute(lock.value, name, ast.Load()), lock)
    return ast.copy_location(ast.Name(name, ast.Load()), lock)


# --- what needs the lock ------------------------------------------------------------------------
def _misused(
    region: LockRegion, statements: Sequence[ast.stmt], locks: Sequence[KnownLock]
) -> str:  # fmt: skip
    """The first call among statements that are done without the lock now, that no condition allows
    without it; "" where there is none."""

    def root(lock: ast.expr) -> str:
        known = _known(region, lock, locks)
        return ast.dump(lock) if known is None else f"{known.owner}.{_root(known, locks)}"

    mine = root(region.lock)
    if any(root(one.lock) == mine for one in region.outer):
        return ""
    for statement in statements:
        for node in ast.walk(statement):
            match node:
                case ast.Call(func=ast.Attribute(value=lock, attr=name)) if (
                    name in _OF_CONDITIONS and root(lock) == mine
                ):
                    return ast.unparse(node.func)
    return ""


# --- texts --------------------------------------------------------------------------------------
def _text(statement: ast.stmt) -> str:
    """The first line of a statement."""
    text, _, more = ast.unparse(statement).partition("\n")
    return f"{text} ..." if more else text


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."

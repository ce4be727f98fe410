"""Control flow as Python functions.

A worker is lowered into basic blocks. A block ends in a yield (an op goes to the engine; its
result comes to the block after it), a branch, a jump or the end. Each block after a yield
becomes a function, a *segment*; blocks that follow it without a yield are written into the
same function where one way only leads to them or where they are short, and become segments
of their own otherwise. A line of source belongs to one block, hence to one error handler.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field
from typing import Any, Final

from tracelock.scenario.compile.rounds import WORK
from tracelock.scenario.compile.runtime import JUMP, Code, Handler, Machine, YieldPoint, done
from tracelock.scenario.compile.translate import GlobalNames

#: Lines that a jump may repeat instead of being one: the head of most loops, the end of an if.
SHORT: Final = 8
#: Python refuses source that is indented a hundred levels.
DEEP: Final = 40
#: Source that pays for something (``costs``); where none does, no step begins an account.
PAID: Final = re.compile(r"\b(add|mul|spent|listed|sum_|min_|max_|float|checked|scalar)\(")


@dataclass(slots=True, eq=False)
class BasicBlock:
    """A basic block. ``lines`` holds (indentation, source, path of the step).

    ``then``/``other``: where it goes; with a ``test``, ``other`` if that is false; with an
    ``op``, ``then`` is resumed with the result. Neither: the worker has ended.
    """

    handler: Handler | None
    at: str = ""  # the step that ends the block
    lines: list[tuple[int, str, str]] = field(default_factory=list)
    test: str | None = None
    op: str | None = None
    then: BasicBlock | None = None
    other: BasicBlock | None = None
    preds: int = 0
    loops: bool = False  # holds a loop of Python's own, which uses fuel

    def successors(self) -> list[BasicBlock]:
        """The blocks that this one can go to, those resumed included."""
        return [block for block in (self.then, self.other) if block is not None]


class Writer:
    """Writes blocks as source and makes it a :class:`~tracelock.scenario.compile.runtime.Code`."""

    def __init__(self, pool: GlobalNames) -> None:
        self.pool = pool
        self.source: list[str] = []
        self.table: list[tuple[str, Handler | None]] = [("", None)]  # lines count from 1
        self.names: dict[BasicBlock, str] = {}
        self.todo: list[BasicBlock] = []
        self._function: list[tuple[str, str, Handler | None]] = []
        self._hungry = False
        self._path: set[BasicBlock] = set()  # blocks that the line now written is in

    def put(self, text: str, at: str, handler: Handler | None) -> None:
        """One line of source that does not depend on any block."""
        self.source.append(text)
        self.table.append((at, handler))

    def name(self, block: BasicBlock) -> str:
        """The name of the segment that begins with ``block``."""
        found = self.names.get(block)
        if found is None:
            found = self.names[block] = f"s{len(self.names)}"
            self.todo.append(block)
        return found

    def write(self, roots: list[BasicBlock], resumed: set[BasicBlock]) -> None:
        """Write the segments of ``roots`` and all that they lead to.

        ``resumed``: the blocks that a machine enters from outside; these renew its fuel.
        """
        seen = set(roots)
        todo = list(roots)
        while todo:
            block = todo.pop()
            for successor in block.successors():
                if block.op is None:
                    successor.preds += 1
                if successor not in seen:
                    seen.add(successor)
                    todo.append(successor)
        paid = any(
            PAID.search(text)
            for block in seen
            for text in (block.test or "", block.op or "", *[text for _, text, _ in block.lines])
        )
        for root in roots:
            root.preds += 2  # never written into another only
            self.name(root)
        while self.todo:
            block = self.todo.pop()
            self._function = []
            self._hungry = False
            self._path = {block}
            self._block(block, 1, None)
            self.put(f"def {self.names[block]}(m, r):", "", block.handler)
            if any("L[" in text for text, _, _ in self._function):
                self.put(" L = m.L", "", block.handler)
            if paid and block in resumed:
                self.put(" afresh(m)", "", block.handler)
            if self._hungry and block in resumed:
                self.put(" m.fuel, m.later = ROUNDS", "", block.handler)
            for line in self._function:
                self.put(*line)

    def _block(self, block: BasicBlock, indent: int, room: int | None) -> None:
        """``room``: how many lines may still be written, None for any number."""
        entered = []
        following: BasicBlock | None = block
        while following is not None:
            block = following
            following = self._one(block, indent, room)
            if following is not None:
                if room is not None:
                    room -= len(block.lines) + 2
                room = self._room(following, room)
                self._path.add(following)
                entered.append(following)
        self._path.difference_update(entered)

    def _one(self, block: BasicBlock, indent: int, room: int | None) -> BasicBlock | None:
        """Write one block; the block that is to be written after it, if any."""
        at, handler, then = block.at, block.handler, block.then
        for deeper, text, where in block.lines:
            self._line(indent + deeper, text, where, handler)
        self._hungry |= block.loops
        if then is None:
            self._line(indent, "m.at = done", at, handler)
            self._line(indent, "return None", at, handler)
            return None
        if block.op is not None:
            self._line(indent, f"m.at = {self.name(then)}", at, handler)
            self._line(indent, f"return {block.op}", at, handler)
            return None
        left = None if room is None else room - len(block.lines) - 2
        if block.test is not None:
            assert block.other is not None
            self._line(indent, f"if {block.test}:", at, handler)
            if self._inside(then, indent + 1, left):
                self._path.add(then)
                self._block(then, indent + 1, self._room(then, left))
                self._path.discard(then)
            else:
                self._jump(then, indent + 1, handler)
            then = block.other
        if self._inside(then, indent, left):
            return then
        self._jump(then, indent, handler)
        return None

    def _inside(self, block: BasicBlock, indent: int, room: int | None) -> bool:
        """Whether to write ``block`` here instead of jumping to its segment."""
        if block in self._path or indent > DEEP:
            return False
        if block.preds == 1 and room is None:
            return True
        return len(block.lines) + 2 <= (SHORT if room is None else room)

    def _room(self, block: BasicBlock, room: int | None) -> int | None:
        return room if room is not None or block.preds == 1 else SHORT

    def _jump(self, block: BasicBlock, indent: int, handler: Handler | None) -> None:
        self._hungry = True
        self._line(indent, f"m.at = {self.name(block)}", "", handler)
        self._line(indent, "return JUMP", "", handler)

    def _line(self, indent: int, text: str, at: str, handler: Handler | None) -> None:
        self._function.append((" " * indent + text, at, handler))

    def finish(
        self,
        file: str,
        fuel: int,
        template: list[Any],
        entry: BasicBlock,
        places: dict[BasicBlock, YieldPoint],
        handlers: dict[Handler, BasicBlock],
    ) -> Code:
        """Compile what was written."""
        space = self.pool.names
        often = min(fuel, max(1, WORK // len(self.source)))
        rounds = (often, fuel - often)
        space.update(JUMP=JUMP, ROUNDS=rounds, done=done)
        run_source("\n".join(self.source) + "\n", file, space)
        code = Code(file, fuel, rounds, template, self.table, space[self.names[entry]], {
            space[self.names[block]]: place
            for block, place in places.items()
            if block in self.names  # else no way leads there
        })  # fmt: skip
        for handler, block in handlers.items():
            handler.entry = space[self.names[block]]
        return code


def run_source(source: str, file: str, space: dict[str, Any]) -> None:
    """Execute generated definitions in ``space``, which holds all they may name."""
    with warnings.catch_warnings():
        # Python remarks on things like 1[0], which are the scenario's business.
        warnings.simplefilter("ignore")
        compiled = compile(source, file, "exec", dont_inherit=True, optimize=0)
    exec(compiled, space)


def machine_class(worker: int, code: Code, scoped: bool) -> type[Machine]:
    """The class of the machines of one worker."""
    body: dict[str, Any] = {"__slots__": (), "worker": worker, "code": code}
    if not scoped:
        body["scopes"] = ()
    return type("Machine", (Machine,), body)

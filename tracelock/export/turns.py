"""The function of one worker: its names, its expressions, and where it hands over."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar

from tracelock.export.context import ExportContext
from tracelock.export.expressions import Namespace, Unfolder
from tracelock.export.naming import Naming
from tracelock.export.points import Action
from tracelock.export.writing import comment, quoted
from tracelock.scenario.language.base import BaseStep
from tracelock.scenario.language.expressions import parse_reference, tree_of
from tracelock.scenario.language.usage import steps_of
from tracelock.scenario.language.verbs import Get


class StepWriter(Unfolder):
    """Writes a function step by step, and around each operation what forces it into its turn."""

    backend: ClassVar[str]
    writers: ClassVar[dict[str, Callable[[Any, Any, str], None]]]  # by verb
    me = "threading.current_thread().name"
    clock = "time"  # the module whose ``sleep`` it is
    wait = ""  # what stands before a call that may suspend
    with_ = "with"
    guard: str | None = "with atomic:"  # around what is one step

    def __init__(self, context: ExportContext, group: str, naming: Naming) -> None:
        super().__init__()
        self.context = context
        self.group = group
        self.naming = naming
        self.numbers = context.numbers(group)
        self.decl = context.scenario.workers[group]
        steps = [step for at, step in steps_of(context.scenario) if at.split(".")[1] == group]
        names = dict.fromkeys(name for step in steps for name in step.assigned())
        # a local may hide a name of the scenario in its own worker
        locals_ = {name: name if name == "index" else naming.fresh(name) for name in names}
        constants = {"count": self.decl.count}
        if self.decl.count == 1:
            constants["index"] = 0
        constants = {name: value for name, value in constants.items() if name not in locals_}
        self.space = Namespace(context.variables, context.arrays, context.cells, locals_, constants)
        self.written: set[str] = set()  # variables that need a global statement
        self.counters: dict[str, str] = {}  # path -> the local that counts its operations
        self.loops = 0
        self.done: dict[str, int] = {}  # path -> its operations written so far
        self.at = ""
        self.optional = dict.fromkeys(
            step.into for step in steps if isinstance(step, Get) and step.got and step.into
        )
        self._temporaries: set[str] = set()

    def function(self, head: str) -> list[str]:
        """The lines of the whole function."""
        with self.block(head):
            start = len(self.text)
            if self.context.points is not None:
                self.actions({n: self.context.points.start.get(n, []) for n in self.numbers})
            self.steps(self.decl.steps, f"workers.{self.group}.steps")
            # locals that have a value before they are set
            values = dict.fromkeys(self.optional, "None")
            values |= {"count": str(self.decl.count)} if "count" in self.space.locals else {}
            if "index" in self.space.locals and self.decl.count == 1:
                values["index"] = "0"
            first = [f"    {self.space.locals[name]} = {value}" for name, value in values.items()]
            first += [f"    {counter} = 0" for counter in self.counters.values()]
            if self.written:
                names = ", ".join(sorted(self.context.variables[name] for name in self.written))
                first.insert(0, f"    global {names}")
            self.text[start:start] = first
        return self.text

    def put(self, *lines: str) -> None:
        if self.context.marked and self.at:
            lines = tuple(f"{line}  {comment(self.at)}" if line else line for line in lines)
        super().put(*lines)

    def steps(self, steps: Sequence[BaseStep], path: str) -> None:
        """Write the steps of a block."""
        for place, step in enumerate(steps):
            self.step(step, f"{path}[{place}]")

    def step(self, step: BaseStep, at: str) -> None:
        """Write one step."""
        outer, self.at = self.at, at
        self.writers[step.verb](self, step, at)
        self.at = outer

    # --- turns -------------------------------------------------------------------------------
    def forced(self, at: str) -> dict[int, dict[int, Any]]:
        """What the instances of this worker do around the operations of a step."""
        if self.context.points is None:
            return {}
        found = {n: self.context.points.around(n, at) for n in self.numbers}
        return {n: around for n, around in found.items() if around}

    def apart(self, at: str, trees: Sequence[ast.expr]) -> bool:
        """Whether the reads of a step have to be taken apart: a turn ends between them."""
        if any(self.watched(tree) for tree in trees):
            return True
        forced = self.forced(at)
        reads = sum(map(self.space.count, trees))
        if not forced or not reads:
            return False
        if self.counted(at, trees):
            return True
        return any(n <= reads for around in forced.values() for n in around)

    def watched(self, tree: ast.expr) -> bool:
        """Whether an expression reads what an atomic step writes bit by bit."""
        return any(
            isinstance(node, ast.Name)
            and node.id in self.context.watched
            and self.space.is_shared(node.id)
            for node in ast.walk(tree)
        )

    def counted(self, at: str, trees: Sequence[ast.expr] = (), always: bool = False) -> bool:
        """Whether the operations of a step have to be counted as the program runs."""
        if not self.forced(at):
            return False
        if self.loops or always or not all(map(self.space.straight, trees)):
            if at not in self.counters:
                self.counters[at] = self.naming.fresh("passes")
            return True
        return at in self.counters

    def after_operation(self, at: str, read: bool = False) -> None:
        """An operation of a step has been written: hand over where the trace does."""
        self.done[at] = self.done.get(at, 0) + 1
        forced = self.forced(at)
        if not forced:
            return
        counter = self.counters.get(at)
        if counter is not None:
            self.put(f"{counter} += 1")
        self._around(at, forced, self.done[at], "after", 0, read)
        self.assert_always(at)

    def before_operation(self, at: str) -> None:
        """An operation of a step comes next."""
        self._around(at, self.forced(at), self.done.get(at, 0) + 1, "before", 1)

    @contextmanager
    def cleanup(self, at: str) -> Iterator[None]:
        """Around an operation that a cancellation may cut off."""
        forced = self.forced(at)
        if not any(one.cleanup for around in forced.values() for one in around.values()):
            yield
            return
        with self.block("try:"):
            yield
        with self.block("finally:"):
            self._around(at, forced, self.done.get(at, 0) + 1, "cleanup", 1)

    def _around(
        self, at: str, forced: dict[int, dict[int, Any]], number: int, when: str, ahead: int,
        read: bool = False,
    ) -> None:  # fmt: skip
        counter = self.counters.get(at)
        if counter is None:
            self.actions({n: getattr(d[number], when) for n, d in forced.items() if number in d})
            return
        for n, around in forced.items():
            for passes, one in around.items():
                actions = getattr(one, when)
                if not actions or one.read != read:
                    continue
                test = f"{counter} == {passes - ahead}"
                if len(self.numbers) > 1:
                    test = f"index == {self.context.layout.workers[n].index} and {test}"
                with self.block(f"if {test}:"):
                    self.act(actions)

    def assert_always(self, at: str) -> None:
        """Where the trace ends because a condition of ``always`` is false: an assert."""
        points = self.context.points
        if self.context.always is None or points is None or points.last is None:
            return
        n, path, number = points.last
        counter = self.counters.get(at)
        if path != at or n not in self.numbers or (counter is None and number != self.done[at]):
            return
        tests = [] if counter is None else [f"{counter} == {number}"]
        if len(self.numbers) > 1:
            tests.insert(0, f"index == {self.context.layout.workers[n].index}")
        with self.block(f"if {' and '.join(tests)}:" if tests else None):
            held = self.space.source(tree_of(self.context.always))
            self.put(f"assert {held}, {quoted(self.context.always + ' is false')}")

    def actions(self, by_worker: dict[int, list[Action]]) -> None:
        """What instances do here, each its own."""
        by_worker = {n: actions for n, actions in by_worker.items() if actions}
        for n, actions in by_worker.items():
            if len(self.numbers) == 1:
                self.act(actions)
            else:
                with self.block(f"if index == {self.context.layout.workers[n].index}:"):
                    self.act(actions)

    def act(self, actions: Sequence[Action]) -> None:
        """Give turns away and wait for one's own."""
        points = self.context.points
        assert points is not None
        for what, number in actions:
            if what == "give":
                whose = points.whose[number]
                note = "the rest" if whose is None else f"{self.context.names[whose]} goes on"
                self.put(f"turn[{number}].set()  {comment(note)}")
            elif what == "back":
                self.put(f"back[{self.me}] = turn[{number}]")
            else:
                take = f"take({number})" if self.context.lenient else f"turn[{number}].wait()"
                self.put(f"{self.wait}{take}")

    def temporary(self, wanted: str) -> str:
        # Python of another age may not know a letter of another script
        name = wanted if wanted.isidentifier() and wanted.isascii() else "value"
        taken = set(self.space.locals.values()) | set(self.space.shared.values())
        number = 1
        candidate = name
        while (
            candidate in taken
            or candidate in self._temporaries
            or candidate in self.context.naming.used
        ):
            number += 1
            candidate = f"{name}_{number}"
        self._temporaries.add(candidate)
        return candidate

    def value(self, tree: ast.expr, apart: bool) -> str:
        """The source of an expression, its reads written before it where they are apart."""
        if apart:
            return self.space.source(self.unfold(tree))
        self.done[self.at] = self.done.get(self.at, 0) + self.space.count(tree)
        return self.space.source(tree)

    def keep(self, name: str, source: str, read: bool = False) -> None:
        names = {self.context.variables[watched] for watched in self.context.watched}
        used = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
        with self.atomic() if self.guard and names & used else nullcontext():
            self.put(f"{name} = {source}")
        if read:
            self.after_operation(self.at, True)

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """Around what must be one step."""
        if self.guard is None:
            yield
            return
        self.context.needs.add("atomic")
        with self.block(self.guard):
            yield

    def reference(self, step: BaseStep) -> tuple[str, ast.expr | None]:
        """The name of what a step is about, and the tree of its index."""
        return parse_reference(step.reference) if step.reference else ("", None)

    def assign(self, into: str | None, source: str) -> None:
        """Evaluate ``source``, and keep its value where a local is named for it."""
        self.put(source if into is None else f"{into} = {source}")

    def local(self, name: str | None) -> str | None:
        return None if name is None else self.space.locals[name]

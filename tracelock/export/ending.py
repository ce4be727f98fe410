"""What surrounds the workers of one program: how they start, and how they are judged."""

from __future__ import annotations

import re
import textwrap
from typing import Any, Final

from tracelock.export import mains
from tracelock.export.constructors import constructor
from tracelock.export.context import ExportContext
from tracelock.export.expressions import Namespace, negated
from tracelock.export.naming import plain_name
from tracelock.export.writing import WIDTH, Lines, numbered, quoted
from tracelock.scenario.compile.layout import elements
from tracelock.scenario.language.expressions import tree_of
from tracelock.scenario.language.models import ObjectDecl
from tracelock.trace import Trace

EVENT: Final = ObjectDecl.model_validate({"type": "event"})


class Ending:
    """The part of a program after its workers. Needs these to be written first."""

    def __init__(self, backend: str, trace: Trace | None, context: ExportContext) -> None:
        self.scenario = context.scenario
        self.backend = backend
        self.trace = trace
        self.context = context

    def text(self) -> str:
        """The source."""
        parts = ["\n\n"]
        needs = self.context.needs
        head = self._head()
        if head:
            parts += ["\n".join(head), "\n\n\n"]
        if "work" in needs:
            parts += [mains.WORK, "\n\n"]
        if "same" in needs:
            parts += [mains.SAME, "\n\n"]
        if "number" in needs:
            parts += [mains.NUMBER, "\n\n"]
        parts.append(self._main())
        if self.context.lenient:
            parts.append(self._test())
        else:
            parts.append('\n\nif __name__ == "__main__":\n    sys.exit(main())\n')
        return "".join(parts)

    @property
    def _named(self) -> bool:
        """Whether workers are looked up by name as the program runs."""
        return bool(self.context.needs & {"spawn", "cancel"})

    @property
    def _together(self) -> bool:
        """Whether all threads must be there before one runs: an rlock knows its owner by a number
        that a later thread may get again."""
        return any(
            decl.type == "rlock" or (decl.type == "condition" and decl.lock is None)
            for decl in self.scenario.objects.values()
        )

    def _head(self) -> list[str]:
        """What the surroundings of the workers keep."""
        needs, head = self.context.needs, []
        names = [name for group in self.scenario.workers for name in self._names(group)]
        if "ended" in needs:
            event = constructor(self.backend, EVENT, None)
            rows = Lines()
            rows.long("ended = {", [f"{quoted(name)}: {event}" for name in names], "}")
            head += rows.text
        if self.backend == "multiprocessing":
            if "requests" in needs:
                manual = [
                    name
                    for group, decl in self.scenario.workers.items()
                    if decl.start == "manual"
                    for name in self._names(group)
                ]
                head.append("requests = ctx.SimpleQueue()")
                listed = ", ".join(map(quoted, manual))
                head.append(f"starting = {{name: ctx.Semaphore(1) for name in [{listed}]}}")
                head += self._table()
            return head
        if self.backend == "threading" and self._named:
            head.append("threads = {}")
        if self.backend == "threading" and self._together:
            head.append("begin = threading.Event()  # all threads are there: off they go")
        if self.backend == "asyncio" and self._named:
            head.append("tasks = {}")
        if self.backend == "trio":
            if "spawn" in needs:
                head.append("started = set()")
            if "cancel" in needs:
                listed = ", ".join(map(quoted, names))
                head.append(f"scopes = {{name: trio.CancelScope() for name in [{listed}]}}")
            head.append("patience = trio.CancelScope()")
        if self.backend != "threading":
            head.append("waiting = []")
        return [*head, "failures = []"]

    def _main(self) -> str:
        needs, backend = self.context.needs, self.backend
        ended = "    finally:\n        ended[name].set()\n" if "ended" in needs else ""
        parts: dict[str, Any] = {
            "ended": ended, "told": self._blocked(), "finals": self._finals(),
            "passed": self._state(), "start": "",
        }  # fmt: skip
        if backend == "threading":
            parts["threads"] = "list(threads.values())" if self._named else "threads"
            parts["start"] = mains.THREADS_START if self._named else ""
            parts["begin"] = "    begin.wait()\n" if self._together else ""
            parts["go"] = "    begin.set()\n" if self._together else ""
            parts["starts"] = self._starts(
                "threads", "threading.Thread(target=run, args=({args}), name={name}, daemon=True)",
            )  # fmt: skip
            return mains.THREADS.format(**parts)
        if backend == "multiprocessing":
            ran = "    worker(*args)\n"
            if ended:
                ran = (
                    "    try:\n        worker(*args)\n    finally:\n"
                    "        ended[multiprocessing.current_process().name].set()\n"
                )
            parts["ran"] = ran
            parts["spawn"] = mains.SPAWN if "requests" in needs else ""
            parts["serve"] = mains.SERVE if "requests" in needs else ""
            parts["starts"] = self._starts(
                "processes", "ctx.Process(target=run, args=({args}), name={name})"
            )
            return mains.PROCESSES.format(**parts)
        if backend == "asyncio":
            parts["run"] = mains.ENDING if ended else ""
            parts["tasks"] = "tasks.values()" if self._named else "tasks"
            made = "ending(worker, *args)" if ended else "worker(*args)"
            parts["start"] = mains.ASYNCIO_START.replace("{made}", made) if self._named else ""
            call = "ending({args})" if ended else "{call}"
            parts["starts"] = self._starts("tasks", f"asyncio.create_task({call}, name={{name}})")
            return mains.ASYNCIO.format(**parts)
        parts["scope"] = "with scopes[name]:\n            " if "cancel" in needs else ""
        parts["start"] = mains.TRIO_START if "spawn" in needs else ""
        parts["world"] = "    global nursery\n" if "spawn" in needs else ""
        parts["world"] += "    patience.deadline = trio.current_time() + PATIENCE\n"
        begin = "start(" if "spawn" in needs else "nursery.start_soon(run, "
        parts["starts"] = self._starts_by_name(begin, depth=3)
        return mains.TRIO.format(**parts)

    def _instances(self) -> list[tuple[str, str, int]]:
        """(group, function, count) of the workers that start by themselves."""
        return [
            (group, self.context.workers[group], decl.count)
            for group, decl in self.scenario.workers.items()
            if decl.start != "manual"
        ]

    def _starts(self, where: str, item_text: str) -> str:
        """The lines that start the workers: by name, or as a list of ``item_text``."""
        if self._named and self.backend != "multiprocessing":
            return self._starts_by_name("start(", depth=1)
        lines = Lines()
        lines.depth = 1
        first = True
        for group, own, count in self._instances():
            name = quoted(group) if count == 1 else numbered(group, "index")
            args = [own] if count == 1 else [own, "index"]
            text = ", ".join(args) + ("," if len(args) == 1 else "")
            call = f"{own}({'' if count == 1 else 'index'})"
            item = item_text.format(args=text, name=name, call=call)
            if count > 1:
                item += f" for index in range({count})"
            head = f"{where} = [" if first else f"{where} += ["
            first = False
            if len(head + item) + 5 <= WIDTH:
                lines.put(f"{head}{item}]")
            elif len(item) + 8 <= WIDTH:
                lines.put(head, f"    {item}" + ("," if count == 1 else ""), "]")
            elif count > 1:
                one, _, rest = item.rpartition(" for index in ")
                lines.put(head, *_broken(one), f"    for index in {rest}", "]")
            else:
                lines.put(head, *_broken(f"{item},"), "]")
        if first:
            lines.put(f"{where} = []")
        if self.backend != "asyncio":
            with lines.block(f"for one in {where}:"):
                lines.put("one.start()")
        return "\n".join(lines.text)

    def _starts_by_name(self, begin: str, depth: int) -> str:
        """The lines that start each worker by a call that begins with ``begin``."""
        lines = Lines()
        lines.depth = depth
        for group, own, count in self._instances():
            if count == 1:
                lines.put(f"{begin}{quoted(group)}, {own})")
            else:
                with lines.block(f"for index in range({count}):"):
                    lines.put(f"{begin}{numbered(group, 'index')}, {own}, index)")
        return "\n".join(lines.text or ["    " * depth + "pass"])

    def _table(self) -> list[str]:
        rows = ["manual = {"]
        for group, decl in self.scenario.workers.items():
            if decl.start == "manual":
                own = self.context.workers[group]
                for place, name in enumerate(self._names(group)):
                    index = f", {place}" if decl.count > 1 else ","
                    rows.append(f"    {quoted(name)}: ({own}{index}),")
        return [*rows, "}"]

    def _names(self, group: str) -> list[str]:
        count = self.scenario.workers[group].count
        return elements(group, count if count > 1 else None)

    def _blocked(self) -> str:
        """Lines that print which workers block which in the trace."""
        if self.trace is None or self.trace.verdict.kind not in ("deadlock", "crashed"):
            return ""
        pieces = textwrap.wrap(self.trace.verdict.message, 78) or [""]
        lines = [f"        print({quoted(piece)})" for piece in pieces]
        return "\n".join(['        print("as in the trace:")', *lines]) + "\n"

    def _finals(self) -> str:
        context = self.context
        space = Namespace(context.variables, context.arrays, context.cells)
        rows = Lines()
        rows.depth = 1
        for expr in [*self.scenario.finally_, *self.scenario.always]:
            text = " ".join((expr if isinstance(expr, str) else repr(expr)).split())
            names = [
                name
                for name in dict.fromkeys(re.findall(r"[^\W\d]\w*", text))
                if name in self.scenario.shared
            ]
            told = [part for name in names for part in (quoted(f"{name} ="), self._shown(name))]
            said = quoted(f"failed: {text} is false" + (":" if told else ""))
            with rows.block(f"if {negated(space, tree_of(expr))}:"):
                rows.long("print(", [said, *told], ")")
                rows.put("return 1")
        return "".join(f"{line}\n" for line in rows.text)

    def _state(self) -> str:
        shown = [f"{name} = {{{self._shown(name)}}}" for name in self.scenario.shared]
        lines = Lines()
        lines.depth = 1
        line = f'print(f"passed: {", ".join(shown)}")' if shown else 'print("passed")'
        if len(line) + 4 <= WIDTH:
            lines.put(line)
        else:
            parts = [('"passed:"')]
            for name in self.scenario.shared:
                parts += [quoted(f"{name} ="), self._shown(name)]
            lines.long("print(", parts, ")")
        return "".join(f"{line}\n" for line in lines.text)

    def _test(self) -> str:
        return (
            f"\n\ndef test_{plain_name(self.scenario.name)}():\n"
            '    """Fails as long as this interleaving does harm."""\n'
            "    assert main() == 0\n"
        )

    def _shown(self, name: str) -> str:
        own = self.context.variables[name]
        if isinstance(self.scenario.shared[name], list):
            return f"{own}[:]"
        return f"{own}.value" if name in self.context.cells else own


def _broken(call: str) -> list[str]:
    """A call in a list, over three lines where it is too long for one."""
    if len(call) + 8 <= WIDTH:
        return [f"    {call}"]
    name, _, rest = call.partition("(")
    inside, _, end = rest.rpartition(")")
    return [f"    {name}(", f"        {inside}", f"    ){end}"]

"""Whole programs: a scenario, or a scenario forced through a trace, as plain Python."""

from __future__ import annotations

import ast
import copy
import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tracelock.export import mains
from tracelock.export.body import Body, Shop
from tracelock.export.expressions import Space, negated
from tracelock.export.kinds import BOOL, FLOAT, INT, Kinds, kinds_of
from tracelock.export.naming import Naming
from tracelock.export.points import Points, points_of
from tracelock.export.tasks import Asyncio, Trio
from tracelock.export.threads import Processes, Threads
from tracelock.export.writing import WIDTH, Lines, quoted
from tracelock.scenario import models
from tracelock.scenario.layout import build_layout, elements
from tracelock.scenario.models import Scenario
from tracelock.scenario.usage import steps_of

if TYPE_CHECKING:
    from tracelock.trace import Trace

BODIES: Final[dict[str, type[Threads]]] = {
    "threading": Threads, "multiprocessing": Processes, "asyncio": Asyncio, "trio": Trio,
}  # fmt: skip
#: Seconds after which a program that still waits counts as deadlocked, beyond its own sleeps.
PATIENCE: Final = 10.0
FORCED_PATIENCE: Final = 2.0


@dataclass(frozen=True, slots=True)
class Plain:
    """A program. ``variables``, ``objects``, ``workers``: name in the scenario -> in the program;
    ``cells``: variables whose value is their ``.value`` (shared memory)."""

    source: str
    variables: dict[str, str]
    objects: dict[str, str]
    workers: dict[str, str]
    cells: frozenset[str]


def plain_program(
    scenario: Scenario,
    backend: str,
    trace: Trace | None = None,
    *,
    origin: str | None = None,
    pytest: bool = False,
) -> Plain:
    """A scenario as a program for ``backend``; with a trace, forced through its events.

    ``origin``: the command line that made it, for the docstring. ``pytest``: the program is a test
    module. The scenario must be one that the backend can do.
    """
    return _Program(scenario, backend, trace, origin, pytest).made()


class _Program:
    def __init__(
        self, scenario: Scenario, backend: str, trace: Trace | None, origin: str | None, test: bool
    ) -> None:
        self.scenario = scenario
        self.backend = backend
        self.trace = trace
        self.origin = origin
        self.test = test
        self.body = BODIES[backend]
        self.tasks = backend in ("asyncio", "trio")
        layout = build_layout(scenario)
        naming = Naming()
        kinds = kinds_of(scenario)
        cells = set()
        if backend == "multiprocessing":
            cells = {n for n, value in scenario.shared.items() if not isinstance(value, list)}
        points: Points | None = None
        always = None
        if trace is not None:
            points = points_of(trace)
            failure = trace.verdict.failure
            if failure == "always":
                number = int(re.sub(r"\D", "", trace.verdict.at or "0") or 0)
                expr = scenario.always[number]
                always = expr if isinstance(expr, str) else repr(expr)
        self.shop = Shop(
            scenario, layout, naming, naming.all(scenario.shared), naming.all(scenario.objects),
            naming.all(scenario.workers), cells, kinds, points,
            [worker.name for worker in layout.workers], test, always,
        )  # fmt: skip
        self._guard()

    def _guard(self) -> None:
        """Find the variables whose plain accesses must not fall into another worker's step."""
        if self.body.guard is None:
            return
        shop = self.shop
        for at, step in steps_of(self.scenario):
            match step:
                case models.CompareExchange():
                    shop.guarded.add(_base(step.compare_exchange))
                case models.Exchange():
                    shop.guarded.add(_base(step.exchange))
                case models.FetchAdd():
                    shop.guarded.add(_base(step.fetch_add))
                case models.Atomic():
                    inside = [s for path, s in steps_of(self.scenario) if path.startswith(f"{at}.")]
                    writes = [_base(s.write) for s in inside if isinstance(s, models.Write)]
                    shop.guarded |= set(writes) | _mentioned(inside, self.scenario)
                    if len(writes) > 1:
                        shop.watched |= set(writes)

    # --- the parts ---------------------------------------------------------------------------
    def made(self) -> Plain:
        shop = self.shop
        functions = [self._function(group) for group in self.scenario.workers]
        lines = Lines()
        lines.put(*self._docstring())
        body = Lines()
        self._declarations(body)
        for function in functions:
            body.put("", "", *function)
        ending = self._ending()
        text = "\n".join([*body.text, ending])
        imports = self._imports(text)
        lines.put("", *imports, "", *body.text)
        source = "\n".join(lines.text) + "\n" + ending
        source = re.sub(r"\n{4,}", "\n\n\n", source).rstrip() + "\n"
        return Plain(source, shop.variables, shop.objects, shop.workers, frozenset(shop.cells))

    def _docstring(self) -> list[str]:
        scenario = self.scenario
        about = " ".join(scenario.description.split())
        title = " ".join(scenario.name.split()) + "."
        paragraphs = [title]
        if about:
            paragraphs += ["", *textwrap.wrap(about, WIDTH - 1)]
        if self.trace is not None:
            verdict = self.trace.verdict
            kind = verdict.kind if verdict.failure is None else f"failed ({verdict.failure})"
            told = f"Forced through one interleaving by events at the switches. It ends: {kind}"
            told += f", {verdict.message}." if verdict.message else "."
            paragraphs += ["", *textwrap.wrap(told, WIDTH - 1)]
        if self.origin:
            paragraphs += ["", *textwrap.wrap(f"Written by: {self.origin}", WIDTH - 1)]
        text = "\n".join(paragraphs)
        safe = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
        safe = safe.replace("\\", "\\\\").replace('"""', "'''").rstrip('"')
        quoted = f'"""{safe}\n"""' if len(paragraphs) > 1 else f'"""{safe}"""'
        return quoted.split("\n")

    def _function(self, group: str) -> list[str]:
        naming = copy.deepcopy(self.shop.naming)  # names of locals are free again elsewhere
        naming.used.discard("index")
        body: Body = self.body(self.shop, group, naming)
        index = "index" if body.decl.count > 1 else ""
        word = "async def" if self.tasks else "def"
        return body.function(f"{word} {self.shop.workers[group]}({index}):")

    def _imports(self, text: str) -> list[str]:
        modules = {
            name
            for name in (
                "anyio", "asyncio", "ctypes", "faulthandler", "linecache", "math", "multiprocessing", "os", "queue",
                "signal", "sys", "threading", "time", "traceback", "trio", "pytest",
            )
            if re.search(rf"(?<![\w.]){name}\.", text)
        }  # fmt: skip
        modules |= {need[7:] for need in self.shop.needs if need.startswith("import ")}
        others = modules & {"anyio", "trio", "pytest"}
        lines = [f"import {name}" for name in sorted(modules - others)]
        if others:
            lines += ["", *[f"import {name}" for name in sorted(others)]]
        return lines

    def _declarations(self, lines: Lines) -> None:
        shop = self.shop
        bound = FORCED_PATIENCE if self.trace is not None else PATIENCE
        sleeps = sum(_seconds(step) for _, step in steps_of(self.scenario))
        rounds = sum(
            step.repeat * self.scenario.workers[at.split(".")[1]].count
            for at, step in steps_of(self.scenario)
            if isinstance(step, models.Repeat) and isinstance(step.repeat, int)
        )
        bound += rounds // 20_000
        if shop.lenient and shop.points is not None:
            bound += shop.points.turns
        bound = min(bound + sleeps, 3600.0)
        lines.put(f"PATIENCE = {bound:g}  # seconds; who still waits then waits for ever")
        if self.backend == "multiprocessing":
            lines.put('ctx = multiprocessing.get_context("fork")')
        held = shop.points is not None and shop.points.held
        if held:
            lines.put(*mains.HELD[self.backend].rstrip("\n").split("\n"), "")
        lines.put("")
        for name, value in self.scenario.shared.items():
            lines.put(f"{shop.variables[name]} = {self._variable(name, value)}")
        for name, decl in sorted(
            self.scenario.objects.items(), key=lambda item: item[1].type == "condition"
        ):
            self._object(lines, name, decl)
        if shop.points is not None and shop.points.turns > 0:
            event = self.body.made(models.ObjectDecl(type="event"), None)
            lines.put(
                "",
                f"turn = [{event} for _ in range({shop.points.turns})]"
                "  # turn[k]: the k-th switch may happen",
            )
            if shop.lenient:
                lines.put("", "", *mains.TAKE[self.backend].rstrip("\n").split("\n"))
        if "atomic" in shop.needs:
            kind = "threading" if self.backend == "threading" else "ctx"
            lines.put(f"atomic = {kind}.Lock()  # around what is one indivisible step")

    def _variable(self, name: str, value: Any) -> str:
        if self.backend != "multiprocessing":
            return repr(value)
        code = _typecode(self.shop.kinds[name])
        array = isinstance(value, list)
        if code is None:  # it may hold anything: a manager's process keeps it
            made = f"list({value!r})" if array else f'Value("any", {value!r})'
            return f"multiprocessing.Manager().{made}"
        if array:
            return f"ctx.RawArray({code}, {value!r})"
        return f"ctx.RawValue({code}, {value!r})"

    def _made(self, decl: models.ObjectDecl, lock: str | None) -> str:
        made = self.body.made(decl, lock)
        if self.shop.points is None or not self.shop.points.held:
            return made
        if decl.type == "condition":
            return f"Condition({lock or ''})"
        # the locks of trio go with conditions of its own only
        return "anyio.Lock()" if made == "trio.Lock()" else made

    def _object(self, lines: Lines, name: str, decl: models.ObjectDecl) -> None:
        lock = None if decl.lock is None else self.shop.objects[decl.lock]
        if decl.lock is not None and decl.count is not None:
            if self.scenario.objects[decl.lock].count is not None:
                lock = f"{lock}[place]"
            made = self._made(decl, lock)
            line = f"{self.shop.objects[name]} = [{made} for place in range({decl.count})]"
        else:
            line = f"{self.shop.objects[name]} = {self._made(decl, lock)}"
            if decl.count is not None:
                made = self._made(decl, lock)
                line = f"{self.shop.objects[name]} = [{made} for _ in range({decl.count})]"
        lines.put(line)

    # --- starting and judging ----------------------------------------------------------------
    def _ending(self) -> str:
        parts = ["\n\n"]
        needs = self.shop.needs
        head = self._head()
        if head:
            parts += ["\n".join(head), "\n\n\n"]
        if "work" in needs:
            parts += [mains.WORK, "\n\n"]
        if "same" in needs:
            parts += [mains.SAME, "\n\n"]
        parts.append(self._main())
        if self.test:
            parts.append(self._test())
        else:
            parts.append('\n\nif __name__ == "__main__":\n    sys.exit(main())\n')
        return "".join(parts)

    @property
    def _named(self) -> bool:
        """Whether workers are looked up by name as the program runs."""
        return bool(self.shop.needs & {"spawn", "cancel"})

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
        needs, head = self.shop.needs, []
        names = [name for group in self.scenario.workers for name in self._names(group)]
        if "ended" in needs:
            event = self.body.made(models.ObjectDecl(type="event"), None)
            rows = Lines()
            rows.long("ended = {", [f'"{name}": {event}' for name in names], "}")
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
                listed = ", ".join(f'"{name}"' for name in manual)
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
                listed = ", ".join(f'"{name}"' for name in names)
                head.append(f"scopes = {{name: trio.CancelScope() for name in [{listed}]}}")
            head.append("patience = trio.CancelScope()")
        if self.backend != "threading":
            head.append("waiting = []")
        return [*head, "failures = []"]

    def _main(self) -> str:
        needs, backend = self.shop.needs, self.backend
        ended = "    finally:\n        ended[name].set()\n" if "ended" in needs else ""
        parts: dict[str, Any] = {
            "ended": ended, "told": self._told(), "finals": self._finals(), "passed": self._state(),
            "start": "",
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
        parts["starts"] = self._starts_soon()
        return mains.TRIO.format(**parts)

    def _instances(self) -> list[tuple[str, str, int]]:
        """(group, function, count) of the workers that start by themselves."""
        return [
            (group, self.shop.workers[group], decl.count)
            for group, decl in self.scenario.workers.items()
            if decl.start != "manual"
        ]

    def _starts(self, where: str, made: str) -> str:
        """The lines that start the workers: by name, or as a list of ``made``."""
        lines = Lines()
        lines.depth = 1
        if self._named and self.backend != "multiprocessing":
            for group, own, count in self._instances():
                if count == 1:
                    lines.put(f'start("{group}", {own})')
                else:
                    with lines.block(f"for index in range({count}):"):
                        lines.put(f'start(f"{group}[{{index}}]", {own}, index)')
            return "\n".join(lines.text or ["    pass"])
        first = True
        for group, own, count in self._instances():
            name = f'"{group}"' if count == 1 else f'f"{group}[{{index}}]"'
            args = [own] if count == 1 else [own, "index"]
            text = ", ".join(args) + ("," if len(args) == 1 else "")
            call = f"{own}({'' if count == 1 else 'index'})"
            item = made.format(args=text, name=name, call=call)
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

    def _starts_soon(self) -> str:
        lines = Lines()
        lines.depth = 3
        begin = "start(" if "spawn" in self.shop.needs else "nursery.start_soon(run, "
        for group, own, count in self._instances():
            if count == 1:
                lines.put(f'{begin}"{group}", {own})')
            else:
                with lines.block(f"for index in range({count}):"):
                    lines.put(f'{begin}f"{group}[{{index}}]", {own}, index)')
        return "\n".join(lines.text or ["            pass"])

    def _table(self) -> list[str]:
        rows = ["manual = {"]
        for group, decl in self.scenario.workers.items():
            if decl.start == "manual":
                own = self.shop.workers[group]
                for place, name in enumerate(self._names(group)):
                    index = f", {place}" if decl.count > 1 else ","
                    rows.append(f'    "{name}": ({own}{index}),')
        return [*rows, "}"]

    def _names(self, group: str) -> list[str]:
        count = self.scenario.workers[group].count
        return elements(group, count if count > 1 else None)

    def _told(self) -> str:
        """What the trace says of who waits for whom."""
        if self.trace is None or self.trace.verdict.kind not in ("deadlock", "crashed"):
            return ""
        pieces = textwrap.wrap(self.trace.verdict.message, 78) or [""]
        lines = [f"        print({quoted(piece)})" for piece in pieces]
        return "\n".join(['        print("as in the trace:")', *lines]) + "\n"

    def _finals(self) -> str:
        arrays = {n: len(v) for n, v in self.scenario.shared.items() if isinstance(v, list)}
        space = Space(self.shop.variables, arrays, self.shop.cells, {}, {})
        rows = Lines()
        rows.depth = 1
        for expr in [*self.scenario.finally_, *self.scenario.always]:
            tree = space.tree(expr)
            text = " ".join((expr if isinstance(expr, str) else repr(expr)).split())
            names = [
                name
                for name in dict.fromkeys(re.findall(r"[^\W\d]\w*", text))
                if name in self.scenario.shared
            ]
            told = [f'"{name} =", {self._shown(name)}' for name in names]
            said = quoted(f"failed: {text} is false" + (":" if told else ""))
            with rows.block(f"if {negated(space, tree)}:"):
                flat = [part for one in [said, *told] for part in _parts(one)]
                rows.long("print(", flat, ")")
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
                parts += [f'"{name} ="', self._shown(name)]
            lines.long("print(", parts, ")")
        return "".join(f"{line}\n" for line in lines.text)

    def _test(self) -> str:
        name = re.sub(r"\W", "_", self.scenario.name, flags=re.ASCII).strip("_").lower() or "it"
        return (
            f"\n\ndef test_{name}():\n"
            '    """Fails as long as this interleaving does harm."""\n'
            "    assert main() == 0\n"
        )

    def _shown(self, name: str) -> str:
        own = self.shop.variables[name]
        if isinstance(self.scenario.shared[name], list):
            return f"{own}[:]"
        return f"{own}.value" if name in self.shop.cells else own


def _broken(call: str) -> list[str]:
    """A call in a list, over three lines where it is too long for one."""
    if len(call) + 8 <= WIDTH:
        return [f"    {call}"]
    name, _, rest = call.partition("(")
    inside, _, end = rest.rpartition(")")
    return [f"    {name}(", f"        {inside}", f"    ){end}"]


def _parts(text: str) -> list[str]:
    """``"counter =", counter`` as the two arguments it is."""
    head, comma, rest = text.partition('", ')
    return [head + '"', rest] if comma and text.startswith('"') else [text]


def _base(reference: str) -> str:
    return reference.split("[")[0].strip()


def _mentioned(steps: list[Any], scenario: Scenario) -> set[str]:
    """The shared variables that steps of an atomic block mention."""
    found = set()
    for step in steps:
        for value in step.model_dump().values():
            texts = value.values() if isinstance(value, dict) else [value]
            for text in texts:
                if isinstance(text, str):
                    found |= {name for name in re.findall(r"[^\W\d]\w*", text)
                              if name in scenario.shared}  # fmt: skip
    return found


def _typecode(kinds: Kinds) -> str | None:
    """What of shared memory holds all these kinds of values as they are."""
    if kinds == {INT}:
        return '"q"'
    if kinds == {FLOAT}:
        return '"d"'
    if kinds == {BOOL}:
        return "ctypes.c_bool"
    return None


def _seconds(step: Any) -> float:
    """How long a step may take by the clock, as far as that can be read off it."""
    total = 0.0
    for key in ("sleep", "timeout"):
        value = getattr(step, key, None)
        if isinstance(value, str):
            numbers = [
                abs(float(node.value))
                for node in ast.walk(ast.parse(value.strip(), mode="eval"))
                if isinstance(node, ast.Constant) and isinstance(node.value, int | float)
            ]
            total += sum(numbers)
        elif isinstance(value, int | float):
            total += float(value)
    return total

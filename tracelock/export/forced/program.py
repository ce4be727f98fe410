"""The file of a forced program: the schedule, the gate's source, and what is run behind it."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Final

from tracelock.errors import UsageError
from tracelock.export.forced.schedule import ForcedSchedule
from tracelock.export.naming import plain_name
from tracelock.export.writing import Lines, docstring, quoted
from tracelock.trace import Trace

#: The modules whose source a program carries, in their order, and those of trio besides.
_CARRIED: Final = ("gate", "tasks", "running")
_OF_TRIO: Final = ("trio_tasks",)
#: By backend: the gate, what runs behind it, and its method.
_KINDS: Final = {
    "threading": ("LineGate", "ForcedRun", "threads"),
    "asyncio": ("TaskGate", "ForcedRun", "tasks"),
    "trio": ("TrioGate", "TrioRun", "tasks"),
}
#: Seconds without a step after which a program counts as deadlocked: where that is what it is to
#: show, and where it is not.
_DEADLOCK, _OTHERWISE = 3.0, 30.0


@dataclass(slots=True)
class ForcedSubject:
    """What a forced program runs: the test ``node``, or functions by their names with the plain
    arguments of each worker."""

    node: str = ""
    setup: str | None = None
    workers: dict[str, tuple[str, list[Any]]] = field(default_factory=dict)
    check: str | None = None
    expected: list[str] = field(default_factory=list)


def forced_program(
    trace: Trace, schedule: ForcedSchedule, subject: ForcedSubject, *,
    origin: str | None = None, pytest: bool = False,
) -> str:  # fmt: skip
    """The source of a program that forces ``schedule`` on ``subject``; with ``pytest`` it is a test
    module, too. ``origin``: the command line that made it. It ends with 1 where it fails, 0 where
    it passes, 2 where what it needs is not there."""
    name = " ".join(str(trace.scenario.get("name", "python")).split()) or "python"
    lines = Lines()
    lines.put(*_about(trace, name, origin))
    imports, carried = _carried(trace.backend)
    lines.put("", *imports, "")
    bound = _DEADLOCK if trace.verdict.kind == "deadlock" else _OTHERWISE
    lines.put(
        f"PATIENCE = {schedule.patience:g}"
        "  # seconds without a step after which the schedule gives way",
        f"DEADLOCK = {schedule.patience + bound:g}  # seconds without a step that are a deadlock",
        "", "# In this order: worker, file, function, line; how, and what of it comes before.",
    )  # fmt: skip
    _rows(lines, schedule)
    lines.put("# Which threads or tasks each worker starts, in their order.", "STARTED = {")
    for parent, names in schedule.started.items():
        lines.put(f"    {quoted(parent)}: [{', '.join(map(quoted, names))}],")
    lines.put("}", "# These come to their end before the schedule does.")
    ending = ", ".join(map(quoted, sorted(schedule.ending)))
    lines.put(f"ENDING = {{{ending}}}" if ending else "ENDING = set()", "", "")
    lines.put(*carried, "", "")
    _main(lines, trace, subject)
    if pytest:
        _test(lines, plain_name(name))
    lines.put("", "", 'if __name__ == "__main__":', "    main()")
    return "\n".join(lines.text) + "\n"


def _about(trace: Trace, name: str, origin: str | None) -> list[str]:
    verdict = trace.verdict
    kind = verdict.kind if verdict.failure is None else f"failed ({verdict.failure})"
    message = verdict.message.partition("\n")[0]
    about = [
        f"{name}: forced through one interleaving at its own source lines.", "",
        f"It ends: {kind}{', ' + message if message else ''}.",
        "It runs the code itself and needs no tracelock. With the bug it fails every time; once it",
        "is mended it passes, and says where the schedule could not be followed any more.",
        "Run it in the folder from which the code is imported.",
    ]  # fmt: skip
    return docstring([*about, "", f"Written by: {origin}"] if origin else about)


def _rows(lines: Lines, schedule: ForcedSchedule) -> None:
    lines.put("SCHEDULE = [")
    for worker, file, function, text, how, skip in schedule.rows:
        words = ", ".join(map(quoted, (worker, file, function, text, how)))
        lines.put(f"    ({words}, {skip}),")
    lines.put("]")


def _main(lines: Lines, trace: Trace, subject: ForcedSubject) -> None:
    gate, run, how = _KINDS[trace.backend]
    with lines.block("def main():"):
        lines.put("sys.path.insert(0, os.getcwd())")
        lines.put(f"gate = {gate}(SCHEDULE, STARTED, ENDING, PATIENCE)")
        expected = "".join(f"named({quoted(_error(one))}), " for one in subject.expected)
        lines.put(f"run = {run}(gate, DEADLOCK, ({expected.rstrip()}))")
        if subject.node:
            lines.put(f"run.test({quoted(subject.node)}, {quoted(trace.workers[0])})")
            return
        setup, check = (
            "None" if one is None else f"named({quoted(one)})"
            for one in (subject.setup, subject.check)
        )
        with lines.block("workers = {"):
            for worker, (function, given) in subject.workers.items():
                lines.put(f"{quoted(worker)}: (named({quoted(function)}), {given!r}),")
        lines.put("}")
        lines.put(f"run.{how}({setup}, workers, {check})")


def _error(name: str) -> str:
    return name if ":" in name else f"builtins:{name}"


def _test(lines: Lines, name: str) -> None:
    lines.put("", "")
    with lines.block(f"def test_{name}_forced():"):
        lines.put(
            "# in a process of its own, which a deadlock ends with and whose tracing is its own",
            'path = os.pathsep.join([os.getcwd(), *filter(None, sys.path)])',
            "done = subprocess.run(",
            "    [sys.executable, os.path.abspath(__file__)], capture_output=True, text=True,",
            '    errors="replace", env={**os.environ, "PYTHONPATH": path}, timeout=600,',
            ")",
            'told = done.stdout + done.stderr',
            "assert done.returncode == 0, told",
            'notes = [line for line in told.splitlines() if line.startswith("note: ")]',
        )  # fmt: skip
        with lines.block("if notes:"):
            lines.put('warnings.warn("\\n".join(notes), stacklevel=1)')


def _carried(backend: str) -> tuple[list[str], list[str]]:
    """The imports and the source of the modules that a program carries."""
    imports = {"import subprocess", "import warnings"}
    text: list[str] = []
    for module in (*_CARRIED, *(_OF_TRIO if backend == "trio" else ())):
        source = files("tracelock.export.forced").joinpath(f"{module}.py").read_text("utf-8")
        tree = ast.parse(source)
        rows = source.splitlines()
        end = 0
        for node in tree.body:
            about = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            if isinstance(node, ast.Import | ast.ImportFrom) or about:
                end = node.end_lineno or end
                if not about and not ast.unparse(node).startswith("from tracelock"):
                    imports.add(ast.unparse(node))
        text += ["", f"# --- {_summary(tree)}", *rows[end:]]
    return sorted(imports, key=lambda one: (one.startswith("from"), one)), text


def _summary(tree: ast.Module) -> str:
    return (ast.get_docstring(tree) or "").partition("\n")[0]


def check_names(names: Sequence[str]) -> None:
    """Raises UsageError for functions that no program can import by their names."""
    for name in names:
        module, _, path = name.partition(":")
        if not module or not path or module == "__main__" or "<" in path:
            raise UsageError(
                f"{name} cannot be imported by its name: a program of its own could not call it. "
                "Put setup, workers and check at the top level of a module, or write a test"
            )

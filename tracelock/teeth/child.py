"""What runs a search with a mutant, in a process of its own: nothing of it is there before, and
nothing is left of it.

The process is told by a file what it is to do, and writes another one. ``mode``: ``call`` (a
function of a module), ``audit`` (a class), ``document`` (a scenario of Python code) or ``pytest``,
for which the plugin has a module like this one.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import json
import os
import re
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from tracelock.errors import TracelockError, UsageError
from tracelock.instrument.rewrite.changing import (
    MISUSE,
    ChangingFinder,
    TreeChange,
    note,
    noted,
)
from tracelock.instrument.rewrite.codes import changed_code
from tracelock.teeth.mutations import Mutation, mutations_of
from tracelock.teeth.replayed import label_of

if TYPE_CHECKING:
    from tracelock.session.explored import Explored

#: How a process is told of the file.
VARIABLE: Final = "TRACELOCK_TEETH"
#: Of the time the share in which the exhaustive search alone is tried.
_EXHAUSTIVE: Final = 0.6
_INSTALLED: Final = ("site-packages", "dist-packages")
#: What a process with a mutant notes.
_RUN, _APPLIED = 0, 1
_OWN: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class Trial:
    """One process: the original, in which each region notes that it was run, or one mutant.

    ``request``: ``mode``, ``subject``, ``path`` (of modules), ``modules`` (those that are changed,
    None for one's own), ``mutant`` (None, or ``file`` and ``place``), ``late`` (modules to import
    before the search), ``seconds``, ``options``, ``answer`` and ``trace`` (files that are written).
    """

    def __init__(self, request: dict[str, Any]) -> None:
        self.request = request
        self.begun = monotonic()
        # before anything is looked for: sysconfig imports something itself when it is first asked
        self._library = os.path.realpath(sysconfig.get_path("stdlib")) + os.sep
        self.finder = ChangingFinder(self._change, changed_code)
        self.answer: dict[str, Any] = {}
        self._found: dict[str, tuple[str, int, list[Mutation]]] = {}
        self._next = 0
        self._before: set[str] = set()

    @classmethod
    def begin(cls) -> Trial:
        """The trial of this process, with the modules found as where it was asked for."""
        with open(os.environ.pop(VARIABLE), encoding="utf-8") as file:
            trial = cls(json.load(file))
        sys.path[:] = trial.request["path"]
        trial.finder.install()
        return trial

    # --- which trees are changed -------------------------------------------------------------
    def _change(self, name: str, path: str) -> TreeChange | None:
        mutant = self.request["mutant"]
        if mutant is not None:
            if os.path.realpath(path) != mutant["file"]:
                return None
            return TreeChange(partial(self._mutate, mutant["place"]), label_of(mutant["place"]))
        if not self._wanted(name, path):
            return None
        known = self._found.get(os.path.realpath(path))
        if known is not None:  # it is loaded again, or in a process that was forked
            return TreeChange(partial(_marked, known[1]), "\0marked")
        try:
            with open(path, "rb") as file:
                found = mutations_of(ast.parse(file.read(), path))
        except (OSError, SyntaxError, ValueError):
            return None  # whoever imports it tells
        if not found or self._next + len(found) > MISUSE:
            return None
        base, self._next = self._next, self._next + len(found)
        self._found[os.path.realpath(path)] = (name, base, found)
        return TreeChange(partial(_marked, base), "\0marked")

    def _wanted(self, name: str, path: str) -> bool:
        modules = self.request["modules"]
        if modules is not None:
            return any(_below(name, one) for one in modules)
        subject = self.request["subject"]
        if self.request["mode"] == "call" and _below(name, subject.partition(":")[0].split(".")[0]):
            return True
        real = os.path.realpath(path)
        if real.startswith(_OWN) or name.rpartition(".")[2] == "conftest":
            return False
        if any(f"{os.sep}{one}{os.sep}" in real for one in _INSTALLED):
            return False
        return not real.startswith(self._library)

    def _mutate(self, place: int, tree: ast.Module) -> None:
        mutations_of(tree)[place].apply(_RUN)
        note(_APPLIED)

    def load(self) -> None:
        """Import what the original was seen to import in its schedules, after all that it imports
        before: of what a worker is the first to import nothing is ever proved."""
        for name in self.request["late"]:
            with contextlib.suppress(Exception):  # whoever imports it tells
                importlib.import_module(name)
        self._before = {*sys.modules}

    def _late(self) -> list[str]:
        """The modules that schedules were the first to import."""
        found = {name for name in {*sys.modules} - self._before if name.partition(".")[0]
                 not in ("tracelock", "hypothesis", "_pytest")}  # fmt: skip
        return sorted({*found, *(name for name, _, _ in self._found.values())} - self._before)

    @property
    def looked_into(self) -> list[str]:
        """The modules whose locks are changed, where they were named: they are looked into."""
        return list(self.request["modules"] or ())

    # --- the search --------------------------------------------------------------------------
    def search(self, explore: Callable[[str, float], Explored], share: float = 1.0) -> Explored:
        """Explore exhaustively for a part of the time, then as ``auto`` does. ``explore`` is given
        a strategy and its seconds; ``share``: of the time, where there are several searches."""
        seconds = self.request["seconds"] * share
        begun = monotonic()
        self.answer.setdefault("ready", begun - self.begun)
        found = explore("dpor", seconds * _EXHAUSTIVE)
        left = seconds - (monotonic() - begun)
        if found.failed or found.exhaustive or found.whole or left <= 0.1:
            return found
        if found.stopped not in ("seconds", "schedules", ""):
            return found
        return explore("auto", left)

    def note(self, explored: Explored) -> None:
        """This is what a search came to; of several the worst, all that were verified count."""
        answer = self.answer
        before = answer.get("verdict")
        answer["schedules"] = answer.get("schedules", 0) + explored.schedules
        if before is not None and _WORST.index(before) <= _WORST.index(explored.verdict):
            return
        answer["verdict"], answer["summary"] = explored.verdict, explored.summary
        if _not_again(explored):
            answer["verdict"] = "unfinished"
            answer["summary"] = "a schedule failed, and did not fail when it was run again"
            return
        if explored.trace is not None and explored.failed:
            verdict = explored.trace.verdict
            answer["failure"] = _told(verdict.kind, verdict.message)
            answer["switches"] = explored.switches
            explored.trace.save(self.request["trace"])
            answer["trace"] = True

    def end(self) -> None:
        """Write the answer."""
        answer, mutant = self.answer, self.request["mutant"]
        answer["seconds"] = monotonic() - self.begun
        if mutant is not None:
            answer["reached"] = noted(_RUN)
            if not noted(_APPLIED):
                answer["reason"] = "its module was not imported"
        else:
            answer["late"] = self._late() if self._before else []
            answer["files"] = [
                {
                    "file": file, "module": name, "mutants": [
                        {
                            "kind": one.kind, "line": one.line, "function": one.function,
                            "owner": one.owner, "lock": one.lock, "was": one.was, "now": one.now,
                            "misuse": one.misuse, "reached": noted(base + place),
                        }
                        for place, one in enumerate(found)
                    ],
                }
                for file, (name, base, found) in self._found.items()
            ]  # fmt: skip
        with open(self.request["answer"], "w", encoding="utf-8") as file:
            json.dump(answer, file)

    def refuse(self, error: Exception) -> None:
        """It could not be searched."""
        self.answer["verdict"] = "error"
        self.answer["summary"] = f"{error}"
        if not isinstance(error, TracelockError):
            self.answer["summary"] = f"{type(error).__name__}: {error}"
        if isinstance(error, (SyntaxError, NameError)):
            self.answer["verdict"] = "invalid"


_WORST: Final = ("failed", "error", "unfinished", "passed", "verified")


def _not_again(explored: Explored) -> bool:
    """Whether a failing schedule was run again and passed."""
    again = [score.startswith("0/") for score in explored.confirmed.values()]
    return explored.failed and any(again) and not any("cut off" in one for one in explored.notes)


def _below(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def _marked(base: int, tree: ast.Module) -> None:
    for place, one in enumerate(mutations_of(tree)):
        one.mark(base + place)


def _told(kind: str, message: str) -> str:
    """How a schedule failed, in a line: the first of its message, and the last frame of an
    exception."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    told = lines[0] if lines else kind
    if len(lines) > 1 and _FRAME.fullmatch(lines[-1]):
        told += f" ({lines[-1]})"
    return told if kind == "failed" or told.startswith(kind) else f"{kind}: {told}"


_FRAME: Final = re.compile(r"\S+:\d+ in \S+")


# --- the modes of this module -------------------------------------------------------------------
def main() -> None:
    """Run the trial of this process."""
    trial = Trial.begin()
    try:
        _MODES[trial.request["mode"]](trial)
    except Exception as error:  # of the code under test, too, as it is imported
        trial.refuse(error)
    trial.end()


def _call(trial: Trial) -> None:
    """A function of a module, which is a whole program; a class is audited instead."""
    name = trial.request["subject"]
    module, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
    except ImportError as error:
        if trial.request["mutant"] is not None:
            raise
        raise UsageError(f"cannot import {module}: {error}") from None
    for part in path.split("."):
        if not hasattr(found, part):
            raise UsageError(f"{module} has no {path}")
        found = getattr(found, part)
    if isinstance(found, type):
        trial.answer["kind"] = "class"
        trial.answer["classes"] = [
            [os.path.realpath(file), one.__qualname__] for one in found.__mro__
            if (file := getattr(sys.modules.get(one.__module__), "__file__", None))
        ]  # fmt: skip
        _audit(trial)
        return
    trial.answer["kind"] = "function"
    trial.load()
    if not callable(found):
        raise UsageError(f"{name} is no function and no class: it is a {type(found).__name__}")
    try:
        inspect.signature(found).bind()
    except ValueError:
        pass
    except TypeError as error:
        raise UsageError(
            f"{name} cannot be called without arguments ({error}): it has to be a whole program, "
            "which starts its threads, or its tasks, and checks what comes out"
        ) from None
    _explore(trial, lambda **plan: {"workers": [found], **plan})


def _document(trial: Trial) -> None:
    """A scenario whose workers are functions of Python."""
    from tracelock.scenario.loading import scenario_from_data

    trial.answer["kind"] = "scenario"
    scenario = scenario_from_data(trial.request["subject"], "the scenario")
    trial.load()
    _explore(trial, lambda **plan: {"scenario": scenario, "allow_call": True, **plan})


def _explore(trial: Trial, given: Callable[..., dict[str, Any]]) -> None:
    from tracelock.session.code import PythonCode
    from tracelock.session.exploring import explore_target
    from tracelock.session.plan import Plan
    from tracelock.session.targets import target_for

    options = given()
    code = PythonCode(options.get("workers", ()), instrument=trial.looked_into or None)
    allow_call = options.get("allow_call", False)
    more = trial.request["options"]

    def explore(strategy: str, seconds: float) -> Explored:
        target = target_for(options.get("scenario"), code, allow_call=allow_call)
        plan = Plan(
            more.get("backend") or "", strategy, 0, allow_call=allow_call, seconds=seconds,
            interpreter=more.get("interpreter") or "", confirm=1, estimate=False,
        )  # fmt: skip
        return explore_target(target, plan)

    trial.note(trial.search(explore))


def _audit(trial: Trial) -> None:
    from tracelock.audit import audit

    options = {name: value for name, value in trial.request["options"].items() if value}
    trial.answer["ready"] = monotonic() - trial.begun
    with tempfile.TemporaryDirectory(prefix="tracelock-teeth-") as place:
        found = audit(
            trial.request["subject"], seconds=trial.request["seconds"],
            folder=trial.request.get("folder") or place,
            progress=lambda done, total, wrong: wrong > 0,
            **{"calls": 1, **options},
        )  # fmt: skip
    answer = trial.answer
    answer["verdict"], answer["summary"] = found.verdict, found.summary
    answer["misuse"] = noted(MISUSE)
    if answer["misuse"] and not trial.request.get("misuse", True):
        # Each call of a class is compared with itself, one after the other: what fails there, too,
        # would be as it should be.
        answer["verdict"] = "invalid"
        answer["summary"] = "it waits or notifies without the lock of the condition"
        return
    answer["schedules"] = found.schedules
    reasons = [cell.reason for cell in found.cells if cell.reason and cell.verdict != "verified"]
    if found.verdict != "failed" and (reasons or found.missing):
        missing = [f"{name} was not called: {why}" for name, why in found.missing.items()]
        answer["summary"] += f" ({(reasons + missing)[0]})"
    for cell in found.anomalies[:1]:
        answer["failure"] = f"{cell.kind}: {cell.client}: {cell.detail}"
        if cell.recorded is not None:
            cell.recorded.save(trial.request["trace"])
            answer["trace"] = True


_MODES: Final[dict[str, Callable[[Trial], None]]] = {"call": _call, "document": _document}

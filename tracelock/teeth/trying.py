"""Does a test notice it when a lock is missing? All mutants, one after the other, within a time."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from tracelock.errors import UsageError, unknown
from tracelock.instrument.program import by_name, name_of
from tracelock.teeth.mutations import KINDS
from tracelock.teeth.processes import TrialProcesses
from tracelock.teeth.replayed import MUTANT
from tracelock.teeth.results import INVALID, KILLED, NOT_RUN, UNTRIED, MutantResult, Teeth, judged
from tracelock.trace import load_trace

if TYPE_CHECKING:
    from tracelock.scenario.language.models import Scenario

#: Seconds unless told otherwise.
SECONDS: Final = 60.0
#: The share of them in which the original may be searched, and what one mutant gets at least.
_ORIGINAL: Final = 0.25
_LEAST: Final = 0.5
_SCENARIOS: Final = (".yaml", ".yml", ".json")
#: What is said of an original that was not searched as a whole.
_NOT_WHOLE: Final = (
    "of the code as it is not every schedule was tried ({summary}): a failure that it has itself, "
    "and that only a mutant came to, counts as killed"
)
_NEVER: Final = "what was changed was not run in any schedule of the original that was tried"

Progress = Callable[[int, int, int], None]


def teeth(
    subject: str | Callable[..., Any] | Scenario, *, modules: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None, seconds: float = SECONDS, interpreter: str | None = None,
    backend: str | None = None, init: str | None = None, methods: Sequence[str] | None = None,
    before: Sequence[str] = (), calls: int = 1, contract: str | Mapping[str, str] = "",
    ignore: Sequence[str] = (), strategies: Mapping[str, str] | None = None,
    invariant: str | None = None, audit: bool = False, allow_call: bool = False, jobs: int = 1,
    folder: str | None = None, progress: Progress | None = None,
) -> Teeth:  # fmt: skip
    """Does this test have teeth? Change each lock region of the code under test, one at a time, and
    look whether the test fails.

    ``subject``: the id of a test as pytest has it (``tests/test_bank.py::test_add``, or a file of
    tests); ``module:function`` of a function without arguments that is a whole concurrent program,
    or that function; ``module:Class``, or the class, whose audit is the test; a scenario, or the
    path of one. Each region is ``removed``, ``narrowed`` (its first or last statement is done
    outside), ``swapped`` (two regions have one another's lock, two locks of one ``with`` are taken
    in the other order), ``replaced`` (another lock of the same object is taken) and ``widened``
    (the statement before or after is done under the lock, too: not part of the score). Syntax
    trees are changed, no files; each mutant runs in a process of its own. The original has to pass.

    ``modules``: whose locks are changed, with all below them (all modules of your own that are
    imported, of a test file what is in no test; of a class those of its package). ``kinds``: of the
    changes, some. ``seconds``: for everything; a mutant gets its share of what is left.
    ``interpreter``: see ``tracelock.explore``; ``backend``: of a function or a scenario, or whose
    tasks call the methods of a class. ``init``, ``methods``, ``before``, ``calls``,
    ``contract``, ``ignore``, ``strategies`` (texts), ``invariant``: of a class, see
    ``tracelock.audit`` (``calls``: 1, pairs of methods alone).
    ``audit``: of a test or function, where it is verified that a lock in a class is not missed, the
    class is audited without it as well.
    ``allow_call``: whether a scenario may run the Python code that it names. ``jobs``: so many
    mutants of Python code are tried at the same time, each in its process. ``folder``: where the
    programs are written that a class fails in, which replays of their traces need (None: nowhere).
    ``progress``: called
    with the mutants done, those there are, and those killed.

    Raises UsageError where the original fails, where there is no lock region, and for a subject
    that cannot be had; ScenarioError and UnsupportedError for scenarios as ``explore`` does.
    """
    if seconds <= 0:
        raise UsageError("a budget has to be more than nothing")
    if jobs < 1:
        raise UsageError(f"jobs is a number of processes, at least 1, not {jobs}")
    for kind in kinds or ():
        if kind not in KINDS:
            raise unknown("kind of change", kind, KINDS)
    of_audits = {
        "init": init, "methods": None if methods is None else list(methods),
        "before": list(before), "calls": calls if calls != 1 else None,
        "contract": dict(contract) if isinstance(contract, Mapping) else contract,
        "ignore": list(ignore), "strategies": dict(strategies or {}), "invariant": invariant,
    }  # fmt: skip
    given = {name: value for name, value in of_audits.items() if value}
    found = _scenario_of(subject)
    chosen = tuple(kinds) if kinds else KINDS
    if found is not None and found.python is None:
        from tracelock.teeth.scenarios import scenario_teeth

        _only_of_classes(given, "a scenario")
        if modules is not None or interpreter or audit:
            raise UsageError("modules, interpreter, audit: of Python code, this is a scenario")
        return scenario_teeth(
            found, chosen, seconds, backend or "", allow_call=allow_call, progress=progress
        )
    if found is not None:
        _check_allowed(found, allow_call=allow_call)
        told: Any = found.to_data()
        mode, name = "document", found.name
    else:
        mode, name = _mode_of(subject)
        told = name
    options = {"interpreter": interpreter, "backend": backend, **given}
    with tempfile.TemporaryDirectory(prefix="tracelock-teeth-") as place:
        request = {"subject": told, "path": _paths(), "options": options}
        request["folder"] = None if folder is None else os.path.abspath(folder)
        trials = TrialProcesses(place, mode, request)
        asked = _Asked(
            trials, name, modules, chosen, seconds, {} if audit else given, jobs, progress
        )
        teeth = asked.all()
        teeth.interpreter = interpreter or ""
        if audit:
            from tracelock.teeth.over_audits import audit_survivors

            request = {"path": _paths(), "options": {"interpreter": interpreter, **given}}
            audit_survivors(teeth, place, request, lambda: asked.left)
            teeth.seconds = monotonic() - asked.begun
        return teeth


# --- what is asked about ------------------------------------------------------------------------
def _scenario_of(subject: object) -> Scenario | None:
    if isinstance(subject, str):
        if subject.endswith(_SCENARIOS) and "::" not in subject:
            from tracelock.scenario.loading import load_scenario

            return load_scenario(subject)
        return None
    if callable(subject):
        return None
    from tracelock.scenario.language.models import Scenario

    if not isinstance(subject, Scenario):
        raise UsageError(
            "what is asked about is a test, module:function, module:Class or a scenario, not "
            f"{subject!r:.80}"
        )
    return subject


def _check_allowed(scenario: Scenario, *, allow_call: bool) -> None:
    from tracelock.backends.calls import check_calls
    from tracelock.session.backends import check_supported

    check_calls(allow_call)
    if not allow_call:
        check_supported(scenario, "threading")


def _mode_of(subject: Any) -> tuple[str, str]:
    """How it is run, and its name."""
    if not isinstance(subject, str):
        name = name_of(subject)
        if not by_name(name):
            raise UsageError(
                f"{name} cannot be imported by name: each change is tried in a new process, which "
                "does, so put it into a module, outside of functions"
            )
        return "call", name
    file, _, _ = subject.partition("::")
    if file.endswith(".py"):
        if subject.startswith("-") or not os.path.exists(file):
            raise UsageError(f"{file}: there is no such file of tests")
        return "pytest", subject
    module, _, path = subject.partition(":")
    if not path or not all(part.isidentifier() for part in (*module.split("."), *path.split("."))):
        raise UsageError(
            "what is asked about is a test (tests/test_bank.py::test_add), module:function, "
            f"module:Class or the file of a scenario, not {subject!r}"
        )
    return "call", subject


def _paths() -> list[str]:
    """Where modules are found."""
    return list(dict.fromkeys(os.path.abspath(one) for one in sys.path))


def _only_of_classes(given: Mapping[str, Any], what: str) -> None:
    if given:
        raise UsageError(f"{', '.join(given)}: of the audit of a class, this is {what}")


class _Asked:
    """One question about Python code."""

    def __init__(
        self, trials: TrialProcesses, name: str, modules: Sequence[str] | None,
        kinds: tuple[str, ...], seconds: float, given: Mapping[str, Any], jobs: int,
        progress: Progress | None,
    ) -> None:  # fmt: skip
        self.trials = trials
        self.modules = None if modules is None else list(modules)
        self.kinds = kinds
        self.seconds = seconds
        self.given = given
        self.jobs = jobs
        self.progress = progress
        self.teeth = Teeth(name, "")
        self.begun = monotonic()
        self.start = 0.0  # seconds that a process takes before its search
        self.late: list[str] = []  # modules that schedules of the original were first to import

    @property
    def left(self) -> float:
        return self.begun + self.seconds - monotonic()

    def all(self) -> Teeth:
        """The original, then the mutants: those first that take a lock away."""
        found = self.teeth
        self._original()
        waiting = [one for one in found.mutants if one.verdict == UNTRIED]
        waiting.sort(key=lambda one: KINDS.index(one.kind))
        with ThreadPoolExecutor(self.jobs) as pool:
            try:
                self._all_of(waiting, pool)
            except BaseException:  # the pool waits for what runs
                self.trials.end()
                raise
        found.seconds = monotonic() - self.begun
        return found

    def _all_of(self, waiting: Sequence[MutantResult], pool: ThreadPoolExecutor) -> None:
        """Try these, so many at a time; each has its share of the time that is left then."""
        found, begun, done = self.teeth, 0, 0
        running: dict[Future[dict[str, Any]], MutantResult] = {}
        while begun < len(waiting) or running:
            while begun < len(waiting) and len(running) < self.jobs:
                if self.left <= self.start / 2:
                    found.notes.append(
                        f"the time was up after {begun} of {len(waiting)} mutants: give more "
                        "--seconds"
                    )
                    waiting = waiting[:begun]
                    break
                share = self.left * self.jobs / (len(waiting) - begun)
                mutant = waiting[begun]
                running[pool.submit(self._try, mutant, min(share, self.left))] = mutant
                begun += 1
            over, _ = wait(running, return_when=FIRST_COMPLETED)
            for one in over:
                self._judge(running.pop(one), one.result())
                done += 1
                if self.progress is not None:
                    self.progress(done, len(waiting), found.count(KILLED))

    def _original(self) -> None:
        found, name = self.teeth, self.teeth.subject
        answer = self.trials.run(self.seconds * _ORIGINAL, None, self.modules)
        self.late = answer.get("late", [])
        self.trials.request["misuse"] = answer.get("misuse", False)
        if self.late and answer.get("verdict") in ("passed", "unfinished"):
            # of what a worker is the first to import nothing is proved: it is there before, now
            answer = self.trials.run(self.seconds * _ORIGINAL, None, self.modules, self.late)
        verdict, summary = answer.get("verdict", ""), answer.get("summary", "")
        found.kind = answer.get("kind", "")
        found.original, found.original_summary = verdict, summary
        found.original_schedules = answer.get("schedules", 0)
        if verdict == "failed":
            raise UsageError(
                f"{name} fails as it is ({answer.get('failure') or summary}): whether it notices "
                "changes can be asked of what passes"
            )
        if verdict not in ("verified", "passed", "unfinished"):
            log = f"\n{answer['log']}" if answer["log"] else ""
            raise UsageError(f"{name} cannot be run: {summary}{log}")
        if found.kind != "class":
            _only_of_classes(self.given, f"a {found.kind}")
        if verdict != "verified":
            found.notes.append(_NOT_WHOLE.format(summary=summary))
        spent = answer["spent"]
        self.start = min(spent, answer.get("ready", 0.0) + spent - answer.get("seconds", spent))
        self._mutants(answer)

    def _mutants(self, answer: Mapping[str, Any]) -> None:
        found, files = self.teeth, sorted(answer["files"], key=lambda one: str(one["file"]))
        tests = os.path.realpath(found.subject.partition("::")[0])
        for file in files:
            shown = _shown(file["file"])
            for place, one in enumerate(file["mutants"]):
                if one["kind"] not in self.kinds or not self._asked(
                    file["file"], tests, one, answer
                ):
                    continue
                mutant = MutantResult(
                    len(found.mutants) + 1, one["kind"], shown, one["line"], one["function"],
                    one["lock"], one["was"], one["now"], owner=one["owner"],
                    module=file["module"], place=place, path=file["file"],
                )  # fmt: skip
                if one["misuse"]:
                    mutant.verdict = INVALID
                    mutant.reason = f"{one['misuse']} needs the lock, and would do without it"
                elif not one["reached"]:
                    mutant.verdict, mutant.reason = NOT_RUN, _NEVER
                found.mutants.append(mutant)
        found.modules = sorted({one.module for one in found.mutants})
        if not found.mutants:
            what = "of its classes" if found.kind == "class" else "of the code under test"
            raise UsageError(
                f"{found.subject}: no lock region {what} was found: name modules with some by "
                "--module; those that tracelock itself has imported, of the standard library, "
                "cannot be changed (a copy of them can)"
            )

    def _asked(
        self, file: str, tests: str, one: Mapping[str, Any], answer: Mapping[str, Any]
    ) -> bool:
        """Whether a region is of the code under test: of a file of tests what is in no test, of a
        class what is in it or in no class."""
        if self.modules is not None:
            return True
        if found := answer.get("classes"):
            mine = [name for where, name in found if where == file]
            return bool(mine) and (not one["owner"] or one["owner"] in mine)
        if file != tests:
            return True
        return not any(part.lower().startswith("test") for part in one["function"].split("."))

    def _try(self, mutant: MutantResult, share: float) -> dict[str, Any]:
        return self.trials.run(
            max(_LEAST, share - self.start), {"file": mutant.path, "place": mutant.place},
            self.modules, self.late,
        )  # fmt: skip

    def _judge(self, mutant: MutantResult, answer: dict[str, Any]) -> None:
        whole = self.teeth.kind == "class" and not self.given.get("methods")
        judged(mutant, answer, whole_class=whole)
        if answer.get("trace"):
            mutant.recorded = load_trace(Path(answer["trace"]))
            mutant.recorded.extra[MUTANT] = {
                name: getattr(mutant, name)
                for name in ("kind", "file", "line", "was", "now", "module")
            }


def _shown(path: str) -> str:
    """A file as it is told: below the current folder, else as it is."""
    try:
        below = os.path.relpath(path, os.path.realpath(os.curdir))
    except (OSError, ValueError):
        return path
    return path if below.startswith("..") else below

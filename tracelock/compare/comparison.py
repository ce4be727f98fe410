"""The comparison as a document, ``tracelock-comparison/1``.

``{"format", "tracelock", "scenario", "environment", "complete", "backends", "refused", "outcomes",
"costs", "leftovers", "notes", "seconds"}``. ``complete`` is false where a budget or Ctrl-C cut
something; ``notes`` says what.

- ``refused``: backend -> why it cannot do the scenario.
- ``outcomes``: ``{"rows", "searched", "shortened"}``. A row is one way to end: ``outcome`` (words),
  ``kind``, ``failure``, ``differs`` (backends disagree whether it can happen), ``why`` (a
  sentence), ``gil`` (of a failure that is possible on ``threading``: what the GIL of the running
  ``interpreter`` makes of it: ``can``, which may also be ``cannot tell``, and ``why``; else None)
  and ``cells``: for each backend ``can`` (``possible``, ``impossible``: every schedule was tried,
  or ``not found``), ``tried`` (schedules and runs), ``switches`` (of the minimal trace),
  ``trace`` (``workers``, ``events``, ``verdict``; None where none was kept), ``seen`` of ``runs``
  free runs, their ``share`` with its 95 % interval ``low``, ``high`` (Wilson), and ``states`` (some
  final states). ``shortened``: the length that long loops were cut to for the search, or None.
- ``costs``: ``{"variants", "rows", "noise", "cut", "notes"}``. A row is one bar: ``variant``,
  ``own`` (the form that was given), ``backend``, ``python``, ``gil``, ``switch_interval``,
  ``rounds``; ``seconds``, ``rounds_per_second``, ``waiting`` (share of the workers' time spent
  waiting for a lock), ``held_us`` (microseconds it is held each time) and ``again`` (share of
  acquisitions by the worker that had it last), each ``{"median", "low", "high", "n", "all"}`` with
  a 95 % interval of the median, or None; ``ends``: how the runs ended; ``error``.
- ``leftovers``: see :mod:`tracelock.compare.leftovers`.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from tracelock.compare.gil import UnderGil, told
from tracelock.errors import UnsupportedError, UsageError, unknown
from tracelock.trace.outputs import write_whole

if TYPE_CHECKING:
    from tracelock.scenario.language.models import Scenario

FORMAT: Final = "tracelock-comparison/1"
REAL: Final = ("threading", "multiprocessing", "asyncio", "trio")
FREE_RUNS: Final = 100
#: Loops longer than this are cut for the search: it could never end.
LONG: Final = 50
SHORT: Final = 2


@dataclass(slots=True)
class Comparison:
    """One scenario on several backends; ``data`` is the whole document."""

    data: dict[str, Any]

    @property
    def complete(self) -> bool:
        """Whether nothing was cut short."""
        return bool(self.data["complete"])

    @property
    def failed(self) -> bool:
        """Whether something goes wrong on some backend."""
        return any(
            row["kind"] not in ("passed", "unfinished")
            and any(cell["can"] == "possible" for cell in row["cells"].values())
            for row in self.data["outcomes"]["rows"]
        )

    def save(self, path: str) -> None:
        """Write the document as JSON. Raises UsageError where that cannot be."""
        write_whole(path, [json.dumps(self.data, indent=1), "\n"])


def compare(
    scenario: Scenario,
    *,
    backends: Sequence[str] | None = None,
    runs: int | None = None,
    native: bool = False,
    seconds: float = 60.0,
    pythons: Sequence[str] = (),
    switch_intervals: Sequence[float] = (),
    allow_call: bool = False,
    progress: Callable[[str, float], None] | None = None,
) -> Comparison:
    """Set the backends side by side: what can happen, what it costs, what is left behind.

    ``backends``: of the four real ones; None for all that are here. ``runs``: free runs on each
    (100) and timed runs of each bar (7). ``native``: only measure, and count how the plain programs
    end, without the search. ``seconds``: for everything, about. ``pythons``: more interpreters to
    measure on. ``switch_intervals``: more values of ``sys.setswitchinterval`` to measure threads
    with, in seconds. ``progress``: called with what is being done and the share of it.
    KeyboardInterrupt ends it with what there is, marked so.

    Raises UsageError for backends that are unknown or not here, ScenarioError for an unsound
    scenario, UnsupportedError where no chosen backend can do it.
    """
    return _Comparing(
        scenario, backends, runs, native, seconds, pythons, switch_intervals, allow_call, progress
    ).run()


class _Comparing:
    def __init__(
        self, scenario: Scenario, backends: Sequence[str] | None, runs: int | None, native: bool,
        seconds: float, pythons: Sequence[str], intervals: Sequence[float], allow_call: bool,
        progress: Callable[[str, float], None] | None,
    ) -> None:  # fmt: skip
        from tracelock.session.scenarios import compile_program
        from tracelock.session.targets import target_for

        compile_program(target_for(scenario, allow_call=allow_call).scenario())
        if not 0 < seconds < float("inf"):
            raise UsageError("the seconds for a comparison have to be more than none")
        if runs is not None and runs < 1:
            raise UsageError("a comparison needs a run at least")
        self.scenario = scenario
        self.free_runs = runs or FREE_RUNS
        self.timed_runs = runs
        self.native = native
        self.seconds = seconds
        self.pythons = pythons
        self.intervals = intervals
        self.allow_call = allow_call
        self.progress = progress or (lambda what, share: None)
        self.begun = monotonic()
        self.backends, self.refused = self._chosen(backends)
        self.notes: list[str] = []
        self.gil: tuple[str, dict[str, str]] | None = None

    def _chosen(self, wanted: Sequence[str] | None) -> tuple[list[str], dict[str, str]]:
        from tracelock.session import backends_here, check_supported

        here = {row["name"]: row["available"] for row in backends_here()}
        for name in wanted or ():
            if name not in REAL:
                raise unknown("backend", name, REAL)
            if not here[name]:
                raise UsageError(f"the backend {name} is not here: pip install 'tracelock[{name}]'")
        chosen, refused, last = [], {}, None
        for name in dict.fromkeys(wanted or [one for one in REAL if here[one]]):
            try:
                check_supported(self.scenario, name, allow_call=self.allow_call)
            except UnsupportedError as error:
                refused[name] = error.problems[0].message.partition(": ")[2]
                last = error
            else:
                chosen.append(name)
        if not chosen:
            assert last is not None
            raise last
        return chosen, refused

    def left(self) -> float:
        return self.seconds - (monotonic() - self.begun)

    def run(self) -> Comparison:
        from tracelock import __version__
        from tracelock.compare.outcomes import OutcomeTable
        from tracelock.trace import environment

        survey = OutcomeTable(self.backends, self.allow_call)
        costs: dict[str, Any] = {"variants": [], "rows": [], "noise": [], "cut": True, "notes": []}
        data: dict[str, Any] = {
            "format": FORMAT, "tracelock": __version__, "scenario": self.scenario.to_data(),
            "environment": {**environment(None), "machine": platform.machine()},
            "complete": True, "backends": self.backends, "refused": self.refused,
            "outcomes": {"rows": [], "searched": survey.searched, "shortened": None},
            "costs": costs, "leftovers": [], "notes": self.notes,
        }  # fmt: skip
        try:
            self._gather(survey, data)
        except KeyboardInterrupt:
            self.notes.append("interrupted: this is what was there by then")
            data["complete"] = False
        try:
            data["outcomes"]["rows"] = survey.finished(lambda: self.left() < -20)
            self._add_gil(data["outcomes"]["rows"])
        except KeyboardInterrupt:
            data["complete"] = False
        if costs["cut"]:
            data["complete"] = False
        data["seconds"] = round(monotonic() - self.begun, 3)
        return Comparison(data)

    def _gather(self, survey: Any, data: dict[str, Any]) -> None:
        from tracelock.compare.costs import RUNS, measure, pythons, usable
        from tracelock.compare.leftovers import leftovers
        from tracelock.compare.variants import shortened

        short = shortened(self.scenario, LONG, SHORT)
        if not self.native:
            self._search(survey, data, short)
            if short is None:
                self._free(survey)
        others = []
        for python in pythons(self.pythons):
            reason = usable(python)
            if reason is None:
                others.append(python)
            else:
                self.notes.append(f"{python} is left out: {reason}")
        share = max(5.0, self.left() * 0.9)
        measure(
            self.scenario, self.backends, runs=self.timed_runs or RUNS, seconds=share,
            others=others, intervals=self.intervals, into=data["costs"],
            progress=lambda done: self.progress("measuring", done),
        )  # fmt: skip
        if data["costs"]["cut"]:
            self.notes.append(
                f"the {self.seconds:g} s were not enough for all timed runs: --seconds gives more"
            )
        if self.native or short is not None:
            self._count_native(survey, data["costs"])
        if not self.native:
            self.progress("what is left behind", 0.0)
            kinds = dict.fromkeys(
                decl.type if decl.type != "bounded_semaphore" else "semaphore"
                for decl in self.scenario.objects.values()
            )
            known = ("lock", "rlock", "semaphore", "condition")
            data["leftovers"] = leftovers(
                [*self.backends], [kind for kind in known if kind in kinds] or known[:1],
                lambda: self.left() < -10,
            )  # fmt: skip

    def _search(self, survey: Any, data: dict[str, Any], short: Scenario | None) -> None:
        each = max(1.0, self.left() * 0.35 / len(self.backends))
        if short is not None:
            data["outcomes"]["shortened"] = SHORT
            self.notes.append(
                f"what can happen was searched with loops of {SHORT} rounds; what did happen and "
                "the costs are of the whole"
            )
        for place, backend in enumerate(self.backends):
            self.progress(f"searching on {backend}", place / len(self.backends))
            survey.search(short or self.scenario, backend, each)
            searched = survey.searched[backend]
            if not searched["exhaustive"]:
                data["complete"] = False
                self.notes.append(
                    f"{backend}: not every schedule was tried ({searched['schedules']:,} were), "
                    "so what was not found there may be possible all the same"
                )

        if "threading" in self.backends:
            self.progress("searching under the GIL", 1.0)
            under = UnderGil(short or self.scenario)
            found = under.search(each, self.allow_call)
            self.gil = None if found is None else (under.name, found)

    def _add_gil(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["gil"] = None
            cell = row["cells"].get("threading")
            if self.gil is None or cell is None or cell["can"] != "possible":
                continue
            if row["kind"] not in ("passed", "unfinished"):
                name, found = self.gil
                can = found.get(row["key"]) or found[""]
                row["gil"] = {"interpreter": name, "can": can, "why": told(name, can)}

    def _free(self, survey: Any) -> None:
        each = max(1.0, self.left() * 0.3 / len(self.backends))
        for place, backend in enumerate(self.backends):
            self.progress(f"running on {backend}", place / len(self.backends))
            survey.free(self.scenario, backend, self.free_runs, each)
            if survey.runs[backend] < self.free_runs:
                self.notes.append(
                    f"{backend}: {survey.runs[backend]} of {self.free_runs} free runs fitted in"
                )

    def _count_native(self, survey: Any, costs: dict[str, Any]) -> None:
        """How the plain programs ended counts as free runs; a failure is one of what must hold."""
        text = self.scenario.finally_ or self.scenario.always
        label = f"failed: {text[0]} is false" if len(text) == 1 else "failed"
        for row in costs["rows"]:
            if not row["own"] or row["switch_interval"] is not None:
                continue
            for end, times in row["ends"].items():
                failed = end == "failed"
                finals = bool(failed and self.scenario.finally_)
                survey.count(
                    row["backend"], end, ("finally" if finals else "assert") if failed else None,
                    "finally[0]" if finals else None, label if failed else end,
                    row["wrong_state"] if failed else None, times,
                )  # fmt: skip

"""What it costs: the scenario and its variants as plain Python, timed in turns."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

from tracelock.compare.native import Prepared, Workshop
from tracelock.compare.stats import apart, spread
from tracelock.compare.variants import Variant, rounds, variants
from tracelock.errors import UnsupportedError
from tracelock.scenario.language.models import Scenario
from tracelock.session import check_supported

RUNS: Final = 7
#: Runs of a cell after which an interval of its median means something.
LEAST: Final = 3


@dataclass(slots=True)
class Cell:
    """One bar of the picture: a variant on a backend, with one Python and one switch interval."""

    variant: str
    own: bool
    backend: str
    prepared: Prepared
    python: str | None = None
    switch_interval: float | None = None
    workers: int = 1
    rounds: int | None = None
    seconds: list[float] = field(default_factory=list)
    waiting: list[float] = field(default_factory=list)
    held: list[float] = field(default_factory=list)
    again: list[float] = field(default_factory=list)
    ends: dict[str, int] = field(default_factory=dict)
    state: dict[str, Any] | None = None
    version: str = ""
    gil: bool = True
    error: str | None = None

    def take(self, result: dict[str, Any], timed: bool) -> None:
        """Keep what one run gave."""
        if "error" in result:
            self.error = result["error"]
            return
        self.version, self.gil = result["python"], result["gil"]
        if timed:
            taken = result["taken"]
            if taken:
                self.waiting.append(result["waited"] / 1e9 / result["seconds"] / self.workers)
                self.held.append(result["held"] / 1e3 / taken)
                self.again.append(result["again"] / taken)
            return
        end = "passed"
        if result["status"]:
            end = "deadlock" if " waits" in result["output"] else "failed"
            self.state = result["state"]
        if end != "deadlock":  # how long one waits for a run that hangs is no cost
            self.seconds.append(result["seconds"])
        self.ends[end] = self.ends.get(end, 0) + 1

    @property
    def hangs(self) -> bool:
        """Whether it is not worth waiting for it any more."""
        return self.ends.get("deadlock", 0) >= 2 and not self.seconds

    def to_data(self) -> dict[str, Any]:
        rounds = self.rounds or 0
        return {
            "variant": self.variant, "own": self.own, "backend": self.backend,
            "python": self.version, "gil": self.gil, "switch_interval": self.switch_interval,
            "rounds": self.rounds,
            "seconds": spread(self.seconds),
            "rounds_per_second": spread([rounds / one for one in self.seconds if rounds]),
            "waiting": spread(self.waiting), "held_us": spread(self.held),
            "again": spread(self.again),
            "ends": self.ends, "wrong_state": self.state, "error": self.error,
        }  # fmt: skip


def pythons(given: Sequence[str]) -> list[str]:
    """Other interpreters to measure on: those given, and free-threaded ones on the path."""
    found = list(given)
    for minor in (13, 14, 15):
        path = shutil.which(f"python3.{minor}t")
        if path and os.path.realpath(path) != os.path.realpath(sys.executable):
            found.append(path)
    return list(dict.fromkeys(found))


def usable(python: str) -> str | None:
    """Why an interpreter cannot be used, or None."""
    try:
        done = subprocess.run(
            [python, "-c", "import sys; print(sys.version_info >= (3, 11))"],
            capture_output=True, text=True, timeout=20,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.stdout.strip() == "True" else "it is no Python of 3.11 or later"


def cells_of(
    workshop: Workshop,
    forms: Sequence[Variant],
    backends: Sequence[str],
    others: Sequence[str],
    intervals: Sequence[float],
    patience: float,
) -> list[Cell]:
    """All bars there are to measure."""
    cells = []
    for backend in backends:
        for form in forms:
            try:
                check_supported(form.scenario, backend, allow_call=True)
            except UnsupportedError:
                continue
            prepared = workshop.prepare(form.scenario, backend, patience)
            workers = sum(worker.count for worker in form.scenario.workers.values())
            settings: list[tuple[str | None, float | None]] = [(None, None)]
            if backend == "threading":
                settings += [(None, interval) for interval in intervals]
            settings += [(python, None) for python in others]
            cells += [
                Cell(
                    form.name, form.own, backend, prepared, python, interval, workers,
                    rounds(form.scenario),
                )
                for python, interval in settings
            ]  # fmt: skip
    return cells


def measure(
    scenario: Scenario,
    backends: Sequence[str],
    *,
    runs: int = RUNS,
    seconds: float = 60.0,
    others: Sequence[str] = (),
    intervals: Sequence[float] = (),
    progress: Callable[[float], None] | None = None,
    into: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Measure all variants on all backends: each once, then each again, and so on.

    ``into`` is filled as it goes, so that an interruption leaves what there is. See the format of
    comparisons for what it holds.
    """
    data = into if into is not None else {}
    begun = monotonic()
    forms = variants(scenario)
    data.update(
        variants=[{"name": form.name, "own": form.own} for form in forms],
        rows=[], noise=[], notes=[], cut=False,
    )  # fmt: skip
    with Workshop() as workshop:
        cells = cells_of(workshop, forms, backends, others, intervals, max(2.0, seconds / 4))
        try:
            _rounds(workshop, cells, runs, begun, seconds, progress, data)
        finally:
            data["rows"] = [cell.to_data() for cell in cells]
            data["noise"] = noise(data["rows"])
    return data


def _rounds(
    workshop: Workshop, cells: list[Cell], runs: int, begun: float, seconds: float,
    progress: Callable[[float], None] | None, data: dict[str, Any],
) -> None:  # fmt: skip
    # some runs with locks that measure come early, so that a cut leaves something of both
    early = min(LEAST, runs)
    turns = [False] * early + [True] * 2 + [False] * (runs - early)
    turns += [True] * max(0, runs // 2 - 2)
    for turn, timed in enumerate(turns):
        for place, cell in enumerate(cells):
            left = seconds - (monotonic() - begun)
            if left <= 0 and turn > 0:
                data["cut"] = True
                return
            if cell.error is not None or cell.hangs:
                continue
            if timed and not cell.prepared.config["timed"]:
                continue
            result = workshop.run(
                cell.prepared, python=cell.python, timed=timed,
                switch_interval=cell.switch_interval, seconds=max(15.0, min(left, 60.0)),
            )  # fmt: skip
            if "error" in result and (cell.seconds or timed):
                data["cut"] = True  # it has worked before: only the time was too short now
                continue
            cell.take(result, timed)
            if progress is not None:
                progress((turn * len(cells) + place + 1) / (len(turns) * len(cells)))


def noise(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The pairs of bars of one backend that the runs could not tell apart."""
    found = []
    for place, a in enumerate(rows):
        for b in rows[place + 1 :]:
            same = all(a[key] == b[key] for key in ("backend", "python", "switch_interval"))
            if not same or a["seconds"] is None or b["seconds"] is None:
                continue
            if not apart(a["seconds"], b["seconds"]):
                text = (
                    f"{a['backend']}: “{a['variant']}” and “{b['variant']}” cannot be told apart "
                    "by these runs: the intervals of their times overlap"
                )
                found.append(
                    {"backend": a["backend"], "a": a["variant"], "b": b["variant"], "text": text}
                )
    return found

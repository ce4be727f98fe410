"""Kills, signals, limits and closed streams: what the command leaves behind, as a table.

::

    python -m tests.faults.run --kills 200 --signals 200 --seed 1

Each trial is one command in an empty folder of its own, in a session of its own, so that all that
it started is found again. What must hold afterwards: the exit status is one of the documented
ones, stderr has no traceback, under ``--json`` stdout is one object or nothing, no process of the
session lives on, and every trace in the folder is whole; every ``.partial`` can be recovered.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tracelock.trace import load_trace, recover

ROOT = Path(__file__).resolve().parents[2]
TRACELOCK = (sys.executable, "-m", "tracelock")
LONGEST = 10.0  # seconds that a trial may go on after what was done to it
GONE = 5.0  # seconds in which what it started has to have ended
#: What the help and ARCHITECTURE.md document.
STATUSES = (0, 1, 2, 3, 5, 130)
#: A backend that starts processes, those that do not, and one that needs nothing.
BACKENDS = ("threading", "multiprocessing", "asyncio", "trio", "simulated")
LONG = """format: tracelock-scenario/1
name: long
shared: {n: 0}
workers:
  a: {count: 2, steps: [{repeat: 300, do: [{read: n, into: x}, {write: n, value: "x + 1"}]}]}
"""


@dataclass(slots=True)
class Row:
    """One line of the table. ``wrong``: what was not as it should be, in words."""

    what: str
    tried: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Ended:
    """How one trial ended. ``status``: negative for a signal, None where it had to be killed."""

    status: int | None
    out: bytes
    err: bytes
    orphans: list[int]


def commands(folder: Path, backends: Sequence[str] = BACKENDS) -> dict[str, list[str]]:
    """One command line for each command, by what it is called in the table."""
    scenario, trace = str(folder / "long.yaml"), str(folder / "aba.json")
    lines = {f"run on {name}": ["run", scenario, "--backend", name, "--json"] for name in backends}
    lines["run often"] = ["run", scenario, "--runs", "100", "--json"]
    lines["explore"] = ["explore", scenario, "--seconds", "1", "--json"]
    lines["explore with jobs"] = [*lines["explore"], "--jobs", "2"]
    lines["compare"] = ["compare", scenario, "--runs", "2", "--seconds", "2", "--json"]
    for name in ("replay", "analyze", "predict", "shrink"):
        lines[name] = [name, trace, "--json"]
    for name in ("show", "attach"):
        lines[name] = [name, trace]
    lines["export"] = ["export", trace, "--as", "pytest"]
    lines["report"] = ["report", trace, "-o", str(folder / "page.html")]
    lines["recover"] = ["recover", trace]
    lines["validate"] = ["validate", scenario]
    return lines


def processes_of(session: int) -> list[int]:
    """The ids of the processes of a session that have not ended. Needs ``/proc``."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = Path("/proc", entry, "stat").read_text(errors="replace")
        except OSError:
            continue
        state, _, _, of = stat.rpartition(")")[2].split()[:4]
        if int(of) == session and state not in "ZX":
            found.append(int(entry))
    return found


def trial(
    line: Sequence[str],
    folder: Path,
    *,
    number: int = 0,
    after: float = 0.0,
    limits: Sequence[tuple[int, int]] = (),
    closed: str = "",
) -> Ended:
    """Run one command in ``folder``; signal ``number`` (0: none) after so many seconds.

    ``limits``: resource and soft limit. ``closed``: a shell's redirection, as ``>&-``.
    """

    def prepare() -> None:
        for kind, amount in limits:
            resource.setrlimit(kind, (amount, amount))

    full = [*TRACELOCK, *line]
    if closed:  # the status is that of the command, not of what it writes to
        full = ["bash", "-c", f'set -o pipefail; "$@" {closed}', "bash", *full]
    # under a limit on files CPython would put half-written bytecode in the place of whole one
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    child = subprocess.Popen(
        full, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True, preexec_fn=prepare,
    )  # fmt: skip
    status: int | None
    try:
        if number:
            try:
                child.wait(after)
            except subprocess.TimeoutExpired:
                child.send_signal(number)
        out, err = child.communicate(timeout=LONGEST)
        status = child.returncode
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        out, err = child.communicate()
        status = None
    end = time.monotonic() + GONE
    while (orphans := processes_of(child.pid)) and time.monotonic() < end:
        time.sleep(0.02)
    for orphan in orphans:
        os.kill(orphan, signal.SIGKILL)
    return Ended(status, out, err, orphans)


def faults_of(ended: Ended, line: Sequence[str], folder: Path, allowed: Sequence[int]) -> list[str]:
    """All that is not as it should be."""
    wrong = []
    if ended.status is None:
        wrong.append(f"did not end within {LONGEST:.0f} s")
    elif ended.status not in allowed:
        wrong.append(f"status {ended.status}")
    if b"Traceback" in ended.err:
        last = ended.err.decode(errors="replace").strip().splitlines()
        named = [text for text in last if "Error" in text or "Interrupt" in text]
        wrong.append(f"traceback ({(named or last)[-1][:100]})")
    if ended.orphans:
        wrong.append(f"{len(ended.orphans)} processes live on")
    if "--json" in line and ended.out.strip():
        try:
            if not isinstance(json.loads(ended.out), dict):
                wrong.append("stdout is no JSON object")
        except ValueError:
            wrong.append("stdout is not one JSON object")
    return wrong + wrong_files(folder)


def wrong_files(folder: Path) -> list[str]:
    """What is neither whole nor recoverable among the traces in a folder."""
    wrong = []
    for path in sorted(folder.rglob("*")):
        try:
            if path.name.endswith(".partial"):
                recover(path)
            elif path.suffix == ".json":
                load_trace(path)
        except Exception as problem:  # whatever it is, it is what the table shows
            wrong.append(f"{path.name} ({path.stat().st_size} bytes): {str(problem)[-80:]}")
    return wrong


def many(
    what: str, times: int, chosen: random.Random, numbers: Sequence[int], longest: float,
    backends: Sequence[str] = BACKENDS,
) -> Row:  # fmt: skip
    """Signal commands, each in turn, at random moments of their first ``longest`` seconds."""
    row = Row(what)
    for turn in range(times):
        with in_folder() as folder:
            lines = commands(folder, backends)
            if numbers == (signal.SIGKILL,):
                lines = {name: line for name, line in lines.items() if name.startswith("run")}
            name = list(lines)[turn % len(lines)]
            number, after = chosen.choice(numbers), chosen.uniform(0.05, longest)
            ended = trial(lines[name], folder, number=number, after=after)
            # before Python or tracelock has set its handlers, the signal ends the process
            allowed = (*STATUSES, -number)
            _add(row, f"{name}, {signal.Signals(number).name} at {after:.2f} s",
                 faults_of(ended, lines[name], folder, allowed))  # fmt: skip
    return row


def undisturbed(backends: Sequence[str]) -> Row:
    """All commands as they are: what they are wrong in shows nothing of what is done to them."""
    return _all("nothing is done to them", backends, trial, (0, 1, 5))


def starved(what: str, limits: Sequence[tuple[int, int]], backends: Sequence[str]) -> Row:
    """All commands under a limit."""
    return _all(what, backends, lambda line, folder: trial(line, folder, limits=limits))


def cut_off(what: str, closed: str, backends: Sequence[str]) -> Row:
    """All commands with a stream closed."""
    return _all(what, backends, lambda line, folder: trial(line, folder, closed=closed))


def _all(
    what: str,
    backends: Sequence[str],
    attempt: Callable[[Sequence[str], Path], Ended],
    allowed: Sequence[int] = STATUSES,
) -> Row:
    row = Row(what)
    with in_folder() as listed:
        names = list(commands(listed, backends))
    for name in names:
        with in_folder() as folder:
            line = commands(folder, backends)[name]
            _add(row, name, faults_of(attempt(line, folder), line, folder, allowed))
    return row


def _add(row: Row, which: str, wrong: list[str]) -> None:
    row.tried += 1
    if wrong:
        row.wrong.append(f"{which}: {'; '.join(wrong)}")


class in_folder(tempfile.TemporaryDirectory):  # type: ignore[type-arg]
    """A new folder with the scenario ``long.yaml`` in it."""

    def __enter__(self) -> Path:  # type: ignore[override]
        folder = Path(super().__enter__())
        (folder / "long.yaml").write_text(LONG)
        # a copy: some commands write beside the trace that they are given
        shutil.copy(ROOT / "traces" / "aba.json", folder)
        return folder


def table(rows: Sequence[Row]) -> str:
    """What was tried, how often it was as it should be, and what was not."""
    lines = [f"{'what':44} tried  as it should be  not"]
    for row in rows:
        good = row.tried - len(row.wrong)
        lines.append(f"{row.what:44} {row.tried:5}  {good:15}  {len(row.wrong):3}")
        lines += [f"    {text}" for text in row.wrong]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 1 where anything was not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--signals", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--longest", type=float, default=1.5, help="seconds to the latest signal")
    options = parser.parse_args(argv)
    chosen = random.Random(options.seed)
    kills, interrupts, ends = options.kills, (options.signals + 1) // 2, options.signals // 2
    longest = options.longest
    plans: list[Callable[[], Row]] = [
        lambda: undisturbed(BACKENDS),
        lambda: many("SIGKILL", kills, chosen, (signal.SIGKILL,), longest),
        lambda: many("SIGINT", interrupts, chosen, (signal.SIGINT,), longest),
        lambda: many("SIGTERM", ends, chosen, (signal.SIGTERM,), longest),
        lambda: starved("20 open files", [(resource.RLIMIT_NOFILE, 20)], BACKENDS),
        lambda: starved("1 GB of addresses", [(resource.RLIMIT_AS, 1 << 30)], BACKENDS),
        lambda: starved("files of 1,000 bytes", [(resource.RLIMIT_FSIZE, 1000)], BACKENDS),
        lambda: cut_off("stdin closed", "<&-", BACKENDS),
        lambda: cut_off("stdout closed", ">&-", BACKENDS),
        lambda: cut_off("a pipe that nobody reads", "| true", BACKENDS),
    ]
    rows = []
    for number, plan in enumerate(plans):
        rows.append(plan())
        shown = table(rows[-1:])  # at once: all of it takes minutes
        print(shown if number == 0 else shown.partition("\n")[2], flush=True)
    return int(any(row.wrong for row in rows))


if __name__ == "__main__":
    sys.exit(main())

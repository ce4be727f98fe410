"""Kills, signals, limits and closed streams: what the command leaves behind, as a table.

::

    python -m tests.faults.run --kills 200 --signals 200 --seed 1

Each trial is one command in an empty folder of its own, on pipes or in front on a terminal of its
own. What must hold afterwards: the exit status is one of the documented ones, stderr has no
traceback, under ``--json`` stdout is one object or nothing, no process that it started lives on,
every trace in the folder is whole, every ``.partial`` can be recovered, and the terminal is as it
was. Where a worker was killed it is told; what is left of a long recording is replayed.
"""

from __future__ import annotations

import argparse
import random
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.lines import commands, in_folder, on_terminal, with_workers
from tests.faults.trials import STATUSES, Ended, Strike, faults_of, not_recovered, trial

#: Seconds after the start in which a recording has gone on for more than one.
RECORDED = 3.0
Lines = Callable[[Path], dict[str, list[str]]]
Draw = Callable[[], Strike]
KILLED = signal.SIGKILL


@dataclass(slots=True)
class Row:
    """One line of the table. ``wrong``: what was not as it should be, in words; ``struck``: how
    often there was still something to be struck."""

    what: str
    tried: int = 0
    struck: int = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, which: str, wrong: list[str]) -> None:
        """Count a trial."""
        self.tried += 1
        if wrong:
            self.wrong.append(f"{which}: {'; '.join(wrong)}")


def struck(
    what: str, times: int, lines: Lines, draw: Draw, *, terminal: bool = False, first: str = ""
) -> Row:
    """Strike commands (those whose names begin with ``first``), each in turn."""
    row = Row(what)
    for turn in range(times):
        with in_folder() as folder:
            chosen = {name: line for name, line in lines(folder).items() if name.startswith(first)}
            name = list(chosen)[turn % len(chosen)]
            strike = draw()
            ended = trial(chosen[name], folder, strike, terminal=terminal)
            # before Python or tracelock has set its handlers, the signal ends the process
            own = () if strike.worker is not None else (-strike.number,)
            row.struck += bool(ended.struck) or ended.status in (*own, 5, 130)
            row.add(f"{name}, {strike}", faults_of(ended, chosen[name], folder, (*STATUSES, *own)))
    return row


def recordings(what: str, times: int, draw: Draw, backends: Sequence[str]) -> Row:
    """Kill the recorders of runs without an end, after more than a second of the run."""
    row = Row(what)
    ways = [[name] for name in backends] + [["threading", "--strategy", "random"]]
    for turn in range(times):
        with in_folder() as folder:
            way = ways[turn % len(ways)]
            line = ["run", str(folder / "endless.yaml"), "--trace", str(folder / "t.json"),
                    "--backend", *way]  # fmt: skip
            strike = draw()
            ended = trial(line, folder, strike)
            row.struck += ended.status == -KILLED
            wrong = faults_of(ended, line, folder, (-KILLED,)) or not_recovered(folder)
            row.add(f"{' '.join(way)}, {strike}", wrong)
    return row


def every(
    what: str,
    attempt: Callable[[Sequence[str], Path], Ended],
    lines: Lines = commands,
    allowed: Sequence[int] = STATUSES,
) -> Row:
    """Try each command once."""
    row = Row(what)
    with in_folder() as listed:
        names = list(lines(listed))
    for name in names:
        with in_folder() as folder:
            line = lines(folder)[name]
            row.add(name, faults_of(attempt(line, folder), line, folder, allowed))
    return row


def starved(what: str, limits: Sequence[tuple[int, int]]) -> Row:
    """All commands under a limit."""
    return every(what, lambda line, folder: trial(line, folder, limits=limits))


def cut_off(what: str, closed: str) -> Row:
    """All commands with a stream closed."""
    return every(what, lambda line, folder: trial(line, folder, closed=closed))


def table(rows: Sequence[Row]) -> str:
    """What was tried, how often it met a command that was at work, how often all was as it should
    be, and what was not."""
    lines = [f"{'what':44} tried  in time  as it should be  not"]
    for row in rows:
        good = row.tried - len(row.wrong)
        met = row.struck or ""
        lines.append(f"{row.what:44} {row.tried:5}  {met:>7}  {good:15}  {len(row.wrong):3}")
        lines += [f"    {text}" for text in row.wrong]
    return "\n".join(lines)


def plans(options: argparse.Namespace) -> list[Callable[[], Row]]:
    """All rows, each to be made."""
    chosen = random.Random(options.seed)

    def at(number: int, *, worker: bool = False, typed: bool = False, first: float = 0.05) -> Draw:
        def draw() -> Strike:
            after = first + chosen.uniform(0, options.longest)
            return Strike(number, after, chosen.random() if worker else None, typed)

        return draw

    kills, signals = -(-options.kills // 4), -(-options.signals // 4)
    interrupt, end, kill = signal.SIGINT, signal.SIGTERM, KILLED
    done = {"allowed": (0, 1, 5)}
    return [
        lambda: every("nothing is done to them", trial, **done),
        lambda: every("nothing, with workers", trial, with_workers, **done),
        lambda: every("nothing, on a terminal", lambda line, folder: trial(
            line, folder, terminal=True, keys=b"q"), on_terminal, **done),
        lambda: struck("SIGKILL", kills, commands, at(kill)),
        lambda: struck("SIGKILL, on a terminal", kills, on_terminal, at(kill), terminal=True),
        lambda: struck("SIGKILL of a worker", kills, with_workers, at(kill, worker=True)),
        lambda: recordings("SIGKILL of a long recording", kills, at(kill, first=RECORDED),
                           ("threading", "multiprocessing", "asyncio", "trio", "simulated")),
        lambda: struck("SIGINT", signals, commands, at(interrupt)),
        lambda: struck("SIGTERM", signals, commands, at(end)),
        lambda: struck("Ctrl-C, on a terminal", signals, on_terminal, at(interrupt, typed=True),
                       terminal=True),
        lambda: struck("SIGTERM, on a terminal", signals, on_terminal, at(end), terminal=True),
        lambda: starved("20 open files", [(resource.RLIMIT_NOFILE, 20)]),
        lambda: starved("1 GB of addresses", [(resource.RLIMIT_AS, 1 << 30)]),
        lambda: starved("files of 1,000 bytes", [(resource.RLIMIT_FSIZE, 1000)]),
        lambda: cut_off("stdin closed", "<&-"),
        lambda: cut_off("stdout closed", ">&-"),
        lambda: cut_off("a pipe that nobody reads", "| true"),
    ]  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 1 where anything was not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--signals", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--longest", type=float, default=1.5, help="seconds to the latest signal")
    parser.add_argument("--rows", default="", help="only rows whose number is in this list: 3,5")
    options = parser.parse_args(argv)
    wanted = {int(number) for number in options.rows.split(",") if number}
    rows: list[Row] = []
    for number, plan in enumerate(plans(options)):
        if wanted and number not in wanted:
            continue
        rows.append(plan())
        shown = table(rows[-1:])  # at once: all of it takes minutes
        print(shown if len(rows) == 1 else shown.partition("\n")[2], flush=True)
    return int(any(row.wrong for row in rows))


if __name__ == "__main__":
    sys.exit(main())

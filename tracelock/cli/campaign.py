"""``tracelock campaign``: search many scenarios and programs in turns."""

from __future__ import annotations

import argparse
import os
import shlex
from typing import Any, Final

from tracelock.campaign.contenders import Contender
from tracelock.campaign.folder import CampaignFolder, KnownFailure
from tracelock.campaign.found import OF_CODE, subjects
from tracelock.campaign.running import Campaign, Campaigned, HowToCampaign, Standing
from tracelock.cli.keeping import replay_line
from tracelock.cli.output import Output
from tracelock.cli.progress import progress
from tracelock.cli.run import find_modules
from tracelock.report.wording import clean, outcome_name
from tracelock.trace.folder import FOLDER

#: Seconds of a campaign, unless told otherwise.
SECONDS: Final = 60.0
FAILED, INTERNAL, UNFINISHED = 1, 4, 5
#: Problems that are told in full.
_TOLD: Final = 20


def campaign_command(options: argparse.Namespace, out: Output) -> int:
    """Go round as ``options`` say, and tell what is new."""
    find_modules(options)
    seconds = options.seconds or (options.hours and options.hours * 3600) or SECONDS
    how = HowToCampaign(
        seconds, options.jobs, options.dask, turn=options.turn, allow_call=options.allow_call,
        isolation=options.isolation,
    )  # fmt: skip
    found = subjects(options.folder)
    path = options.keep or os.path.normpath(os.path.join(options.folder, FOLDER, "campaign"))
    with CampaignFolder(path) as folder:
        with progress(out, "campaign") as bar:

            def tell(at: Standing) -> None:
                if bar is not None:
                    new = f", {at.new} new failures" if at.new else ""
                    bar(f"{at.turns} turns{new}: {clean(at.doing)}", at.seconds / seconds)

            done = Campaign(folder, found, how, tell).run()
        if options.json:
            out.json(campaign_object(done, folder))
        else:
            _Told(out, folder, done).show()
    return status_of(done)


def status_of(done: Campaigned) -> int:
    """1 where something fails that was not known, else 4 after an internal error, 5 where something
    was not searched at all; 0 otherwise, whatever is known to fail."""
    if done.new:
        return FAILED
    if any(one.internal for one in done.contenders):
        return INTERNAL
    if not done.whole or done.stopped in ("interrupted", "lost"):
        return UNFINISHED
    return 0


def campaign_object(done: Campaigned, folder: CampaignFolder) -> dict[str, Any]:
    """The JSON object of ``campaign``."""

    def told(failures: list[KnownFailure]) -> list[dict[str, Any]]:
        return [
            {**one.to_data(), "trace": os.path.join(folder.path, one.trace) if one.trace else None}
            for one in failures
        ]

    return {
        "campaign": done.number, "folder": folder.path, "turns": done.turns,
        "seconds": round(done.seconds, 3), "stopped": done.stopped, "new": told(done.new),
        "known": told(done.again), "expected": told(done.expected), "gone": told(done.gone),
        "subjects": [
            {
                "name": one.subject.name, "kind": one.subject.kind, "turns": one.turns,
                "seconds": round(one.spent, 3), "schedules": one.schedules,
                "verdict": one.record.verdict or None, "new_pairs": one.new,
                "pairs": len(one.corpus.counts), "corpus": len(one.corpus.prefixes),
                "over": one.over or None, "searched": bool(one.turns) and not one.trouble,
                "notes": one.notes,
            }
            for one in done.contenders
        ],
        "notes": done.notes, "status": status_of(done),
    }  # fmt: skip


class _Told:
    """The summary in the terminal."""

    def __init__(self, out: Output, folder: CampaignFolder, done: Campaigned) -> None:
        self.out = out
        self.folder = folder
        self.done = done
        subjects = [one.subject for one in done.contenders]
        self._roots = {one.name: one.root for one in subjects if one.kind in OF_CODE}

    def show(self) -> None:
        out, done = self.out, self.done
        for title, failures in (
            ("new failures", done.new), ("known failures, seen again", done.again)
        ):  # fmt: skip
            if failures:
                out.line(f"{title}:")
                for one in failures:
                    self._failure(one, new=failures is done.new)
                out.line()
        for one in done.expected:
            out.line(f"expected: {clean(self._what(one))}")
        for one in done.gone:
            out.line(f"gone: {clean(self._what(one))}: its schedule does not fail so any more")
        for contender in done.contenders:
            out.line(clean(self._subject(contender)))
            out.lines(f"  note: {clean(note)}" for note in contender.notes)
        for note in done.notes:
            out.line(f"  note: {clean(note)}")
        out.line()
        out.line(clean(summary_of(done)))
        out.line(f"kept in {clean(self.folder.path)}")

    def _failure(self, one: KnownFailure, new: bool) -> None:
        out = self.out
        out.line(f"  {clean(self._what(one))}")
        first = one.message.partition("\n")[0]
        if first:
            out.line(f"    {clean(first)}")
        if one.confirmed and new:
            done, _, times = one.confirmed.partition("/")
            out.line(f"    confirmed, {clean(done)} of {clean(times)} replays")
        if one.trace:
            path = os.path.join(self.folder.path, one.trace)
            out.line(f"    trace: {clean(path)}")
            if new:
                out.line(f"    {self._replay_line(path, one.subject)}")

    def _replay_line(self, path: str, subject: str) -> str:
        line, root = replay_line(path, subject in self._roots), self._roots.get(subject)
        if not root or root == os.getcwd():
            return line
        head, _, command = line.partition(": ")  # its module is found where it was found here
        return f"{head}: PYTHONPATH={shlex.quote(clean(root))} {command}"

    @staticmethod
    def _what(one: KnownFailure) -> str:
        kind, failure, at, waits = one.identity
        places = ", ".join(waits) if waits else at
        return f"{one.subject}: {outcome_name(kind, failure)}" + (f" at {places}" if places else "")

    @staticmethod
    def _subject(one: Contender) -> str:
        turns = f"{one.turns} turn" + ("" if one.turns == 1 else "s")
        told = f"{one.subject.name}: {turns}, {one.spent:.1f} s, {one.schedules:,} schedules"
        if one.trouble:
            why = one.over.partition("\n")[0]
            return f"{one.subject.name}: not searched as it should: {why}"
        if one.record.verdict:
            told += f"; {one.record.verdict}"
        if one.new:
            told += f"; {one.new:,} new of {len(one.corpus.counts):,} pairs of steps"
        return f"{told}; {one.over}" if one.over else told


def summary_of(done: Campaigned) -> str:
    """What a campaign came to, in one sentence; no more is claimed than was tried."""
    tried = sum(one.schedules for one in done.contenders)
    missed = sum(not one.turns or one.trouble for one in done.contenders)
    new = f"{len(done.new)} new failure" + ("" if len(done.new) == 1 else "s")
    turns = f"{done.turns} turn" + ("" if done.turns == 1 else "s")
    known = f", {len(done.again)} known" if done.again else ""
    why = {
        "interrupted": "interrupted", "lost": "nobody was left to search",
        "seconds": "the time is up", "": "nothing is left to search",
    }[done.stopped]  # fmt: skip
    left = ""
    if missed:
        left = f"; {missed} of {len(done.contenders)} not searched: nothing is claimed of them"
    return (
        f"campaign {done.number}: {new}{known}; {turns}, {tried:,} schedules in "
        f"{done.seconds:.0f} s; {why}{left}"
    )

"""Checkpoints: what a search has found and what it still has to do, in a file to go on from.

One JSON document. Outcomes are kept as the picks of their first schedules, which are run again when
it is read; what is left to do is whatever the source of the search says. It is replaced whole,
so that it is never half of one, and it says what it belongs to: going on with another scenario,
other rules or another strategy would add up what does not belong together.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from tracelock import __version__
from tracelock.errors import InternalError, UsageError
from tracelock.explore.search import Searched
from tracelock.explore.spread.coordinator import add_seen
from tracelock.explore.spread.sources import Source
from tracelock.trace.outputs import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracelock.explore.running import Runner
    from tracelock.objects import Rules
    from tracelock.schedulers.dpor.wakeup import Step

FORMAT: Final = "tracelock-checkpoint/1"
#: Seconds between two that are written while a search goes on.
PAUSE: Final = 2.0
#: What has to be the same, and how to say what it was.
_NAMES: Final = {
    "scenario": "scenario", "backend": "backend", "rules": "rules", "clock": "clock",
    "strategy": "strategy", "seed": "seed", "depth": "depth", "steps": "number of steps",
    "engine": "engine", "python": "Python", "prefix": "prefix",
}  # fmt: skip


def digest(data: Any) -> str:
    """A digest of plain data, whatever the order of its keys."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return repr(value)


def _sum(stages: dict[str, Any]) -> str:
    """A digest of stages as they stand in a file: keys are text there, in the order written."""
    return hashlib.sha256(json.dumps(stages, separators=(",", ":")).encode()).hexdigest()


def rules_digest(rules: Rules) -> str:
    """A digest of a backend's rules: they differ between versions of Python."""
    return digest(asdict(rules))[:16]


#: What a search comes to whose tree is not one that a search can leave behind: it was read from a
#: file that somebody may have changed, so that it is no error of the search.
DAMAGED: Final = (
    InternalError, LookupError, TypeError, ValueError, AttributeError, AssertionError,
    OverflowError, RecursionError,
)  # fmt: skip


class CheckpointFile:
    """The checkpoint at ``path`` of the search that ``identity`` describes.

    A search can have several stages, one after the other, each with what it found and has to do.
    Raises UsageError where the file is of another search, or damaged.
    """

    def __init__(self, path: str, identity: dict[str, Any]) -> None:
        self.path = path
        self.identity = identity
        self.stages: dict[str, dict[str, Any]] = {}
        self._as_written = False  # the file is known to be what a search left behind
        self._last = monotonic()
        if os.path.exists(path):
            self._read()
        else:
            self.write()  # what cannot be written is better known before the search

    def _read(self) -> None:
        try:
            data = json.loads(Path(self.path).read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"cannot read {self.path}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{self.path}: this is not a checkpoint: {error}") from error
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise UsageError(f"{self.path}: this is not a checkpoint ({FORMAT})")
        version = data.get("tracelock")
        if version != __version__:
            raise self.other(f"it was made by tracelock {version}, this is {__version__}")
        known = data.get("search")
        stages = data.get("stages")
        if not isinstance(known, dict) or not isinstance(stages, dict):
            raise UsageError(f"{self.path}: this checkpoint is damaged: it says of no search")
        for key, name in _NAMES.items():
            was, now = known.get(key), self.identity.get(key)
            if was != now:
                if key in ("scenario", "rules", "prefix"):
                    raise self.other(f"it is of another {name}")
                raise self.other(f"its {name} is {was}, not {now}")
        kept = data.get("digest")
        if kept is not None and kept != _sum(stages):
            raise UsageError(
                f"{self.path}: this checkpoint is damaged: its content is not what was written. "
                "Take it away to begin anew"
            )
        self._as_written = kept is not None
        self.stages = stages

    def other(self, why: str) -> UsageError:
        """What to say where the file is of another search."""
        return UsageError(
            f"cannot go on from {self.path}: {why}. Name another file for this search, or take "
            "this one away"
        )

    def damaged(self, error: BaseException) -> UsageError:
        """What to say where the content of the file led to ``error``, one of ``DAMAGED``."""
        what = f"{type(error).__name__}: {error}"
        if self._as_written:
            return UsageError(
                f"cannot go on from {self.path} ({what}), although it is as it was written: "
                "please report this, with the file. Take it away to begin anew"
            )
        return UsageError(
            f"{self.path}: this checkpoint is damaged ({what}). Take it away to begin anew"
        )

    def resume(
        self, stage: str, source: Source, runner: Runner, base: Sequence[Step] = ()
    ) -> Searched:
        """What a stage had found, ``source`` put where it was; nothing where it is new."""
        found = Searched(stage)
        kept = self.stages.get(stage)
        if kept is None:
            return found
        try:
            found.redundant = int(kept["redundant"])
            found.seconds = float(kept["seconds"])
            for picks, count, schedule in kept["outcomes"]:
                add_seen(found, runner, [int(pick) for pick in picks], int(count), int(schedule))
            found.schedules = int(kept["schedules"])
            source.go_on(kept["left"], found.schedules, base)
        except DAMAGED as error:
            raise self.damaged(error) from error
        found.exhaustive = source.exhaustive
        return found

    def keep(self, stage: str, found: Searched, source: Source, *, now: bool = False) -> None:
        """Write down where a stage stands: at once, or if it has not been done for a while."""
        if not now and not self.due:
            return
        self.put(stage, {
            "schedules": found.schedules,
            "redundant": found.redundant,
            "seconds": found.seconds,
            "outcomes": [
                [one.first.picks, one.count, one.schedule] for one in found.outcomes.values()
            ],
            "left": source.to_data(),
        })  # fmt: skip

    @property
    def due(self) -> bool:
        """Whether it has not been written for a while."""
        return monotonic() - self._last >= PAUSE

    def put(self, stage: str, data: dict[str, Any]) -> None:
        """Write down where a stage stands, as plain data."""
        self.stages[stage] = data
        self.write()

    def write(self) -> None:
        """Replace the file. Raises UsageError where that cannot be."""
        text = json.dumps(
            {
                "format": FORMAT, "tracelock": __version__, "search": self.identity,
                "digest": _sum(self.stages), "stages": self.stages,
            },
            separators=(",", ":"),
        )  # fmt: skip
        write_whole(self.path, [text])
        self._last = monotonic()

"""What a campaign keeps in its folder, for itself and for the next one.

``campaign.json`` has what is known of each subject and of each failure, ``corpus/`` for each
subject the prefixes of schedules that showed something new, and what they showed, ``checkpoints/``
exhaustive searches to go on with, and ``failures/`` one trace of each failure. Each file is
replaced whole; a trace is there before ``campaign.json`` names it. So a campaign that is killed, at
any time, leaves what it knew after the last turn that had ended. Nothing in the folder is trusted:
there is no code in it, and what is no such data is refused, or, where it is but a hint, passed
over.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tracelock import __version__
from tracelock.errors import UsageError
from tracelock.explore.running import Identity
from tracelock.schedulers.mutating import LONGEST, MOST
from tracelock.trace.folder import FOLDER, own_folder
from tracelock.trace.outputs import write_whole, writing

FORMAT: Final = "tracelock-campaign/1"
STATE: Final = "campaign.json"
#: A failure that is there as far as is known, and one whose schedule went well when it was tried.
OPEN, GONE = "open", "gone"
#: Pairs of one subject that are counted.
_PAIRS: Final = 50_000
_DAMAGED: Final = (LookupError, TypeError, ValueError, AttributeError, OverflowError)


@dataclass(slots=True)
class Corpus:
    """What schedules of a subject have shown: hints for later ones, and for who gets the time.

    ``prefixes``: see ``MutatingScheduler``. ``counts``, ``observed``: see ``Novelty``, of the file
    whose ``digest`` this is; ``hunted``: seconds of the turns that these are of.
    """

    digest: str
    prefixes: list[list[int]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    observed: int = 0
    hunted: float = 0.0

    @property
    def rate(self) -> float:
        """An estimate of the new pairs that a second of searching shows: see ``Novelty``."""
        if not self.observed or not self.hunted:
            return float("inf")  # it is to be found out
        return sum(count == 1 for count in self.counts.values()) / self.hunted

    def add(self, prefixes: list[list[int]], counts: dict[str, int]) -> int:
        """Add what a turn has shown, as long as there is room; how many pairs are new."""
        fresh = [added for added in prefixes if added not in self.prefixes]
        self.prefixes = [*self.prefixes, *fresh][-MOST:]
        known, new = self.counts, 0
        for digest, count in counts.items():
            new += digest not in known
            if digest in known or len(known) < _PAIRS:
                known[digest] = known.get(digest, 0) + count
        return new

    def to_data(self) -> dict[str, Any]:
        return {
            "digest": self.digest, "prefixes": self.prefixes, "pairs": self.counts,
            "observed": self.observed, "hunted": round(self.hunted, 3),
        }  # fmt: skip

    @classmethod
    def from_data(cls, data: Any) -> Corpus:
        prefixes = [[int(pick) for pick in one] for one in data["prefixes"]]
        pairs = {str(key): int(count) for key, count in data["pairs"].items()}
        return cls(
            str(data["digest"]), [one[:LONGEST] for one in prefixes[-MOST:] if one], pairs,
            int(data["observed"]), float(data["hunted"]),
        )  # fmt: skip


@dataclass(slots=True)
class SubjectRecord:
    """What is known of a subject. ``digest``: of its file; ``turns``, ``seconds``, ``schedules``:
    of all campaigns. ``verdict``: what the last turn that searched it came to."""

    digest: str = ""
    turns: int = 0
    seconds: float = 0.0
    schedules: int = 0
    verdict: str = ""

    def to_data(self) -> dict[str, Any]:
        return {
            "digest": self.digest, "turns": self.turns, "seconds": round(self.seconds, 3),
            "schedules": self.schedules, "verdict": self.verdict,
        }  # fmt: skip

    @classmethod
    def from_data(cls, data: Any) -> SubjectRecord:
        return cls(
            str(data["digest"]), int(data["turns"]), float(data["seconds"]),
            int(data["schedules"]), str(data["verdict"]),
        )  # fmt: skip


@dataclass(slots=True, eq=False)
class KnownFailure:
    """One kind of failure of one subject. ``trace``: the name of its file in the folder;
    ``confirmed``: see ``FoundFailure``; ``first``, ``last``: the campaigns that saw it first and
    last, from 1; ``count``: schedules that ended so; ``state``: ``open`` or ``gone``."""

    subject: str
    identity: Identity
    message: str
    trace: str
    confirmed: str
    first: int
    last: int
    count: int
    state: str = OPEN

    def to_data(self) -> dict[str, Any]:
        kind, failure, at, waits = self.identity
        return {
            "subject": self.subject, "kind": kind, "failure": failure, "at": at,
            "waits": list(waits), "message": self.message, "trace": self.trace,
            "confirmed": self.confirmed, "first": self.first, "last": self.last,
            "count": self.count, "state": self.state,
        }  # fmt: skip

    @classmethod
    def from_data(cls, data: Any) -> KnownFailure:
        failure, at = (None if data[key] is None else str(data[key]) for key in ("failure", "at"))
        identity = (str(data["kind"]), failure, at, tuple(map(str, data["waits"])))
        if data["state"] not in (OPEN, GONE):
            raise ValueError(f"no state of a failure: {data['state']!r}")
        return cls(
            str(data["subject"]), identity, str(data["message"]), str(data["trace"]),
            str(data["confirmed"]), int(data["first"]), int(data["last"]), int(data["count"]),
            data["state"],
        )  # fmt: skip


class CampaignFolder:
    """The folder at ``path`` and what is in it. A context manager: while it is entered no other
    campaign has it.

    Raises UsageError where it is no such folder, or cannot be written.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.campaigns = 0
        self.subjects: dict[str, SubjectRecord] = {}
        self.failures: list[KnownFailure] = []
        self._lock = contextlib.ExitStack()

    def __enter__(self) -> CampaignFolder:
        before = os.path.dirname(os.path.normpath(self.path))
        if os.path.basename(before) == FOLDER:
            own_folder(before)
        with writing(self.path):
            for room in ("corpus", "checkpoints", "failures"):
                os.makedirs(os.path.join(self.path, room), exist_ok=True)
        self._lock.enter_context(_alone(os.path.join(self.path, "lock"), self.path))
        try:
            self._read()
            self.campaigns += 1
            self.write()  # what cannot be written is better known before the search
        except BaseException:
            self._lock.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._lock.close()

    def _read(self) -> None:
        path = os.path.join(self.path, STATE)
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise _damaged(path, error) from error
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise UsageError(f"{path}: this is not what a campaign keeps ({FORMAT})")
        try:
            self.campaigns = int(data["campaigns"])
            self.subjects = {
                str(name): SubjectRecord.from_data(one) for name, one in data["subjects"].items()
            }
            self.failures = [KnownFailure.from_data(one) for one in data["failures"]]
        except _DAMAGED as error:
            raise _damaged(path, error) from error

    def write(self) -> None:
        """Replace ``campaign.json``. Raises UsageError where that cannot be."""
        data = {
            "format": FORMAT, "tracelock": __version__, "campaigns": self.campaigns,
            "subjects": {name: one.to_data() for name, one in self.subjects.items()},
            "failures": [one.to_data() for one in self.failures],
        }  # fmt: skip
        write_whole(os.path.join(self.path, STATE), [json.dumps(data, indent=1), "\n"])

    # --- failures ----------------------------------------------------------------------------
    def known(self, subject: str) -> list[KnownFailure]:
        """The failures of a subject."""
        return [one for one in self.failures if one.subject == subject]

    def keep_trace(self, subject: str, identity: Identity, text: str) -> str:
        """Save the trace of a failure; its name in the folder."""
        digest = hashlib.sha256(repr(identity).encode()).hexdigest()[:8]
        name = f"failures/{_slug(subject)}-{identity[0]}-{digest}.json"
        write_whole(os.path.join(self.path, name), [text])
        return name

    def trace_of(self, failure: KnownFailure) -> str | None:
        """The text of the trace of a failure; None where it cannot be read."""
        name = os.path.normpath(failure.trace)
        if os.path.isabs(name) or not name.startswith("failures" + os.sep):
            return None  # not one of ours
        with contextlib.suppress(OSError, ValueError):
            return Path(self.path, name).read_text(encoding="utf-8")
        return None

    # --- what is gone on with ----------------------------------------------------------------
    def corpus(self, subject: str, digest: str) -> Corpus:
        """What schedules of a subject have shown, an empty one where that cannot be read. Of
        another file than this ``digest`` is of, the prefixes are all that counts."""
        with contextlib.suppress(OSError, RecursionError, *_DAMAGED):
            data = json.loads(self._beside("corpus", subject).read_text(encoding="utf-8"))
            kept = Corpus.from_data(data)
            return kept if kept.digest == digest else Corpus(digest, kept.prefixes)
        return Corpus(digest)

    def keep_corpus(self, subject: str, corpus: Corpus) -> None:
        """Replace it."""
        text = json.dumps({"subject": subject, **corpus.to_data()}, separators=(",", ":"))
        write_whole(self._beside("corpus", subject), [text])

    def checkpoint(self, subject: str) -> str:
        """The text of the exhaustive search to go on with, "" where there is none."""
        with contextlib.suppress(OSError, ValueError):
            return self._beside("checkpoints", subject).read_text(encoding="utf-8")
        return ""

    def keep_checkpoint(self, subject: str, text: str) -> None:
        """Replace it; "": there is none any more."""
        if text:
            write_whole(self._beside("checkpoints", subject), [text])
        else:
            with contextlib.suppress(OSError):
                self._beside("checkpoints", subject).unlink(missing_ok=True)

    def _beside(self, room: str, subject: str) -> Path:
        return Path(self.path, room, f"{_slug(subject)}.json")


def _slug(subject: str) -> str:
    """A subject's name as a part of a file's name, another one for each."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", subject).strip("-.")[:60]
    return f"{plain}-{hashlib.sha256(subject.encode()).hexdigest()[:8]}"


def _damaged(path: str, error: BaseException) -> UsageError:
    return UsageError(
        f"{path}: what the campaign kept is damaged ({type(error).__name__}: {error}). Take it "
        "away to begin anew; the traces beside it stay"
    )


@contextmanager
def _alone(path: str, folder: str) -> Iterator[None]:
    """Have the lock of a folder, which ends with the process. Raises UsageError where another
    campaign has it."""
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        yield
        return
    with writing(path):
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"another campaign is using {folder}: wait for it, or name another folder (--keep)"
            ) from None
        yield
    finally:
        os.close(file)

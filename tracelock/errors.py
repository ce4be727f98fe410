"""Every exception that tracelock raises, on one page.

The tree is small on purpose: a caller who wants "anything tracelock objects to" catches
:class:`TracelockError`; the command line turns each branch into one exit status
(:attr:`TracelockError.exit_status`).
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final


class TracelockError(Exception):
    """The root. ``exit_status`` is what the command line ends with when this reaches it."""

    exit_status = 4


class UsageError(TracelockError):
    """A call that cannot be carried out as asked (an unknown backend, a bad option).

    What to do: change the call; nothing was started or written.
    """

    exit_status = 2


def unknown(kind: str, word: str, known: Iterable[str]) -> UsageError:
    """The error of a word that is none of ``known``, with the one that was probably meant."""
    from difflib import get_close_matches

    listed = list(known)
    near = get_close_matches(str(word)[:100], listed, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return UsageError(f"unknown {kind} {word!r}{hint}: it is one of {', '.join(listed)}")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a document.

    ``line`` and ``column`` count from 1 (0: unknown, as in a scenario built in Python);
    ``path`` is the place in the document (``workers.transfer.steps[0].do[1]``).
    """

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}: " if self.line else f"{self.file}: "
        return f"{place}{self.path}: {self.message}" if self.path else f"{place}{self.message}"


class ScenarioError(TracelockError):
    """A scenario that does not follow the language; ``problems`` holds all that is wrong.

    What to do: mend each line named. Nothing was run or written.
    """

    exit_status = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class UnsupportedError(ScenarioError):
    """A step or object that the chosen backend cannot do; says which backends can.

    What to do: run it on one of those.
    """


class TraceError(TracelockError):
    """A trace file that cannot be read: not a trace, cut off, or inconsistent.

    What to do: as the message says (``tracelock recover`` for a file cut off in the middle).
    """

    exit_status = 2


class LimitReached(TracelockError):
    """A bound on steps, time or size ended the run: nothing is claimed about it.

    Backends turn this into the verdict ``unfinished``; it reaches a caller only where there
    is no run to attach a verdict to. What to do: raise the limit that the message names.
    """

    exit_status = 5


class Divergence(TracelockError):
    """A replay came to an event that differs from the trace, and stopped there.

    ``seq`` is the first event that differs; ``expected`` what the trace holds there, ``got``
    what happened or could have happened, ``why`` a sentence. What to do: the program or
    its environment changed since the trace was recorded.
    """

    exit_status = 3

    def __init__(self, seq: int, expected: str, got: str, why: str) -> None:
        self.seq = seq
        self.expected = expected
        self.got = got
        self.why = why
        super().__init__(f"event {seq}: expected {expected}, got {got}: {why}")


class ImpossibleHere(Divergence):
    """A trace of one backend asks for a step that the rules of another never allow."""


class InternalError(TracelockError):
    """tracelock contradicted itself. What to do: report it with the text and the trace."""

    exit_status = 4


class ModelMismatch(InternalError):
    """A real object did something else than its model in ``objects`` said.

    What to do: report it, with the Python version; the trace up to there is kept.
    """


class Unwind(BaseException):
    """Unwinds a worker that is in the middle of something when its run is over."""


class Cancelled(BaseException):
    """Thrown into a worker machine at the op where a cancellation reaches it."""


class ScopeExpired(BaseException):
    """Thrown into a worker machine when the deadline of its ``timeout`` block ``uid`` passes."""

    def __init__(self, uid: int) -> None:
        self.uid = uid
        super().__init__(uid)


class StepFailure(Exception):
    """What ends a worker of a scenario early: a false ``assert``, ``fail``, or an error.

    Not a :class:`TracelockError`: it is the program under test that failed. ``failure`` is
    ``"assert"`` or ``"error"`` as in a verdict; ``at`` the step's path.
    """

    def __init__(self, failure: str, message: str, at: str) -> None:
        self.failure = failure
        self.message = message
        self.at = at
        super().__init__(message)


_ELSEWHERE: Final = "; give another place for it"
#: What can be done where this process has run out of something, whoever it was that asked.
_CURES: Final = {
    errno.EMFILE: "; raise the limit on open files (ulimit -n)",
    errno.ENFILE: "; the system has too many open files",
    errno.ENOMEM: "; raise the limit on memory (ulimit -v)",
    errno.EAGAIN: "; raise the limit on processes and threads (ulimit -u)",
    errno.ENOSPC: "; free some space, or give another place for it",
    errno.EDQUOT: "; free some of the quota, or give another place for it",
    errno.EFBIG: "; raise the limit on the size of files (ulimit -f), or give another place for it",
}
#: Besides these, where a file cannot be written.
_CURES_OF_FILES: Final = {
    errno.EROFS: _ELSEWHERE,
    errno.EACCES: _ELSEWHERE,
    errno.EPERM: _ELSEWHERE,
    errno.ENOTDIR: _ELSEWHERE,
    errno.EBUSY: "; something is mounted on it, which nothing can replace: name another file",
}


def cure_of(problem: Exception) -> str:
    """What to do where a file cannot be written, to come after the reason; "" where unknown."""
    number = problem.errno if isinstance(problem, OSError) else None
    return (_CURES | _CURES_OF_FILES).get(number or 0, "")


def exhausted(problem: Exception) -> str:
    """What this process has run out of and what to do, in a line; "" for any other problem."""
    if isinstance(problem, MemoryError):
        return f"the system refuses more memory{_CURES[errno.ENOMEM]}"
    number = problem.errno if isinstance(problem, OSError) else None
    if isinstance(problem, RuntimeError) and str(problem) == "can't start new thread":
        number = errno.EAGAIN
    cure = _CURES.get(number or 0)
    return f"the system refuses: {getattr(problem, 'strerror', problem)}{cure}" if cure else ""

"""What an audit's workers are: threads, or tasks of asyncio or trio."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tracelock.audit.bench import Bench
from tracelock.audit.judging import Judge
from tracelock.audit.program import program_text
from tracelock.audit.task_bench import TaskBench
from tracelock.audit.task_judging import TaskJudge
from tracelock.audit.task_program import task_program_text, trio_program_text
from tracelock.errors import UsageError, unknown


@dataclass(frozen=True)
class WorkerKind:
    """``noun``: of one of them; ``in_c_unseen``: methods in C are single steps, which they are not
    really: what they do is not looked into; ``least``: workers that there are at least; ``serial``:
    it is known of an execution whether it is serial (``overlaps``)."""

    noun: str
    backend: str
    bench: Callable[..., Bench]
    judge: type[Judge]
    program_text: Callable[..., str]
    in_c_unseen: bool
    least: int
    serial: bool


THREADS: Final = WorkerKind("thread", "threading", Bench, Judge, program_text, True, 2, True)
#: No other task goes on while a method in C is at work.
TASKS: Final = WorkerKind(
    "task", "asyncio", TaskBench, TaskJudge, task_program_text, False, 3, False
)


def _trio_bench(*given: Any) -> Bench:
    """Imports trio, which not everybody has."""
    from tracelock.audit.trio_bench import TrioBench

    return TrioBench(*given)


TRIO: Final = WorkerKind("task", "trio", _trio_bench, TaskJudge, trio_program_text, False, 3, False)
#: By their backend.
KINDS: Final = {kind.backend: kind for kind in (THREADS, TASKS, TRIO)}


def check_backend(backend: str) -> None:
    """Raises UsageError for a backend that audits do not know, or that is not installed."""
    if backend not in KINDS:
        raise unknown("backend of an audit", backend, KINDS)
    if backend == TRIO.backend and importlib.util.find_spec("trio") is None:
        raise UsageError("an audit on trio needs trio: pip install 'tracelock[trio]'")

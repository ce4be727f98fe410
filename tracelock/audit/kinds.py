"""What an audit's workers are: threads, or tasks of asyncio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tracelock.audit.bench import Bench
from tracelock.audit.judging import Judge
from tracelock.audit.program import program_text
from tracelock.audit.task_bench import TaskBench
from tracelock.audit.task_judging import TaskJudge
from tracelock.audit.task_program import task_program_text


@dataclass(frozen=True)
class WorkerKind:
    """``noun``: of one of them; ``in_c_unseen``: methods in C are single steps, which they are not
    really: what they do is not looked into; ``least``: workers that there are at least; ``serial``:
    it is known of an execution whether it is serial (``overlaps``)."""

    noun: str
    backend: str
    bench: type[Bench]
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

"""Which probes tell of which search."""

from __future__ import annotations

from tracelock.schedulers.base import Scheduler, Wrapper
from tracelock.schedulers.dpor.probes import Probes, TreeProbes
from tracelock.schedulers.dpor.scheduler import DporScheduler
from tracelock.schedulers.dpor.task_probes import StepProbes
from tracelock.schedulers.dpor.tasks import StepScheduler


def probes_of(searched: Scheduler, seed: int) -> Probes | None:
    """Random schedules of the tree that ``searched`` explores, which must not go on then; None
    where it explores no tree of inequivalent schedules."""
    while isinstance(searched, Wrapper):
        searched = searched.inner
    if isinstance(searched, DporScheduler):
        return TreeProbes(searched, seed)
    if isinstance(searched, StepScheduler):
        return StepProbes(searched, seed)
    return None

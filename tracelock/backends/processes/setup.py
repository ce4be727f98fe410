"""What the processes of all workers of a program are given when they start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tracelock.backends.processes.store import SharedFile

if TYPE_CHECKING:
    from tracelock.scenario.program import Program


@dataclass(slots=True)
class WorkerSetup:
    """``program`` reaches a forked process only; any other compiles ``scenario``, plain data.

    ``journals``, ``notes``: see ``journal``. ``starts``, ``taken`` and ``ends``: for spawn and join
    in free runs, semaphores by worker (may it start; is it still to be started; has it ended).
    ``steps``: the most events of a worker in a free run.
    """

    program: Program | None
    scenario: Any
    objects: list[Any]
    store: SharedFile
    board: SharedFile
    journals: list[SharedFile]
    notes: list[SharedFile]
    starts: list[Any]
    taken: list[Any]
    ends: list[Any]
    steps: int

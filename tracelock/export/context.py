"""What a whole program is made from."""

from __future__ import annotations

from dataclasses import dataclass, field

from tracelock.export.kinds import Kinds
from tracelock.export.naming import Naming
from tracelock.export.points import Points
from tracelock.ops import Layout
from tracelock.scenario.language.models import Scenario


@dataclass
class ExportContext:
    """What the whole program is made from, and what its functions turn out to need."""

    scenario: Scenario
    layout: Layout
    naming: Naming
    variables: dict[str, str]
    objects: dict[str, str]
    workers: dict[str, str]
    cells: set[str]
    kinds: dict[str, Kinds]
    points: Points | None
    names: list[str]  # of the workers, by number
    lenient: bool = False  # a turn that does not come is waited for a second only
    always: str | None = None  # the condition that the trace ends with breaking
    marked: bool = False  # each line of a worker ends with a comment that names its step
    needs: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)  # functions that the scenario names
    guarded: set[str] = field(default_factory=set)  # variables whose plain writes need the guard
    watched: set[str] = field(default_factory=set)  # and those whose plain reads do

    @property
    def arrays(self) -> dict[str, int]:
        """Name -> length of the shared variables that are arrays."""
        shared = self.scenario.shared
        return {name: len(value) for name, value in shared.items() if isinstance(value, list)}

    def numbers(self, group: str) -> list[int]:
        """The numbers of the instances of a worker."""
        return [n for n, spec in enumerate(self.layout.workers) if spec.group == group]

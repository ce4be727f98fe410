"""What runs the schedules of a Python program, and what a trace says is shared."""

from __future__ import annotations

from typing import Final

from tracelock.engine.controller import Controller
from tracelock.explore.running import Runner
from tracelock.instrument.isolation.where import Isolation
from tracelock.trace import Verdict

#: Verdicts that depend on where others came in.
_UNSETTLED: Final = ("failed", "deadlock")


class PythonRunner(Runner):
    """Runs schedules of real code where its ``isolation`` says, in this process or in others."""

    def verdict(self, controller: Controller) -> Verdict:
        isolation = self.backend
        assert isinstance(isolation, Isolation)
        verdict = isolation.verdict() or super().verdict(controller)
        if self.rules.blocks and isolation.backend.names.learning and verdict.kind in _UNSETTLED:
            # Accesses that are no scheduling points yet were made: whether this interpreter lets
            # others in between them is not known. From now on they are, and the search goes on.
            return Verdict("passed", state=verdict.state)
        return verdict

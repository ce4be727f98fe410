"""What runs the schedules of a Python program, and what a trace says is shared."""

from __future__ import annotations

from typing import Final

from tracelock.engine.controller import Controller
from tracelock.explore.running import Runner
from tracelock.instrument.isolation.where import Isolation
from tracelock.trace import Trace, Verdict

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


def shared_in(trace: Trace) -> list[str]:
    """The shared parts of objects that a trace has accesses to, by their names."""
    targets = {event.target for event in trace.events if event.op in ("read", "write")}
    for event in trace.events:
        if event.op == "atomic":  # one operation on several files
            targets.update(*(part for part in (event.value, event.result) if part))
    known = {event.target for event in trace.events}
    for target in known:  # a queue whose mutex was used is the library's own code
        queue, _, part = (target or "").rpartition(".")
        if part == "mutex" and queue not in known:
            targets.add(f"{queue} from outside")
    return sorted(target for target in targets if target is not None)

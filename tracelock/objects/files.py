"""The model of a lock on a file: ``flock`` and the record locks of ``lockf``."""

from __future__ import annotations

from typing import Any, Final

from tracelock.objects.base import Model
from tracelock.ops import ACQUIRE, Op, Value

#: The end of a range that reaches to the end of the file, however long that gets.
END: Final = 1 << 62
#: Who holds it (the handle of ``flock``, the process of ``lockf``), which worker took it, whether
#: for itself alone, from where, to where.
Held = tuple[tuple[str, int], int, bool, int, int]


class FileLockModel(Model):
    """Held by one handle or process for itself alone, or shared by several.

    ``op.value`` is ``exclusive`` or ``shared``, ``op.expect`` is ``(holder, first, end)``: bytes
    ``first`` up to ``end``. Who holds a range may take it again, in the other mode too.
    """

    __slots__ = ("held",)
    initial = ()
    held: list[Held]

    def _free(self, op: Op) -> bool:
        holder, first, end = op.expect
        alone = op.value == "exclusive"
        return not any(
            other[0] != holder and (alone or other[2]) and other[3] < end and first < other[4]
            for other in self.held
        )

    def enabled(self, op: Op, worker: int) -> bool:
        return op.kind != ACQUIRE or not op.blocking or self._free(op)

    def apply(self, op: Op, worker: int) -> Value:
        if op.kind == ACQUIRE:
            if not self._free(op):
                return False
            self._cut(*op.expect)
            holder, first, end = op.expect
            self.held.append((holder, worker, op.value == "exclusive", first, end))
            return True
        self._cut(*op.expect)
        return None

    def _cut(self, holder: tuple[str, int], first: int, end: int) -> None:
        """Take a range away from what ``holder`` has; of a range cut in two both ends stay."""
        kept: list[Held] = []
        for one in self.held:
            if one[0] != holder or one[3] >= end or first >= one[4]:
                kept.append(one)
                continue
            if one[3] < first:
                kept.append((*one[:3], one[3], first))
            if end < one[4]:
                kept.append((*one[:3], end, one[4]))
        self.held = kept

    def drop(self, process: str) -> None:
        """A process has ended, and with it all that its handles held."""
        self.held = [one for one in self.held if one[0][0] != process]

    def holders(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(one[1] for one in self.held))

    def snapshot(self) -> Any:
        return tuple(self.held)

    def restore(self, state: Any) -> None:
        self.held = list(state)

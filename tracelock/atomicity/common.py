"""The table of common operations: which ones are asked for ``tracelock atomic --list``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tracelock.atomicity.asked import this_python_or_usage, with_gil, without_gil
from tracelock.errors import UsageError
from tracelock.interpreter.asking import AskingProblem, ask

#: CPython's FAQ, "What kinds of global value mutation are thread-safe?": its own words.
FAQ: Final = (
    ("L.append(x)", ""), ("L1.extend(L2)", ""), ("x = L[i]", ""), ("x = L.pop()", ""),
    ("L1[i:j] = L2", ""), ("L.sort()", ""), ("x = y", "x = 1"),
    ("x.field = y", "x = Object(field=1)"), ("D[x] = y", ""), ("D1.update(D2)", ""),
    ("D.keys()", ""),
    ("i = i + 1", ""), ("L.append(L[-1])", ""), ("L[i] = L[j]", ""),
    ("D[x] = D[x] + 1", "D = {7: 10}"),
)  # fmt: skip
MORE: Final = (
    ("n += 1", ""), ("self.n += 1", ""), ("self.n = self.n + 1", ""), ("self.n -= 1", ""),
    ("self.n = max(self.n, x)", ""), ("self.n = int(self.n) + 1", ""), ("d[k] += 1", ""),
    ("d[k] = d[k] + 1", ""), ("d[k] = d.get(k, 0) + 1", ""), ("d.setdefault(k, x)", ""),
    ("if k not in d: d[k] = x", "d = {}"), ("if k in d: del d[k]", ""), ("d.pop(k, None)", ""),
    ("d.get(k)", ""), ("k in d", ""), ("len(d)", ""), ("list(d)", ""), ("d.clear()", ""),
    ("d = dict(d)", ""), ("d |= d2", ""), ("d.copy()", ""),
    ("l[0] += 1", ""), ("l += [x]", ""), ("l = l + [x]", ""), ("l.insert(0, x)", ""),
    ("l.reverse()", ""), ("l.extend(range(3))", ""), ("x in l", ""), ("sorted(l)", ""),
    ("l[0], l[1] = l[1], l[0]", ""), ("if l: l.pop()", "l = [1]"), ("for y in l: n += y", ""),
    ("n = sum(l)", "n = 0"), ("s.add(x)", ""), ("s.discard(x)", ""), ("s |= s2", ""),
    ("if x not in s: s.add(x)", ""), ("q.append(x)", ""),
    ("if q: q.popleft()", "q = collections.deque([1])"),
    ("self.items.append(x)", ""), ("self.n, self.m = self.m, self.n", ""),
    ("self.text += 'x'", "self = Object(text='')"),
    ("if self.value is None: self.value = x", "self = Object(value=None)"),
    ("setattr(self, 'n', self.n + 1)", ""),
    ("next(ids)", "import itertools\nids = itertools.count()"),
    ("with lock: n += 1", ""),
)  # fmt: skip
#: Executions of each row on each thread.
ROUNDS: Final = 10_000


@dataclass(frozen=True, slots=True)
class CommonOperation:
    """One row: ``gil`` and ``free``, whether it is atomic with the GIL and without; ``stress``:
    what a run for real came to."""

    statement: str
    faq: bool
    gil: bool
    free: bool
    why: str
    stress: dict[str, Any]

    @property
    def contradicted(self) -> bool:
        """Whether a run for real showed what the table denies."""
        return self.gil and bool(self.stress["anomalies"])


def common_operations(rounds: int = ROUNDS) -> list[CommonOperation]:
    """Each derived from the bytecode of the running interpreter, and tried on it."""
    rows = [*FAQ, *MORE]
    questions = [
        {"statement": text, "setup": setup, "stress": rounds, "seconds": 5.0}
        for text, setup in rows
    ]
    found: list[CommonOperation] = []
    for (text, _), answer in zip(rows, _answers(questions), strict=True):
        if "problem" in answer:
            raise UsageError(f"{text}: {answer['problem']}")
        held, free = with_gil(answer), without_gil(answer)
        why = held.why if not held.atomic else free.why if not free.atomic else ""
        row = CommonOperation(
            text, len(found) < len(FAQ), held.atomic, free.atomic, why, answer["stress"]
        )
        found.append(row)
    return found


def _answers(questions: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    try:
        return ask(this_python_or_usage(), questions, 300.0)
    except AskingProblem as problem:
        raise UsageError(str(problem)) from None

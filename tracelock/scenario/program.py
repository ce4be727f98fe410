"""Scenarios compiled: a machine per worker, and the conditions on the whole state.

A :class:`Program` is made once per scenario and makes machines for every schedule. It never
changes, so threads may share it; machines of different workers share nothing that changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from tracelock.errors import StepFailure
from tracelock.ops import Layout, Value
from tracelock.scenario.compile import values
from tracelock.scenario.compile.codegen import PAID, run_source
from tracelock.scenario.compile.compiler import compile_worker
from tracelock.scenario.compile.layout import build_layout
from tracelock.scenario.compile.runtime import Machine, TimeoutScope
from tracelock.scenario.compile.translate import Direct, GlobalNames, NameTable
from tracelock.scenario.language.models import Scenario

__all__ = ["FUEL", "CompiledCheck", "Machine", "Program", "TimeoutScope"]

#: Rounds of loops that a worker may go without a visible step.
FUEL: Final = 10_000_000

_new = object.__new__


class CompiledCheck:
    """A condition of ``always`` or ``finally``. ``at`` is its path, ``text`` as written.

    ``holds(values)``, with the values of all variables by number, raises StepFailure where it
    cannot be evaluated.
    """

    __slots__ = ("_parts", "at", "holds", "text")

    def __init__(self, expr: Value, at: str, layout: Layout) -> None:
        self.text = expr if isinstance(expr, str) else values.describe(expr)
        self.at = at
        pool = GlobalNames()
        names = NameTable(layout)
        tree = names.tree(expr)
        direct = Direct(names, pool, "v[{}]", "listed(list(v[{}:{}]))")
        test = direct.source(tree)
        seen: list[tuple[str, str]] = []
        direct.witnesses = seen
        witnessed = direct.source(tree)
        variables = [variable for _, variable in seen]
        pool.names.update(Exception=Exception, failure=self._failure)
        begin = [" afresh()"] if PAID.search(test) else []
        lines = [
            "def holds(v):",
            *begin,
            " try: return True if " + test + " else False",
            " except Exception as error: e = error",
            " raise failure(e) from None",
            "def parts(v):",
            *begin,
            f" {' = '.join([*variables, 'q'])} = U",
            f" {witnessed}",
            " return (" + "".join(f"({text!r}, {name}), " for text, name in seen) + ")",
        ]
        run_source("\n".join(lines) + "\n", f"<{at}>", pool.names)
        self.holds: Callable[[Sequence[Value]], bool] = pool.names["holds"]
        self._parts: Callable[[Sequence[Value]], Sequence[tuple[str, Value]]] = pool.names["parts"]

    def _failure(self, error: Exception) -> StepFailure:
        return StepFailure("error", values.reason(error), self.at)

    def explain(self, values_: Sequence[Value]) -> str:
        """Why it does not hold: ``counter == 2 is false: counter is 1``."""
        try:
            parts = self._parts(values_)
        except Exception:
            parts = ()
        return values.explain(self.text, parts)


class Program:
    """A scenario that :func:`~tracelock.scenario.checks.scenario.check_scenario` accepts, compiled.

    ``fuel``: how many rounds of loops a worker may go without a visible step before its
    machine raises LimitReached.
    """

    def __init__(
        self, scenario: Scenario, layout: Layout | None = None, *, fuel: int = FUEL
    ) -> None:
        self.scenario = scenario
        self.layout = build_layout(scenario) if layout is None else layout
        self.classes: tuple[type[Machine], ...] = tuple(
            compile_worker(number, spec, scenario.workers[spec.group].steps, self.layout, fuel)
            for number, spec in enumerate(self.layout.workers)
        )
        self._made = [(kind, kind.code.entry, kind.code.template) for kind in self.classes]
        self.always = tuple(
            CompiledCheck(expr, f"always[{place}]", self.layout)
            for place, expr in enumerate(scenario.always)
        )
        self.finally_ = tuple(
            CompiledCheck(expr, f"finally[{place}]", self.layout)
            for place, expr in enumerate(scenario.finally_)
        )

    def machine(self, worker: int, busy: bool = False) -> Machine:
        """A machine at the start of ``worker``. ``busy``: ``work`` steps do their work."""
        kind, entry, template = self._made[worker]
        machine: Machine = _new(kind)
        machine.at = entry
        machine.L = template[:]
        machine.busy = busy
        machine.op = None
        machine.spent = 0
        return machine

"""Mutants of a scenario, searched on its models: they are data, and need no processes."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from tracelock.errors import ScenarioError, UsageError
from tracelock.teeth.mutations import KINDS
from tracelock.teeth.results import INVALID, KILLED, MutantResult, Teeth, judged
from tracelock.teeth.steps import REACHED, StepMutation, step_mutations

if TYPE_CHECKING:
    from tracelock.scenario.language.models import Scenario
    from tracelock.session.explored import Explored

_ORIGINAL: Final = 0.25
_LEAST: Final = 0.2
#: Of the time of a mutant what its own search may take; the rest is to see that it is run.
_SEARCH: Final = 0.8


def scenario_teeth(
    scenario: Scenario, kinds: tuple[str, ...], seconds: float, backend: str, *,
    allow_call: bool, progress: Callable[[int, int, int], None] | None,
) -> Teeth:  # fmt: skip
    """See ``teeth``."""
    begun = monotonic()
    data = scenario.to_data()
    found = Teeth(scenario.name, "scenario")

    def explore(document: dict[str, Any] | None, seconds: float) -> Explored:
        from tracelock.scenario.loading import scenario_from_data
        from tracelock.session.exploring import explore_target
        from tracelock.session.plan import Plan

        subject = scenario if document is None else scenario_from_data(document, scenario.name)
        plan = Plan(
            backend, "auto", 0, allow_call=allow_call, seconds=seconds, confirm=1, estimate=False
        )
        return explore_target(subject, plan)

    original = explore(None, seconds * _ORIGINAL)
    found.original, found.original_summary = original.verdict, original.summary
    found.original_schedules = original.schedules
    if original.failed:
        raise UsageError(
            f"{scenario.name} fails as it is ({original.summary}): whether it notices changes can "
            "be asked of what passes"
        )
    if original.verdict != "verified":
        found.notes.append(f"of the scenario as it is not everything was tried: {original.summary}")
    mutations = [one for one in step_mutations(data) if one.kind in kinds]
    if not mutations:
        raise UsageError(f"{scenario.name} has no step that holds a lock: nothing can be changed")
    for number, one in enumerate(mutations, 1):
        place = scenario.problem(one.at, "")
        found.mutants.append(
            MutantResult(
                number, one.kind, place.file, place.line, one.at, one.lock, one.was, one.now
            )
        )
    waiting = sorted(
        zip(found.mutants, mutations, strict=True), key=lambda pair: KINDS.index(pair[0].kind)
    )
    for done, (mutant, mutation) in enumerate(waiting):
        left = begun + seconds - monotonic()
        if left <= 0:
            found.notes.append(
                f"the time was up after {done} of {len(waiting)} mutants: give more --seconds"
            )
            break
        _try(mutant, mutation, explore, max(_LEAST, left / (len(waiting) - done)))
        if progress is not None:
            progress(done + 1, len(waiting), found.count(KILLED))
    found.seconds = monotonic() - begun
    return found


def _try(
    mutant: MutantResult, mutation: StepMutation,
    explore: Callable[[dict[str, Any] | None, float], Explored], share: float,
) -> None:  # fmt: skip
    begun = monotonic()
    try:
        explored = explore(mutation.document, share * _SEARCH)
    except ScenarioError as error:
        mutant.verdict, mutant.reason = INVALID, f"{error}"
        return
    answer: dict[str, Any] = {
        "verdict": explored.verdict, "summary": explored.summary, "reached": True,
        "schedules": explored.schedules, "switches": explored.switches,
    }  # fmt: skip
    if explored.failed and explored.trace is not None:
        verdict = explored.trace.verdict
        kind = "" if verdict.kind == "failed" else f"{verdict.kind}: "
        answer["failure"] = f"{kind}{verdict.message.splitlines()[0] if verdict.message else ''}"
        mutant.recorded = explored.trace
    else:
        probe = explore(mutation.probe, max(_LEAST, share * (1 - _SEARCH)))
        trace = probe.trace
        answer["reached"] = trace is not None and REACHED in trace.verdict.message
        if not answer["reached"] and probe.verdict != "verified":
            answer["reached"] = True
            answer["verdict"] = "unfinished"
            answer["summary"] = "whether its steps are reached at all was not found out"
        elif not answer["reached"]:
            answer["reason"] = "no schedule reaches these steps"
    answer["seconds"] = monotonic() - begun
    judged(mutant, answer)

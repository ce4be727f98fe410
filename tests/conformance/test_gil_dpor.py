"""Optimal DPOR over what CPython with its GIL can do finds every final state that brute force finds
there, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.test_python_dpor import SEEDS, STATES, Seen, written
from tests.oracles.every import Every
from tracelock.schedulers.dpor.scheduler import DporScheduler
from tracelock.session.code import PythonCode
from tracelock.session.interpreters.which import has_gil
from tracelock.session.plan import Plan
from tracelock.session.python_host import PythonHost
from tracelock.session.targets import target_for

pytestmark = pytest.mark.skipif(not has_gil(), reason="this interpreter has no GIL")


def states_of(module: object, interpreter: str) -> tuple[set[object], set[object]]:
    """The final states by DPOR and by brute force. What a transition of several steps touches where
    it is reversed is not known before, so that DPOR may run some of them more than once."""

    def check(state: object) -> None:
        STATES.append(repr(module.final(state)))  # type: ignore[attr-defined]

    code = PythonCode(module.WORKERS, module.setup, check, [module.__name__])  # type: ignore[attr-defined]
    plan = Plan("threading", "dpor", every=True, interpreter=interpreter)
    target = target_for(code=code)
    host = target.open(plan.completed(target))
    assert isinstance(host, PythonHost)
    with host:
        seen = Seen(module, host)  # type: ignore[arg-type]
        some, dpor = seen.run(DporScheduler)
        assert dpor.exhaustive
        every, brute = seen.run(Every)
        assert brute.exhaustive
    return some, every


@pytest.mark.parametrize("seed", SEEDS)
def test_same_final_states_as_brute_force_under_the_gil(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = written(seed, tmp_path, monkeypatch)
    some, every = states_of(module, "this")
    assert some == every


def test_under_the_gil_there_are_fewer_states_than_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fewer = 0
    for seed in SEEDS[:3]:
        module = written(seed, tmp_path, monkeypatch)
        here, everywhere = states_of(module, "this")[0], states_of(module, "any")[0]
        assert here <= everywhere
        fewer += here < everywhere
    assert fewer

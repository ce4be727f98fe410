"""A seed gives the same events again: in this process, in another one, on another Python.

The digests in ``tests/data/digests.json`` were made once (``python -m
tests.conformance.test_determinism``) and hold on every version the tests run on. They cover all
but the times.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.cases import CASES
from tracelock.scenario.loading import scenario_from_data
from tracelock.session import Session, Settings

ROOT = Path(__file__).resolve().parents[2]
DIGESTS = ROOT / "tests" / "data" / "digests.json"
SEEDS = (1, 2, 3)


def digest_of(name: str, clock: str, backend: str = "simulated") -> str:
    """One digest over five schedules of each seed, as the threading rules have them."""
    digest = hashlib.sha256()
    for seed in SEEDS:
        settings = Settings(backend, "random", seed, clock)
        with Session(scenario_from_data(CASES[name], name), settings) as session:
            for outcome in session.each(5):
                trace = outcome.trace()
                digest.update(trace.events.digest().encode())
                digest.update(json.dumps(trace.verdict.to_data(), sort_keys=True).encode())
    return digest.hexdigest()


def all_digests() -> dict[str, str]:
    return {
        f"{name} {clock}": digest_of(name, clock)
        for name in sorted(CASES)
        for clock in ("virtual", "adversarial")
    }


@pytest.fixture(scope="module")
def kept() -> dict[str, str]:
    kept: dict[str, str] = json.loads(DIGESTS.read_text(encoding="utf-8"))
    return kept


def test_digests_on_this_python(kept: dict[str, str]) -> None:
    assert all_digests() == kept


@pytest.mark.parametrize("name", ["condition-timed", "queue", "atomics"])
def test_real_threads_give_the_same_digest(name: str, kept: dict[str, str]) -> None:
    assert digest_of(name, "virtual", "threading") == kept[f"{name} virtual"]


@pytest.mark.parametrize("hash_seed", ["0", "4242"])
def test_digests_in_another_process(hash_seed: str, kept: dict[str, str]) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.conformance.test_determinism"],
        capture_output=True, text=True, cwd=ROOT, env=environment, check=True, timeout=60,
    )  # fmt: skip
    assert json.loads(done.stdout) == kept


if __name__ == "__main__":
    print(json.dumps(all_digests(), indent=1))

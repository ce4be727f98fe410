"""The long test of faithfulness: thousands of free runs on every backend, each replayed.

    python tests/bench/faithful.py [--runs 2000] [--backends threading asyncio ...]

Every trace of a free run is executed again, event by event: each read must give the recorded
value, each other result must be the recorded one, and the verdict must be the same. Prints a line
for each backend and scenario, and exits with 1 if a single run was not faithful.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.helpers.cases import CASES  # noqa: E402
from tracelock.errors import TracelockError, UnsupportedError  # noqa: E402
from tracelock.scenario.language.models import Scenario  # noqa: E402
from tracelock.scenario.loading import load_scenario, scenario_from_data  # noqa: E402
from tracelock.session import Session, Settings, check_supported, replay  # noqa: E402

BACKENDS = ("threading", "multiprocessing", "asyncio", "trio")
#: Racy, and between them nearly everything that can be raced for.
CASE_NAMES = (
    "atomics", "condition", "event-pulse", "queue", "release-by-another", "try-acquire", "arrays",
)  # fmt: skip
EXAMPLES = ("lost_update", "check_then_act", "cas_counter", "bounded_buffer", "locked_counter")


def supported(scenario: Scenario, backend: str) -> bool:
    """Whether a backend can run all of a scenario."""
    try:
        check_supported(scenario, backend)
    except UnsupportedError:
        return False
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000, help="free runs on each backend")
    parser.add_argument("--backends", nargs="*", default=BACKENDS, choices=BACKENDS)
    chosen = parser.parse_args()
    sys.setswitchinterval(1e-5)
    scenarios = [scenario_from_data(CASES[name], name) for name in CASE_NAMES]
    scenarios += [load_scenario(ROOT / f"tests/data/examples/{name}.yaml") for name in EXAMPLES]
    unfaithful = 0
    for backend in chosen.backends:
        able = [one for one in scenarios if supported(one, backend)]
        each = -(-chosen.runs // len(able))
        total = 0
        for scenario in able:
            kinds: Counter[str] = Counter()
            bad, begun = 0, time.perf_counter()
            session = Session(scenario, Settings(backend))
            with session:
                outcomes = session.each(each)
                for number in range(each):
                    try:
                        outcome = next(outcomes)
                        trace = outcome.trace()
                        result = replay(trace, backend="simulated" if number % 10 else None)
                    except TracelockError as error:
                        bad += 1
                        print(f"  {type(error).__name__}: {error}")
                        outcomes = session.each(each)
                        continue
                    kinds[trace.verdict.kind] += 1
                    if not result.reproduced:
                        bad += 1
                        print(f"  not reproduced: {result.diverged or result.verdict}")
            total += each
            unfaithful += bad
            seconds = time.perf_counter() - begun
            print(
                f"{backend:16} {scenario.name:20} {each} runs {dict(kinds)} unfaithful {bad} "
                f"({seconds:.1f} s)"
            )
        print(f"{backend}: {total} free runs replayed")
    return 1 if unfaithful else 0


if __name__ == "__main__":
    sys.exit(main())

"""Whether ``interpreter="this"`` misses nothing that the running interpreter does by itself.

``python tests/bench/bench_gil_states.py [SECONDS [EVERY]]``

Generated programs (every EVERY-th of those of ``test_python_dpor``) run freely on their threads for
SECONDS each, at the smallest switch interval and with no tracelock in the way. Every final state
that comes up has to be one that the exhaustive search finds under the GIL; how many there are of
each kind, and how many the search finds where any switch may come, stands beside it. Exits with 1
where a state was missed.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.conformance.test_gil_dpor import states_of  # noqa: E402
from tests.conformance.test_python_dpor import SEEDS  # noqa: E402
from tests.helpers.python_fuzz import Writer  # noqa: E402

INTERVAL = 1e-6
#: How long a run may take, in seconds, before it counts as one that never ends.
PATIENCE = 2.0


def free_states(program: ModuleType, seconds: float) -> Counter[str]:
    """The final states of free runs, with how often each came; of one that never ends "waits"."""
    found: Counter[str] = Counter()
    end = time.monotonic() + seconds
    while time.monotonic() < end and not found["waits"]:
        state = program.setup()
        together = threading.Barrier(len(program.WORKERS))

        def run(
            work: object, state: object = state, together: threading.Barrier = together
        ) -> None:
            together.wait()
            work(state)  # type: ignore[operator]

        threads = [
            threading.Thread(target=run, args=(one,), daemon=True) for one in program.WORKERS
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        if any(thread.is_alive() for thread in threads):
            found["waits"] += 1
        else:
            found[repr(program.final(state))] += 1
    return found


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    every = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    folder = tempfile.mkdtemp()
    sys.path.insert(0, folder)
    sys.setswitchinterval(INTERVAL)
    missed = runs = 0
    print(f"{'program':>8} {'runs':>8} {'free':>5} {'this':>5} {'any':>5}")
    for seed in SEEDS[::every]:
        name = f"program_{seed}"
        Path(folder, f"{name}.py").write_text(Writer(seed).text(), encoding="utf-8")
        program = importlib.import_module(name)
        free = free_states(program, seconds)
        here, anywhere = states_of(program, "this")[0], states_of(program, "any")[0]
        lost = {state for state in free if state != "waits"} - here
        missed += bool(lost)
        runs += sum(free.values())
        print(
            f"{seed:>8} {sum(free.values()):>8,} {len(free):>5} {len(here):>5} {len(anywhere):>5}"
            f"{'  missed: ' + ', '.join(sorted(lost)) if lost else ''}",
            flush=True,
        )
    print(f"{missed} missed in {runs:,} free runs, {sys.version.split()[0]}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

"""How often the root finding names the line that a fix changes, and what passing runs get.

    python tests/bench/bench_roots.py [NAME ...]

Over the programs of ``tests/programs_roots``: a search to a failing trace, its analysis, and
whether the root names a line that the mended twin changes (or one within three lines), the function
that has it, and the kind that it should. Then traces of passing runs of the mended twin, which must
have no error; their warnings are counted. Exits with 1 where a root names neither, or a passing run
has an error.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import tracelock  # noqa: E402
from tests.programs_roots.program import NAMES, explore, judge, passing  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="*", metavar="NAME")
    names = parser.parse_args().name or NAMES
    totals: Counter[str] = Counter()
    for name in names:
        judged = judge(name, explore(name))
        totals.update(
            line=judged.line, exact=judged.exact, function=judged.function, kind=judged.kind
        )
        calm = [one for trace in passing(name) for one in tracelock.analyze(trace)]
        severities = Counter(one.severity for one in calm)
        totals.update(missed=not (judged.line or judged.function))
        totals.update(errors=severities["error"], warnings=severities["warning"])
        how = "line" if judged.exact else "near" if judged.line else "MISSED"
        where = "" if judged.function else ", not in the function"
        print(f"{name:<12} {how:<6} {judged.root.kind:<22} {judged.root.diagnosis}{where}")
        for one in calm:
            if one.severity != "note":
                print(f"{'':<12} passing: {one.severity}: {one.title}")
    print(
        f"of {len(names)} roots {totals['exact']} name the line that the fix changes, "
        f"{totals['line']} one within three lines, {totals['function']} the function; "
        f"{totals['kind']} have a kind that fits. Passing twins: {totals['errors']} errors, "
        f"{totals['warnings']} warnings."
    )
    return 1 if totals["errors"] or totals["missed"] else 0


if __name__ == "__main__":
    sys.exit(main())

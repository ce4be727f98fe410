"""The corpus of real bugs: how soon each is found, and whether its trace replays.

``python tests/bench/corpus.py [--python INTERPRETER] [--libraries FOLDER] [CASE ...]``

For each case the pinned libraries are installed with pip into a folder of their own (kept in
``--libraries``, if given, for the next time). Then, always in a fresh process of INTERPRETER (which
must have tracelock's dependencies): one exploration by the default strategy, and 20 replays of
the trace that it found. The bug has to be found within 1,000 schedules and 10 seconds, and each
replay has to end as the trace says. Where the bug is mended nothing may be found, also not by
1,000 random schedules more. Exits with 1 where any of that is not so.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.corpus.cases import BY_NAME, CASES, Case  # noqa: E402

REPLAYS = 20
SCHEDULES = 1_000
SECONDS = 10.0
#: How long one process may take, in seconds, before it counts as hung.
PATIENCE = 180


def install(python: str, case: Case, libraries: Path) -> Path:
    """The folder with the libraries of ``case``."""
    folder = libraries / case.name
    if case.pins and not folder.is_dir():
        command = [python, "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*command, "--target", str(folder), *case.pins], check=True)
    return folder


def run(python: str, case: Case, folder: Path, *options: str) -> dict[str, Any]:
    """What ``tests.corpus.run`` says of ``case`` in a fresh process."""
    path = os.pathsep.join([str(folder), str(ROOT)])
    done = subprocess.run(
        [python, "-m", "tests.corpus.run", case.name, *options],
        env={**os.environ, "PYTHONPATH": path}, cwd=ROOT, capture_output=True, text=True,
        timeout=PATIENCE,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        last = done.stderr.strip().splitlines()[-1:] or ["it printed nothing"]
        return {"error": last[0]}
    result: dict[str, Any] = json.loads(lines[-1])
    return result


def bug(python: str, case: Case, folder: Path, traces: Path) -> tuple[bool, str]:
    """Whether the bug is found and replayed as it should be, and that in words."""
    trace = str(traces / f"{case.name}.json")
    found = run(python, case, folder, "--trace", trace)
    if found.get("verdict") != "failed":
        return False, str(found.get("error") or found.get("summary"))
    kind = found["failure"] or "deadlock"
    good = found["schedules"] <= SCHEDULES and found["seconds"] <= SECONDS and kind in case.kinds
    replays = [run(python, case, folder, "--replay", "--trace", trace) for _ in range(REPLAYS)]
    same = sum(bool(replay.get("reproduced")) for replay in replays)
    text = (
        f"{found['schedules']:>5} schedules {found['seconds']:>6.2f} s  {found['events']:>3} events"
        f"  replayed {same}/{REPLAYS}  {kind}: {found['message'].splitlines()[0]}"
    )
    for replay in replays:
        if not replay.get("reproduced"):
            text += f"\n    {replay.get('diverged') or replay.get('error') or replay}"
            break
    return good and same == REPLAYS, text


def mended(python: str, case: Case, folder: Path) -> tuple[bool, str]:
    """Whether nothing is found, and that in words."""
    good, parts = True, []
    for strategy in ("auto", "random"):
        found = run(python, case, folder, "--strategy", strategy)
        good = good and found.get("verdict") in ("passed", "verified")
        parts.append(
            f"{found['schedules']:>5} schedules {found['seconds']:>6.2f} s  {found['verdict']}"
            f"{': ' + found['message'].splitlines()[0] if 'message' in found else ''}"
            if "verdict" in found
            else str(found.get("error"))
        )
    return good, "; ".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("case", nargs="*")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--libraries", type=Path)
    options = parser.parse_args()
    script = "import sys; print(*sys.version_info[:2])"
    shown = subprocess.run(
        [options.python, "-c", script], capture_output=True, text=True, check=True
    )
    major, minor = map(int, shown.stdout.split())
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        libraries = options.libraries or Path(scratch) / "libraries"
        for case in [BY_NAME[name] for name in options.case] or CASES:
            if (major, minor) not in case.pythons:
                continue
            folder = install(options.python, case, libraries)
            if case.mended:
                good, text = mended(options.python, case, folder)
            else:
                good, text = bug(options.python, case, folder, Path(scratch))
            failed += not good
            print(f"{major}.{minor} {case.name:<26} {'ok ' if good else 'BAD'} {text}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

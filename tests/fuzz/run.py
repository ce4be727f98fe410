"""``python tests/fuzz/run.py --inputs 1000000 [--jobs N] [--seconds S] [--only TARGET]``.

Each piece of the inputs runs in a process of its own, with a bound on its memory and on the time of
each input; a process that dies or hangs is a crash of the input it had, and the next piece goes on.
At the end stands a table, and the status is 1 if anything crashed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.fuzz.targets import TARGETS, peak, try_one

PIECE = 100  # inputs of one process
MEMORY = 2 << 30  # bytes of address space


def child(name: str, first: int, count: int, limit: float, end: float) -> None:
    """Try ``count`` inputs and print, a line each, what was worth telling."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    target = next(one for one in TARGETS if one.name == name)
    told = os.fdopen(os.dup(1), "w", buffering=1)
    worst, slowest, done = 0.0, first, 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for number in range(first, first + count):
            if time.time() > end:
                break
            told.write(json.dumps({"at": number}) + "\n")
            tried = try_one(target, number, Path(folder), limit)
            done += 1
            if tried.seconds > worst:
                worst, slowest = tried.seconds, number
            if tried.wrong is not None:
                told.write(json.dumps({"number": number, "wrong": tried.wrong}) + "\n")
        os.chdir("/")
    told.write(json.dumps({"done": done, "worst": worst, "slowest": slowest, "peak": peak()}))


def piece(name: str, first: int, count: int, limit: float, end: float) -> dict[str, object]:
    """Run one process; what came of it."""
    command = [sys.executable, __file__, "--child", name, str(first), str(count), str(end)]
    command += ["--limit", str(limit)]
    patience = min(count * limit, max(0.0, end - time.time()) + 20 * limit)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            out, err = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
    lines = [json.loads(line) for line in out.decode().splitlines() if line.endswith("}")]
    result: dict[str, object] = {"done": 0, "worst": 0.0, "slowest": first, "peak": 0.0}
    at = [line["at"] for line in lines if "at" in line]
    wrong = [(line["number"], line["wrong"]) for line in lines if "wrong" in line]
    if lines and "done" in lines[-1]:
        result.update(lines[-1])
    else:
        result["done"] = len(at)
        wrong.append(
            (
                at[-1] if at else first,
                f"the process ended: {process.returncode} {err.decode(errors='replace')[-800:]}",
            )
        )
    return {**result, "wrong": wrong}


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz every reader of tracelock.")
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=1e9, help="end after so many")
    parser.add_argument("--limit", type=float, default=20.0, help="seconds of one input")
    parser.add_argument("--start", type=int, default=0, help="the number of the first input")
    parser.add_argument("--only", choices=[target.name for target in TARGETS])
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, first, count, until = options.child
        child(name, int(first), int(count), options.limit, float(until))
        return 0
    names = [options.only] if options.only else [target.name for target in TARGETS]
    each = -(-options.inputs // len(names))
    end = time.time() + options.seconds
    work = [
        (name, options.start + first, min(PIECE, each - first))
        for first in range(0, each, PIECE)
        for name in names
    ]
    table = {name: [0, 0.0, 0, 0.0, 0] for name in names}
    crashes: list[tuple[str, int, str]] = []
    with ThreadPoolExecutor(options.jobs) as pool:

        def one(what: tuple[str, int, int]) -> None:
            if time.time() > end:
                return
            name, first, count = what
            came = piece(name, first, count, options.limit, end)
            row = table[name]
            row[0] += came["done"]
            if came["worst"] > row[1]:
                row[1], row[2] = came["worst"], came["slowest"]
            row[3] = max(row[3], came["peak"])
            row[4] += len(came["wrong"])
            crashes.extend((name, number, text) for number, text in came["wrong"])

        list(pool.map(one, work))
    heads = ("inputs", "worst time", "of input", "memory", "crashes")
    print("{:14} {:>9} {:>11} {:>9} {:>9} {:>8}".format("target", *heads))
    for name, (tried, worst, slowest, memory, wrong) in table.items():
        print(f"{name:14} {tried:9,} {worst:9.2f} s {slowest:9} {memory:6.0f} MB {wrong:8}")
    print(f"{'all':14} {sum(row[0] for row in table.values()):9,} {'':40} {len(crashes):8}")
    for name, number, text in crashes[:40]:
        print(f"\n--- {name} {number} (--only '{name}' --start {number} --inputs 1)\n{text}")
    return 1 if crashes else 0


if __name__ == "__main__":
    sys.exit(main())

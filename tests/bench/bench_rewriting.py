"""What it costs to rewrite a library, in s of processor time: anew, and from the disk.

Run ``python -m tests.bench.bench_rewriting [MODULES]``. Each figure is that of a new process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

_RUN = """
import sys, time
from pathlib import Path
import pydantic
from tracelock.instrument.rewrite import codes

sys.dont_write_bytecode = False
files = sorted(Path(pydantic.__file__).parent.rglob("*.py"), key=lambda one: -one.stat().st_size)
files = files[: int(sys.argv[1])]
begun = time.process_time()
for path in files:
    codes.compiled(path.read_bytes(), str(path), path.name, path.stem)
print(f"{len(files)} modules, {sum(len(p.read_bytes().splitlines()) for p in files)} lines:",
      f"{time.process_time() - begun:.3f}")
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        environment["PYTHONPYCACHEPREFIX"] = folder
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for how in ("anew", "from the disk", "from the disk"):
            done = subprocess.run(
                [sys.executable, "-c", _RUN, (sys.argv[1:] or ["50"])[0]],
                env=environment, check=True, capture_output=True, text=True,
            )  # fmt: skip
            print(f"{how:15} {done.stdout.strip()}")
        size = sum(path.stat().st_size for path in Path(folder).rglob("*-tracelock.pyc"))
        print(f"{size / 1e6:.1f} MB are kept")


if __name__ == "__main__":
    main()

"""``tracelock audit`` on the command line, and the marker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BOX = """
import threading


class Box:
    def __init__(self):
        self.items = []
        self.lock = threading.Lock()

    def put(self, item):
        with self.lock:
            self.items.append(item)

    def pop(self):
        if not self.items:
            return None
        with self.lock:
            return self.items.pop()
"""


def run(folder: Path, *line: str, path: str = "") -> subprocess.CompletedProcess[str]:
    where = os.pathsep.join(filter(None, [path, str(ROOT)]))
    return subprocess.run(
        [sys.executable, *line], cwd=folder, capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": where}, check=False,
    )  # fmt: skip


def test_a_class_is_audited_and_what_went_wrong_fails_without_tracelock(tmp_path: Path) -> None:
    (tmp_path / "box.py").write_text(BOX)
    found = run(
        tmp_path, "-m", "tracelock", "audit", "box:Box", "--calls", "1", "--json",
        "--html", "matrix.html", "--markdown", "matrix.md",
    )  # fmt: skip
    assert found.returncode == 1, found.stderr
    data = json.loads(found.stdout)
    (cell,) = [one for one in data["cells"] if one["verdict"] == "failed"]
    assert cell["methods"] == ["pop", "pop"] and cell["kind"] == "raises IndexError"
    assert [one["verdict"] for one in data["cells"]].count("verified") == 2
    page = (tmp_path / "matrix.html").read_text()
    assert "raises IndexError" in page and "<script" not in page
    assert "| `pop` | raises IndexError |" in (tmp_path / "matrix.md").read_text()
    again = run(
        tmp_path, "-m", "tracelock", "replay", cell["trace"], "--allow-call", path=".tracelock"
    )
    assert again.returncode == 0 and "still fails" in again.stdout, again.stdout + again.stderr
    line = ("-m", "tracelock", "export", cell["trace"], "--as", "python", "-o", "forced.py")
    assert run(tmp_path, *line, path=".tracelock").returncode == 0
    forced = run(tmp_path, "forced.py", path=".tracelock")
    assert forced.returncode == 1 and "of no order of the calls" in forced.stdout + forced.stderr
    mended = BOX.replace("self.items.pop()", "self.items.pop() if self.items else None")
    (tmp_path / "box.py").write_text(mended)
    right = run(tmp_path, "-m", "tracelock", "audit", "box:Box", "--calls", "1", "--no-trace")
    assert right.returncode == 0, right.stdout
    assert "verified: 3 pairs of methods: 3 verified" in right.stdout


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (["queue:Queue", "--contract", "get=safe"], "unknown contract"),
        (["queue:Queue", "--contract", "no-crash", "--contract", "unsafe"], "stands alone"),
        (["queue:Queue", "--strategy", "item"], "takes NAME=EXPR"),
        (["queue:Queue", "--init", "Queue(nothing)"], "'nothing' is not defined"),
        (["asyncio:Lock", "--model", "lock"], "unknown model 'lock'"),
        (["queue:Queue", "--async", "--interpreter", "this"], "an interpreter is of threads"),
    ],
)
def test_wrong_use_is_told(tmp_path: Path, line: list[str], why: str) -> None:
    found = run(tmp_path, "-m", "tracelock", "audit", *line)
    assert found.returncode == 2 and why in found.stderr


def test_the_marker(tmp_path: Path) -> None:
    (tmp_path / "box.py").write_text(BOX)
    (tmp_path / "test_box.py").write_text(
        "import pytest\n\n"
        "@pytest.mark.tracelock_audit('box:Box', methods=['put', 'pop'], calls=1)\n"
        "def test_wrong():\n    raise RuntimeError('the body')\n\n"
        "@pytest.mark.tracelock_audit('box:Box', methods=['put'], calls=1)\n"
        "def test_right(tmp_path):\n    assert tmp_path.exists()\n\n"
        "@pytest.mark.tracelock_audit('box:Bag')\n"
        "def test_none():\n    pass\n"
    )
    found = run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "2 failed, 1 passed" in found.stdout, found.stdout
    assert "raises IndexError: put(1) | pop() || pop()" in found.stdout
    assert "replay it: PYTHONPATH=.tracelock" in found.stdout and "box has no Bag" in found.stdout
    assert "the body" not in found.stdout

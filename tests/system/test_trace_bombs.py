"""Files that are made to fill the memory of who reads them: refused before they do."""

import gzip
import subprocess
import sys

import pytest

from tests.unit.test_trace_files import event, lines
from tracelock import load_trace
from tracelock.cli.main import main

BOMBS = {
    "compressed well": lambda: gzip.compress(b'{"format": "' + b"A" * 60_000_000, 1),
    "the same, one event a line": lambda: gzip.compress(
        lines([event(0, '"value": "' + "A" * 400 + '"')] * 120_000), 1
    ),
    "lists in one event": lambda: lines([event(0, '"value": [' + "[]," * 8_500_000 + "[]]")]),
    "lists in many events": lambda: lines(
        [event(n, '"result": [' + "[]," * 50_000 + "[]]") for n in range(180)]
    ),
    "lists under keys of others": lambda: lines(
        [event(n, '"more": [' + "[]," * 50_000 + "[]]") for n in range(180)]
    ),
    "lists in the header": lambda: lines([], ' "scenario": [' + "[]," * 4_500_000 + "[]],"),
    "lists, and no trace": lambda: b'{"a": [' + b"[]," * 9_000_000 + b"[]]}",
}
LOADS = """
import resource, sys
from tracelock import errors, load_trace
from tracelock.trace.recovery import recover
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
most = before * 1024 + (900 << 20)
resource.setrlimit(resource.RLIMIT_AS, (most, most))
for read in load_trace, recover:
    try:
        read(sys.argv[1])
        print("read")
    except errors.TraceError as problem:
        print(problem)
"""


@pytest.mark.parametrize("name", BOMBS)
def test_it_is_refused_before_it_does(name, tmp_path):
    path = tmp_path / "bomb.json"
    path.write_bytes(BOMBS[name]())
    done = subprocess.run(
        [sys.executable, "-c", LOADS, str(path)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert [f"{path} is too large" in line for line in done.stdout.splitlines()] == [True, True]


def test_a_long_trace_is_no_bomb(tmp_path):
    path = tmp_path / "run.json.gz"
    path.write_bytes(gzip.compress(lines([event(n, '"n": 1') for n in range(200_000)]), 9))
    assert len(load_trace(path).events) == 200_000


def test_a_packed_comparison_is_bounded(tmp_path, capsys):
    path = tmp_path / "c.json.gz"
    start = b'{"format": "tracelock-comparison/1", "x": "'
    path.write_bytes(gzip.compress(start + b"x" * 70_000_000, 1))
    assert main(["report", str(path), "-o", str(tmp_path / "c.html")]) == 2
    assert "larger than any comparison" in capsys.readouterr().err
    assert not (tmp_path / "c.html").exists()

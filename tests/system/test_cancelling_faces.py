"""Whom cancellations reach, as it is said on the command line, in a scenario and by the marker."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import tracelock
from tests.system.plugin_tools import run, summary
from tracelock.cli.main import main
from tracelock.instrument import callers

pytest_plugins = ["pytester"]

CODE = """\
import asyncio


class Pool:
    def __init__(self):
        self.free = asyncio.Queue()
        self.free.put_nowait("a connection")


def setup():
    return Pool()


async def careless(pool):
    one = await pool.free.get()
    await asyncio.sleep(0)
    pool.free.put_nowait(one)


async def careful(pool):
    one = await pool.free.get()
    try:
        await asyncio.sleep(0)
    finally:
        pool.free.put_nowait(one)
"""
DOCUMENT = """\
format: tracelock-scenario/1
name: pool
workers:
  careless: {steps: [{call: "aimed_pool.pool:careless"}]}
  careful: {steps: [{call: "aimed_pool.pool:careful"}]}
python:
  setup: "aimed_pool.pool:setup"
"""
MARKED = """\
import asyncio

import pytest
import tracelock


async def careless(lock):
    await lock.acquire()
    {block}await asyncio.sleep(0)
    lock.release()


@pytest.mark.tracelock({keywords}schedules=60)
async def test_it():
    lock = asyncio.Lock()
    await asyncio.gather(careless(lock), careless(lock), return_exceptions=True)
"""


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "aimed_pool"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "pool.py").write_text(CODE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(callers, "_paths", {})
    for name in ("aimed_pool", "aimed_pool.pool"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def command(*arguments: str) -> int:
    return main([arguments[0], "pool.yaml", "--allow-call", "--backend", "asyncio", *arguments[1:]])


@pytest.mark.parametrize(
    ("key", "options", "fails"),
    [
        ("", (), False),
        ("", ("--cancellable", "careless"), True),
        ("", ("--cancellable", "careful"), False),
        ("", ("--cancellable", "careful", "--cancellable", "careless"), True),
        ("  cancellable: [careless]\n", (), True),
        ("  cancellable: [careful]\n", (), False),
        ("  cancellable: [careful]\n", ("--cancellable", "careless"), True),
        ("  cancellable: [careless]\n  cancellations: 0\n", (), False),
        ("  cancellable: [careful]\n  cancellations: 2\n", (), False),
    ],
)
def test_workers_by_name(
    pool: Path, key: str, options: tuple[str, ...], fails: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    (pool / "pool.yaml").write_text(DOCUMENT + key, encoding="utf-8")
    assert command("explore", *options, "--trace", "t.json") == fails
    out = capsys.readouterr().out
    if fails:
        assert "cancelled here: careless at " in out
        recorded = tracelock.load_trace("t.json").scenario["python"]
        assert "careless" in recorded["cancellable"] and recorded["cancellations"] == 1
        assert main(["replay", "t.json", "--allow-call"]) == 0


def test_names_of_nobody(pool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (pool / "pool.yaml").write_text(DOCUMENT, encoding="utf-8")
    assert command("explore", "--cancellable", "nobody") == 2
    assert "cancellable names 'nobody', which is none of the workers" in capsys.readouterr().err
    (pool / "pool.yaml").write_text(DOCUMENT + "  cancellable: [carefull]\n", encoding="utf-8")
    assert command("explore") == 2
    told = capsys.readouterr().err
    assert "pool.yaml:8:17: python.cancellable" in told and "there is no worker" in told


@pytest.mark.parametrize(
    ("keywords", "block", "failed"),
    [
        ("", "", 0),
        ("cancellations=1, ", "", 1),
        ('cancellable=["test_it"], ', "", 1),
        ("cancellations=1, ", "with tracelock.cancellable(): ", 1),
    ],
)
def test_the_marker(pytester: pytest.Pytester, keywords: str, block: str, failed: int) -> None:
    pytester.makepyfile(MARKED.format(keywords=keywords, block=block))
    result = run(pytester)
    result.assert_outcomes(failed=failed, passed=1 - failed)
    if failed:
        result.stdout.fnmatch_lines(["*cancelled here: careless*"])
        assert summary(result)


def test_a_block_keeps_the_rest_from_being_cancelled(pytester: pytest.Pytester) -> None:
    source = MARKED.format(keywords="cancellations=1, ", block="")
    block = "    with tracelock.cancellable():\n        await asyncio.sleep(0)\n"
    pytester.makepyfile(source.replace("    lock.release()\n", "    lock.release()\n" + block))
    run(pytester).assert_outcomes(passed=1)

"""Rewritten code that is kept on disk: the same as that which is made anew, or not used."""

from __future__ import annotations

import functools
import importlib
import json.decoder
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest

from tests.helpers.watching import Watcher, under
from tracelock.instrument.accesses.places import Closure, Home
from tracelock.instrument.rewrite import caching, codes
from tracelock.instrument.rewrite.loading import Instrumentation
from tracelock.instrument.rewrite.sites import Site

SOURCE = """\
count = 0


def bump(box):
    global count
    count += 1
    box.n += 1
    inner = 0

    def more():
        nonlocal inner
        inner += box.items[0:1] == [1]
        return inner

    return more() + box.n
"""


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    path = tmp_path / "race_kept.py"
    path.write_text(SOURCE)
    return path


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were rewritten, and not had from the disk."""
    found: list[str] = []
    plain = codes._compile

    def compile_(source: bytes, filename: str, *more: Any) -> Any:
        found.append(Path(filename).name)
        return plain(source, filename, *more)

    monkeypatch.setattr(codes, "_compile", compile_)
    return found


def rewritten(path: Path, name: str = "race_kept", hook: object = None) -> codes.Compiled:
    return codes.compiled(path.read_bytes(), str(path), f"{name}.py", name, hook)


def kept_file(path: Path, more: str = "") -> Path:
    found = caching.path_for(str(path), more)
    assert found is not None
    return Path(found)


def shown(code: CodeType) -> list[Any]:
    """All that makes a code object what it is."""

    def one(constant: Any) -> Any:
        match constant:
            case CodeType():
                return shown(constant)
            case Site():
                return repr(constant)
            case Home() | Closure():
                return repr(constant)
            case tuple():
                return tuple(map(one, constant))
        return constant if callable(constant) else (type(constant), repr(constant))

    return [
        code.co_code, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars,
        code.co_flags, code.co_filename, code.co_qualname, list(code.co_lines()),
        code.co_exceptiontable, [one(constant) for constant in code.co_consts],
    ]  # fmt: skip


@pytest.mark.parametrize("module", [queue, json.decoder, functools, caching, threading])
def test_what_is_kept_is_what_was_made(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: list[str]
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path))
    path = Path(str(module.__file__))
    first, second = rewritten(path, module.__name__), rewritten(path, module.__name__)
    assert made == [path.name]
    assert shown(second.rewritten) == shown(first.rewritten)
    assert second.plain == first.plain and list(second.new_of) == list(first.new_of)
    assert list(map(repr, second.sites)) == list(map(repr, first.sites))


def test_it_lies_beside_the_code_that_python_keeps(source: Path, made: list[str]) -> None:
    rewritten(source)
    tag = sys.implementation.cache_tag
    assert os.listdir(source.parent / "__pycache__") == [f"race_kept.{tag}-tracelock.pyc"]
    rewritten(source)
    assert made == ["race_kept.py"]


def test_accesses_are_seen_in_code_from_the_disk(
    source: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(source.parent))
    module = importlib.import_module("race_kept")

    class Box:
        n = 0
        items = (1,)

    seen = []
    for _ in range(2):
        monkeypatch.setattr("tracelock.instrument.rewrite.loading._compiled", {})
        watcher = Watcher()
        with Instrumentation(["race_kept"]), under(watcher):
            module.bump(Box())
        seen.append([event.rpartition(".")[2] for event in watcher.shown({})])
    assert made == ["race_kept.py"]
    assert seen[0] == seen[1] and seen[0].count("n") >= 3
    del sys.modules["race_kept"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"", lambda data: data[:20], lambda data: data[: len(data) // 2],
        lambda data: data[:-1], lambda data: b"x" * len(data),
        lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
        lambda data: data[:30] + bytes([data[30] ^ 1]) + data[31:],
    ],
)  # fmt: skip
def test_a_file_that_is_not_whole_does_not_count(
    spoil: Callable[[bytes], bytes], source: Path, made: list[str]
) -> None:
    first = rewritten(source)
    there = kept_file(source)
    there.write_bytes(spoil(there.read_bytes()))
    assert shown(rewritten(source).rewritten) == shown(first.rewritten)
    assert len(made) == 2
    rewritten(source)
    assert len(made) == 2  # it is whole again


def test_another_source_module_or_rule_makes_it_anew(
    source: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rewritten(source)
    rewritten(source, "another")
    assert len(made) == 2
    stamp = os.stat(source)
    source.write_text(SOURCE.replace("count += 1", "count += 2"))
    os.utime(source, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # of the same size and time
    rewritten(source, "another")
    assert len(made) == 3
    rewritten(source, "another")
    assert len(made) == 3
    monkeypatch.setattr(caching, "_rules", lambda: b"another version of the rewriting code")
    rewritten(source, "another")
    assert len(made) == 4
    monkeypatch.setattr(caching, "_rules", lambda: b"")  # which cannot be told
    rewritten(source, "another")
    rewritten(source, "another")
    assert len(made) == 6


def test_the_rules_are_the_source_of_the_rewriting_code() -> None:
    folder = Path(caching.__file__).parent
    named = {name.partition("/")[2] for name in caching._RULES if name.startswith("rewrite/")}
    others = {
        "__init__.py", "late.py", "loading.py", "importing.py", "standard.py",
        "changing.py",  # what it changes is never kept
    }  # fmt: skip
    assert {path.name for path in folder.glob("*.py")} == named | others
    assert caching._rules() and caching._rules() == caching._rules()


def test_python_says_where_and_whether(
    source: Path, made: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "elsewhere"))
    rewritten(source)
    assert not (source.parent / "__pycache__").exists()
    assert kept_file(source).is_relative_to(tmp_path / "elsewhere") and kept_file(source).exists()
    monkeypatch.setattr(sys, "pycache_prefix", None)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    rewritten(source)
    assert not (source.parent / "__pycache__").exists() and len(made) == 2

    def no_tag(path: str) -> str:
        raise NotImplementedError

    monkeypatch.setattr("importlib.util.cache_from_source", no_tag)
    rewritten(source)
    assert len(made) == 3


def test_where_none_can_be_written_none_is(source: Path, made: list[str]) -> None:
    (source.parent / "__pycache__").write_text("no folder")
    rewritten(source)
    rewritten(source)
    assert len(made) == 2


def test_nothing_is_left_where_writing_fails(
    source: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full)
    rewritten(source)
    assert made == ["race_kept.py"] and os.listdir(source.parent / "__pycache__") == []


def test_what_pytest_has_rewritten_first_is_kept_apart(
    source: Path, made: list[str], pytestconfig: pytest.Config
) -> None:
    class Hook:
        config = pytestconfig

    source.write_text(f"{SOURCE}\n\ndef test_it(box):\n    assert box.n == 1\n")
    for _ in range(2):
        plain = rewritten(source)
        asserting = rewritten(source, hook=Hook())
    assert len(made) == 2
    assert kept_file(source).exists() and kept_file(source, "-pytest").exists()
    assert "@pytest_ar" in asserting.plain.co_names and "@pytest_ar" not in plain.plain.co_names


def test_many_write_and_read_at_once(source: Path) -> None:
    path, wanted = str(kept_file(source)), shown(rewritten(source).rewritten)
    key = caching.key_of("a key")
    kept = codes._compile(source.read_bytes(), str(source), "race_kept.py", "race_kept")
    found: list[caching.KeptCode | None] = []
    caching.write(path, key, kept, str(source))  # before which there is nothing to read

    def work() -> None:
        for _ in range(20):
            caching.write(path, key, kept, str(source))
            found.append(caching.read(path, key))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 80 and all(found)
    for one in found[::20]:
        assert one is not None
        again = codes._with_objects(one.marked, one.objects)
        assert shown(again) == wanted
    assert len(os.listdir(source.parent / "__pycache__")) == 1


@pytest.fixture(autouse=True)
def nothing_in_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("tracelock.instrument.rewrite.loading._compiled", {})
    yield

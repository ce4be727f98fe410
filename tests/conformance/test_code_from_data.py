"""What could make code of data: each place is known, and none is reached by a document."""

from __future__ import annotations

import ast
import copyreg
import io
import multiprocessing
import os
import pickle
import pickletools
import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tracelock.backends.processes import settle
from tracelock.engine.linearise.history import Log
from tracelock.ops import GET, PUT, Op

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "security.md"
#: Functions that make code or objects of data, import by name, or start programs.
_BY_NAME = {"eval", "exec", "compile", "__import__", "import_module", "Unpickler"}
_OF_MODULES = {
    "pickle": {"load", "loads", "Unpickler"}, "marshal": {"load", "loads"},
    "subprocess": {"run", "Popen", "call", "check_call", "check_output"},
    "os": {"system", "popen", "execv", "execve", "execvp", "posix_spawn"}, "runpy": {"run_path"},
    "shelve": {"open"}, "yaml": {"load", "unsafe_load", "full_load"},
    "importlib": {"import_module"},
}  # fmt: skip
_WORDS = re.compile("|".join({*_BY_NAME, *(f"{module}[.]" for module in _OF_MODULES)}))


@cache
def users() -> dict[str, set[str]]:
    """Module of the package -> which of these it calls or builds on."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted((ROOT / "tracelock").rglob("*.py")):
        name = path.relative_to(ROOT / "tracelock").as_posix()
        text = path.read_text(encoding="utf-8")
        if not _WORDS.search(text):
            continue
        for node in ast.walk(ast.parse(text)):
            used = node.func if isinstance(node, ast.Call) else None
            for one in [used, *(node.bases if isinstance(node, ast.ClassDef) else [])]:
                match one:
                    case ast.Name(id=word) if word in _BY_NAME:
                        found[name].add(word)
                    case ast.Attribute(value=ast.Name(id=module), attr=word):
                        if word in _OF_MODULES.get(module, ()):
                            found[name].add(f"{module}.{word}")
    return found


def test_the_page_on_security_names_every_place() -> None:
    """A new user of one of these has to be written down there, with what it reads, and by whom."""
    text = PAGE.read_text(encoding="utf-8")
    table = text.partition("## Where data becomes code")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")]
    listed = re.findall(r"`([a-z_/]+\.py)`", " ".join(rows))
    assert sorted(listed) == sorted(users())


def test_documents_are_read_without_objects() -> None:
    """YAML is read event by event: no constructor is there to be called."""
    reader = (ROOT / "tracelock" / "scenario" / "documents" / "yaml_reader.py").read_text()
    assert "yaml.parse(" in reader
    assert not any(name.startswith("yaml.") for words in users().values() for name in words)


# --- the pickles of a queue --------------------------------------------------------------------
ran: list[str] = []


class Evil:
    def __reduce__(self) -> Any:
        return ran.append, ("ran",)


def evil_pickles() -> list[bytes]:
    """Each way in which a pickle can name something to be imported or called."""
    by_number = b"\x80\x02\x83\x34\x12."
    made = [pickle.dumps(Evil(), protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    made += [pickle.dumps(os.system, protocol) for protocol in (0, 2, 4)]
    made += [b"(S'echo'\nios\nsystem\n.", b"cos\nsystem\n(S'true'\ntR.", by_number]
    made += [b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.", b"P1\n.", b"K\x01Q."]
    return made


def test_the_pickles_try_every_opcode_that_can_import() -> None:
    words = {
        opcode.name for data in evil_pickles() for opcode, _, _ in pickletools.genops(data)
    }  # fmt: skip
    assert {"GLOBAL", "STACK_GLOBAL", "INST", "REDUCE", "PERSID", "BINPERSID"} <= words
    assert words & {"EXT1", "EXT2", "EXT4"}


@pytest.mark.parametrize("data", evil_pickles())
def test_items_of_queues_name_no_class_and_no_function(data: bytes) -> None:
    copyreg.add_extension("posix", "system", 0x1234)  # what EXT2 of one of them stands for
    try:
        with pytest.raises(pickle.UnpicklingError):
            settle._Items(io.BytesIO(data)).load()
    finally:
        copyreg.remove_extension("posix", "system", 0x1234)
    assert ran == []


VALUES = (None, True, 0, -(2**70), 1.5, "", "é\ud800", [1, ["a", None]], (1, "b"), {"k": [True]})


@pytest.mark.parametrize("value", VALUES)
def test_items_of_queues_are_plain_values(value: Any) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        if protocol or "\ud800" not in repr(value):
            assert settle._Items(io.BytesIO(pickle.dumps(value, protocol))).load() == value


def test_what_is_read_is_what_this_process_and_its_children_wrote() -> None:
    """The pipe of a queue of this very process: it has no name, and is inherited by children only.
    What one of them leaves in it is read as plain values, or refused."""
    queue: Any = multiprocessing.get_context("fork").Queue()
    reader = queue._reader.fileno()
    assert os.readlink(f"/proc/self/fd/{reader}").startswith("pipe:")
    assert not os.get_inheritable(reader)
    logs = [Log(), Log()]
    for number, item in enumerate(("first", "second")):
        logs[0].add(PUT, Op(PUT, 0, "at", value=item), True, number, number)
    accounts = settle._Accounts(logs, 0, queue, SimpleNamespace())  # type: ignore[arg-type]
    queue._writer.send_bytes(pickle.dumps("first"))
    assert accounts.get() == "second", "the one that is in no record and not in the pipe"
    queue._writer.send_bytes(pickle.dumps(Evil()))
    with pytest.raises(pickle.UnpicklingError):
        accounts.get()
    assert ran == [] and GET != PUT
    queue.close()

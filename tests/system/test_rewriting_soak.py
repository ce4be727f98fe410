"""CPython's own tests are the oracle: rewritten modules, and rewritten tests, still pass them."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("test") is None
    or importlib.util.find_spec("test.test_grammar") is None,
    reason="this Python comes without its tests",
)
#: Modules to rewrite, and the tests to run, which are rewritten as well.
QUICK = [
    ("heapq,textwrap", "test_heapq,test_textwrap"),
    ("dataclasses,_weakrefset", "test_dataclasses,test_weakset"),
    (
        "contextlib,types",
        "test_grammar,test_scope,test_super,test_named_expressions,test_augassign,test_unpack,"
        "test_unpack_ex,test_with,test_generators,test_patma,test_global,test_dictviews",
    ),
]
LONG = [
    ("functools", "test_functools"),
    ("collections,_collections_abc", "test_collections,test_ordered_dict,test_userdict"),
    ("queue,threading", "test_queue,test_threading_local"),
    ("weakref", "test_weakref"),
    ("json", "test_json"),
    ("copy", "test_list,test_dict,test_set,test_deque,test_copy"),
    ("asyncio", "test_asyncio.test_locks,test_asyncio.test_queues,test_coroutines,test_asyncgen"),
    ("traceback,contextlib", "test_exceptions,test_traceback,test_contextlib,test_iter"),
    ("types,enum", "test_descr,test_property,test_enum"),
]
#: Tests that count objects of the whole process, use the very last frame that the recursion
#: limit leaves, have keys that change classes while they are compared, or name every frame below
#: a generator (a call of ``send`` or ``throw`` that is seen has one of ours there).
CANNOT = {
    "test_send_with_yield_from",
    "test_throw_with_yield_from",
    "test_slots",
    "test_recursion_in_except_handler",
    "test_vicious_descriptor_nonsense",
    "test_type_lookup_mro_reference",
}


def soak(modules: str, tests: str, seconds: float) -> None:
    names = ",".join(f"test.{name}" for name in tests.split(","))
    done = subprocess.run(
        [sys.executable, "-m", "tests.system.soaking", modules, names],
        cwd=ROOT, capture_output=True, text=True, timeout=seconds,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    failed = [each for each in answer["failed"] if each.rpartition(".")[2] not in CANNOT]
    assert failed == [], answer["texts"]
    assert answer["notes"] == []
    assert answer["run"] > 50
    assert answer["points"] > 500


@pytest.mark.parametrize(("modules", "tests"), QUICK)
def test_cpythons_tests_pass_on_rewritten_modules(modules: str, tests: str) -> None:
    soak(modules, tests, 120)


@pytest.mark.soak
@pytest.mark.parametrize(("modules", "tests"), LONG)
def test_more_of_cpythons_tests(modules: str, tests: str) -> None:
    soak(modules, tests, 600)

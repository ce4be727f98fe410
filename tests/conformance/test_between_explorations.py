"""What happens between two explorations of a process is seen by the second as by a first one: each
case of ``tests/helpers/between.py`` in a process that has explored before, and in a new one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.between import CASES

ROOT = Path(__file__).resolve().parents[2]


def results(how: str, *names: str) -> dict[str, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.between", how, *names],
        cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": "0"}, timeout=120, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert not done.returncode, done.stderr
    return dict(map(json.loads, done.stdout.splitlines()))


#: Those that are run always: one for each way in which something may be missed.
CORE = {
    "a_lock_in_an_old_object", "a_lock_that_was_in_a_list", "a_lock_in_a_class",
    "a_lock_in_a_tuple_with_attributes", "locks_of_two_objects_of_a_class",
    "an_object_that_gets_another_class", "a_lock_in_a_closure", "a_lock_in_a_class_attribute",
    "defaults_that_two_functions_have", "a_name_that_changes_its_holder",
    "a_module_that_is_loaded_again", "after_all_was_frozen_for_a_while", "after_one_that_raises",
}  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [name if name in CORE else pytest.param(name, marks=pytest.mark.extended) for name in CASES],
)
def test_a_second_exploration_sees_what_a_first_one_would(name: str) -> None:
    [fresh], [later] = results("fresh", name).values(), results("later", name).values()
    assert later["left"] == ["nothing"] and later["changed"] == [] and later["collects"]
    assert later["frozen"] == 0
    assert later == fresh


#: Of these it is asked by default where what was made in between has grown old.
OLD = {"a_lock_in_an_old_object", "a_lock_in_a_closure"}


@pytest.mark.parametrize(
    "name",
    [name if name in OLD else pytest.param(name, marks=pytest.mark.extended) for name in CASES],
)
def test_the_same_where_what_was_made_in_between_has_grown_old(name: str) -> None:
    [fresh], [grown] = results("fresh", name).values(), results("grown", name).values()
    assert grown == fresh


@pytest.mark.parametrize("name", ["a_lock_in_an_old_object", "a_lock_in_a_dictionary"])
def test_without_lists_by_age_all_objects_are_looked_at(name: str) -> None:
    [fresh], [listed] = results("fresh", name).values(), results("listed", name).values()
    assert listed == fresh

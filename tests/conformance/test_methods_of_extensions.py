"""Methods of objects that an extension module made may use whatever they are given, unseen."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic_core import SchemaSerializer, SchemaValidator, core_schema

import tracelock


class Pair:
    """``first + second`` is 3 whenever nobody is in the middle of a change."""

    def __init__(self) -> None:
        self.first, self.second = 1, 2


FIELD = core_schema.model_field(core_schema.int_schema())
SCHEMA = core_schema.model_schema(
    Pair, core_schema.model_fields_schema({"first": FIELD, "second": FIELD})
)
READS, WRITES = SchemaSerializer(SCHEMA), SchemaValidator(SCHEMA)


def wrote(pair: Pair) -> None:
    pair.first = 2
    pair.second = 1


def wrote_in_c(pair: Pair) -> None:
    WRITES.validate_assignment(pair, "first", 2)
    WRITES.validate_assignment(pair, "second", 1)


def read(pair: Pair) -> None:
    assert pair.first + pair.second == 3


def read_in_c(pair: Pair) -> None:
    seen = READS.to_python(pair)
    assert seen["first"] + seen["second"] == 3


def given() -> Pair:
    pair = Pair()
    object.__setattr__(pair, "__pydantic_fields_set__", set())
    object.__setattr__(pair, "__pydantic_extra__", None)
    object.__setattr__(pair, "__pydantic_private__", None)
    return pair


@pytest.mark.parametrize(
    ("writes", "reads"), [(wrote, read_in_c), (wrote_in_c, read), (wrote_in_c, read_in_c)]
)
def test_a_race_in_what_they_are_given_is_not_verified(
    writes: Callable[[Pair], None], reads: Callable[[Pair], None]
) -> None:
    found = tracelock.explore(setup=given, workers=[writes, reads], strategy="dpor")
    assert found.verdict == "passed"
    assert "pydantic_core" in found.account.unseen


def test_the_race_is_there_and_found_where_it_is_seen() -> None:
    found = tracelock.explore(setup=given, workers=[wrote, read], strategy="dpor")
    assert found.verdict == "failed"

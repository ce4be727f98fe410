"""What is written in C and not the interpreter's own is known from the value alone."""

from __future__ import annotations

import collections
import ctypes
import decimal
import functools
import sqlite3
import sys
import types
from typing import Any

import pydantic
import pydantic_core
import pytest
from pydantic_core import _pydantic_core as core

from tracelock.instrument.account.extensions import in_c, named


class Model(pydantic.BaseModel):
    number: int


class Validates(pydantic_core.PydanticCustomError):
    pass


class Structure(ctypes.Structure):
    pass


class Derived(collections.OrderedDict[str, int]):
    __slots__ = ("one",)


def of_no_module() -> type:
    class Nameless:
        pass

    Nameless.__module__ = 3  # type: ignore[assignment]
    return Nameless


VALIDATOR = pydantic_core.SchemaValidator({"type": "int"})
IN_C: dict[str, tuple[Any, str]] = {
    "a module": (core, "pydantic_core"),
    "a function": (pydantic_core.to_json, "pydantic_core"),
    "a class": (pydantic_core.SchemaValidator, "pydantic_core"),
    "an object": (VALIDATOR, "pydantic_core"),
    "a method of it": (VALIDATOR.validate_python, "pydantic_core"),
    "a class derived from it": (Validates, "pydantic_core"),
    "ctypes": (ctypes, "ctypes"),
    "a function of it": (ctypes.string_at, "ctypes"),
    "a class of it": (ctypes.c_int, "ctypes"),
    "a class derived from one of it": (Structure, "ctypes"),
    "a library": (ctypes.CDLL(None), "ctypes"),
    "a package with C inside": (pydantic_core, ""),
    "a class of a package over it": (Model, ""),
    "an object of it": (Model(number=1), ""),
    "the interpreter's": (len, ""),
    "its method": ([].append, ""),
    "its class": (Derived, ""),
    "its extension": (sqlite3.connect, ""),
    "another": (decimal.Decimal(1), ""),
    "a cache": (functools.lru_cache(abs), ""),
    "plain code": (named, ""),
    "a class of no module": (of_no_module(), ""),
    "a module without a name": (types.ModuleType.__new__(types.ModuleType), ""),
    "a test runner's": (pytest.raises, ""),
    "nothing": (None, ""),
}


@pytest.mark.parametrize("name", IN_C)
def test_what_is_written_in_c(name: str) -> None:
    value, of = IN_C[name]
    assert in_c(value) == of


def test_names_that_make_no_sense_are_of_nothing() -> None:
    module, function = types.ModuleType("x"), types.FunctionType(of_no_module.__code__, {})
    module.__dict__.update(__name__=[], __file__={})
    function.__module__ = []  # type: ignore[assignment]
    assert in_c(module) == in_c(function) == ""


def test_code_names_globals_what_modules_have_and_what_it_has_imported() -> None:
    def uses() -> None:
        import tests.unit.test_extensions as there

        core.to_json(there.VALIDATOR)

    def inside(values: Any) -> set[int]:
        return {*map(id, values)}

    code, names = uses.__code__, uses.__globals__
    found = inside(named(code, names))
    assert {id(core), id(core.to_json)} <= found
    here = sys.modules[__name__]
    assert id(here) not in inside(named(code, {}))
    assert id(VALIDATOR) in inside(named(code, {}, imported=True))

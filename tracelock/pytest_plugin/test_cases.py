"""Methods of ``unittest.TestCase``, run as ``unittest`` runs them, once for each schedule."""

from __future__ import annotations

import inspect
import sys
from typing import Any

import pytest


def run_test_case(item: Any) -> None:
    """Run a method of a ``unittest.TestCase``, with its ``setUp`` and ``tearDown``; raises what it,
    or one of its sub-tests, has failed with."""
    failed: list[BaseException] = []

    def sub_test(case: Any, test: Any, error: Any) -> None:
        if error is not None:
            failed.append(error[1])

    item.addSubTest = sub_test  # which would report each of each schedule
    item.__dict__.pop("_excinfo", None)
    try:
        type(item).runtest(item)
    finally:
        del item.addSubTest
    failed += [one.value for one in item.__dict__.pop("_excinfo", None) or ()]
    if failed:
        raise failed[0]


def is_isolated(item: Any) -> bool:
    """Whether it is an asynchronous method of an ``IsolatedAsyncioTestCase``, which can be run in
    the loop of the schedule. One with a loop of its own choice is run by ``unittest``."""
    module: Any = sys.modules.get("unittest.async_case")
    if module is None or type(item).__name__ != "TestCaseFunction":
        return False
    cls, method = item.parent.obj, getattr(item.parent.obj, item.name, None)
    return (
        issubclass(cls, module.IsolatedAsyncioTestCase)
        and inspect.iscoroutinefunction(method)
        and getattr(cls, "loop_factory", None) is None
        and not getattr(cls, "__unittest_expecting_failure__", False)
        and not getattr(method, "__unittest_expecting_failure__", False)
    )


async def run_isolated(item: Any) -> None:
    """Run such a method, with what is set up and cleaned up around it."""
    import unittest

    case = item.instance
    try:
        try:
            case.setUp()
            await case.asyncSetUp()
            try:
                await getattr(case, item.name)()
            finally:
                try:
                    await case.asyncTearDown()
                finally:
                    case.tearDown()
        finally:
            await _clean_up(case)
    except unittest.SkipTest as error:
        raise pytest.skip.Exception(str(error), _use_item_location=True) from error


async def _clean_up(case: Any) -> None:
    """Call what ``addCleanup`` and ``addAsyncCleanup`` were given, the last one first; raises what
    the first of them raises, when all have run."""
    failed: Exception | None = None
    while case._cleanups:
        function, arguments, named = case._cleanups.pop()
        try:
            result = function(*arguments, **named)
            if inspect.isawaitable(result):
                await result
        except Exception as error:
            failed = failed or error
    if failed is not None:
        raise failed

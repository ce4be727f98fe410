"""Calls of C of which the account is told nothing: what follows from its rule, and no more."""

from __future__ import annotations

import collections
import contextvars
import datetime
import os
import random
import socket
import threading
from typing import Any

import pytest

from tracelock.instrument.account.quiet import Quiet


class Own(list[int]):
    """Made by a program."""


@pytest.mark.parametrize(
    "method",
    ["a".join, (1).bit_length, threading.Lock().acquire],
)
def test_of_atoms_and_of_what_is_under_control_nobody_is_told(method: Any) -> None:
    quiet = Quiet()
    cls = type(method.__self__)
    quiet.learn(method)
    assert list(quiet.types.values()) == [cls]


@pytest.mark.parametrize(
    "method", [[].append, {}.get, collections.deque().append, contextvars.Context().run]
)
def test_of_containers_code_of_loops_does_not_tell(method: Any) -> None:
    quiet = Quiet()
    quiet.learn(method)
    assert not quiet.types
    assert list(quiet.types_for_loops.values()) == [type(method.__self__)]


@pytest.mark.parametrize(
    "function",
    [Own().append, random.Random(1).random, datetime.datetime.now, dict.fromkeys, os.urandom],
)
def test_what_says_something_is_told(function: Any) -> None:
    quiet = Quiet()
    quiet.learn(function)
    assert not (quiet.types or quiet.types_for_loops or quiet.functions)


def test_sockets_are_told() -> None:
    quiet = Quiet()
    with socket.socket() as one:
        quiet.learn(one.fileno)
    assert not (quiet.types or quiet.types_for_loops)


def test_functions_of_modules() -> None:
    quiet = Quiet()
    quiet.learn(iter)
    assert list(quiet.functions.values()) == [iter]
    none = Quiet(0)
    none.learn(iter)
    none.learn([].append)
    assert not (none.functions or none.types_for_loops)

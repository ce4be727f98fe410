"""What goes by real descriptors, in an order that no schedule decides: nothing is verified."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

import tracelock


class Pipe:
    """A pipe that does not block, what is to be closed, and whether anything has come."""

    def __init__(self) -> None:
        self.reads, self.writes = os.pipe()
        os.set_blocking(self.reads, False)
        self.came = 0

    def close(self) -> None:
        os.close(self.reads)
        os.close(self.writes)


def explore(one: Any, other: Any, **more: Any) -> tracelock.Explored:
    return tracelock.explore(
        workers=[one, other], check=more.pop("check", Pipe.close), strategy="dpor", schedules=200,
        isolation="never", instrument=[], **more,
    )  # fmt: skip


def reads(pipe: Pipe) -> None:
    with contextlib.suppress(BlockingIOError):
        pipe.came = len(os.read(pipe.reads, 1))


def writes(pipe: Pipe) -> None:
    os.write(pipe.writes, b"x")


def reads_into(pipe: Pipe) -> None:
    with contextlib.suppress(BlockingIOError):
        pipe.came = os.readv(pipe.reads, [bytearray(1)])


def reads_by_object(pipe: Pipe) -> None:
    with open(pipe.reads, "rb", 0, closefd=False) as file:
        pipe.came = len(file.read(1) or b"")


def writes_by_object(pipe: Pipe) -> None:
    with os.fdopen(pipe.writes, "wb", 0, closefd=False) as file:
        file.write(b"x")


def reads_raw(pipe: Pipe) -> None:
    with io.FileIO(pipe.reads, closefd=False) as file:
        pipe.came = len(file.read(1) or b"")


def writes_raw(pipe: Pipe) -> None:
    with io.FileIO(pipe.writes, "w", closefd=False) as file:
        file.write(b"x")


async def waits_in_trio(pipe: Pipe) -> None:
    with trio.move_on_after(0):
        await trio.lowlevel.wait_readable(pipe.reads)
        pipe.came = 1


async def room_in_trio(pipe: Pipe) -> None:
    await trio.lowlevel.wait_writable(pipe.writes)


async def waits_in_asyncio(pipe: Pipe) -> None:
    came = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(pipe.reads, came.set)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            await came.wait()
            pipe.came = 1
    loop.remove_reader(pipe.reads)


async def room_in_asyncio(pipe: Pipe) -> None:
    loop = asyncio.get_running_loop()
    free = asyncio.Event()
    loop.add_writer(pipe.writes, free.set)
    await free.wait()
    loop.remove_writer(pipe.writes)


async def nothing(pipe: Pipe) -> None:
    pass


#: What one worker does, and the other, on which backend, and what is named.
CASES: dict[str, tuple[Any, Any, str, str]] = {
    "os.read": (reads, writes, "threading", "os.pipe"),
    "os.readv": (reads_into, writes, "threading", "os.pipe"),
    "open": (reads_by_object, writes_by_object, "threading", "os.pipe"),
    "io.FileIO": (reads_raw, writes_raw, "threading", "before tracelock had control"),
    "wait_readable": (waits_in_trio, nothing, "trio", "trio.lowlevel.wait_readable"),
    "wait_writable": (room_in_trio, nothing, "trio", "trio.lowlevel.wait_writable"),
    "add_reader": (waits_in_asyncio, nothing, "asyncio", "add_reader"),
    "add_writer": (room_in_asyncio, nothing, "asyncio", "add_writer"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_goes_by_a_real_descriptor_is_named(name: str) -> None:
    one, other, backend, told = CASES[name]
    found = explore(one, other, setup=Pipe, backend=backend)
    assert found.verdict in ("passed", "unfinished") and told in str(found.account), str(found)


@pytest.mark.parametrize("name", ["os.read", "os.readv", "open", "io.FileIO"])
def test_the_order_of_these_makes_a_difference(name: str) -> None:
    one, other, _, _ = CASES[name]
    ends = set()
    for order in ((one, other), (other, one)):
        pipe = Pipe()
        for work in order:
            work(pipe)
        pipe.close()
        ends.add(pipe.came)
    assert ends == {0, 1}


def test_a_file_that_was_opened_before_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.touch()
    with open(path, "rb", 0) as out, open(path, "wb", 0) as into:
        found = explore(lambda: out.read(1), lambda: into.write(b"x"), check=lambda: None)
    assert found.verdict == "passed" and "before tracelock had control" in str(found), str(found)


def test_standard_output_is_not() -> None:
    def prints() -> None:
        os.write(1, b"")
        sys.stdout.write("")
        print(end="")

    assert explore(prints, prints, check=lambda: None).verdict == "verified"

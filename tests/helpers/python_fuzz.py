"""Small threaded programs at random, as source text, and every schedule of one.

A program has ``setup``, ``WORKERS`` and ``final``, which gives its final state as plain data.
"""

from __future__ import annotations

import importlib
import random
import sys
from pathlib import Path
from types import ModuleType

import pytest

HEAD = """\
import queue
import threading
import time


class State:
    pass


def setup():
    global G
    G = 0
    s = State()
    s.x = s.y = 0
    s.d, s.l = {}, []
    s.a, s.b = threading.Lock(), threading.RLock()
    s.c, s.e = threading.Condition(), threading.Event()
    s.q, s.m = queue.Queue(1), threading.Semaphore(1)
    s.seen = [[] for _ in range(4)]
    return s


def final(s):
    left = list(s.q.queue)
    return (s.x, s.y, G, sorted(s.d.items()), list(s.l), left, s.seen)
"""


def imported(name: str, text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A program, written to ``folder`` and imported from there."""
    (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module(name)
    monkeypatch.delitem(sys.modules, name)  # so that it is forgotten afterwards
    sys.modules[name] = module
    return module


def queue_ops(n: int) -> list[list[str]]:
    """Ops on the queue, of which some wait; ``n`` is put into it."""
    return [
        [f"s.q.put({n})"],
        ["r.append(s.q.get())"],
        ["try:", "    r.append(s.q.get_nowait())", "except queue.Empty:", "    r.append(-1)"],
        ["try:", "    r.append(s.q.get(timeout=1))", "except queue.Empty:", "    r.append(-2)"],
    ]


class Writer:
    """Writes one program. ``kinds``: which statements it may have, all unless given."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.value = 0
        self.lines: list[str] = []
        self.inner: list[str] = []
        self.room = 0

    def text(self) -> str:
        """The source of the program."""
        count = self.random.choice((2, 2, 2, 3))
        workers = []
        for number in range(count):
            self.room = self.random.choice((3, 4) if count == 2 else (2,))
            body = self.block(number, 1, top=True)
            workers += [
                f"\n\ndef w{number}(s):",
                "    global G",
                f"    r = s.seen[{number}]",
                *body,
            ]
        names = ", ".join(f"w{number}" for number in range(count))
        return "\n".join([HEAD, *self.inner, *workers, f"\n\nWORKERS = [{names}]", ""])

    def new(self) -> int:
        """A value that no other write has."""
        self.value += 1
        return self.value

    def block(self, worker: int, depth: int, top: bool = False) -> list[str]:
        """The lines of a block: at least one statement."""
        lines = self.statement(worker, depth)
        while self.room > 0 and (top or self.random.random() < 0.4):
            lines += self.statement(worker, depth)
        return lines

    def statement(self, worker: int, depth: int) -> list[str]:
        """The lines of one statement."""
        self.room -= 1
        pad = "    " * depth
        kinds = [self.access] * 6 + [self.sync] * 3
        if self.room > 0 and depth < 3:
            kinds += [self.guarded] * 4 + [self.nested] * (depth == 1)
        return [pad + line for line in self.random.choice(kinds)(worker, depth)]

    def access(self, worker: int, depth: int) -> list[str]:
        """Reads and writes of attributes, items, containers and a global."""
        n = self.new()
        v = self.random.choice("xy")
        return self.random.choice([
            [f"s.{v} = {n}"],
            [f"s.{v} += {n}"],
            [f"r.append(s.{v})"],
            [f"if s.x <= {n // 2}:", f"    s.y = {n}"],
            [f"s.d['k'] = {n}"],
            ["if 'k' not in s.d:", f"    s.d['k'] = {n}"],
            ["r.append(s.d.get('k'))"],
            ["r.append(s.d.pop('k', 0))"],
            [f"s.l.append({n})"],
            ["r.append(len(s.l))"],
            ["for item in s.l:", "    r.append(item)"],
            [f"G += {n}"],
            ["r.append(G)"],
        ])  # fmt: skip

    def sync(self, worker: int, depth: int) -> list[str]:
        """Ops on objects that may wait, some of them for ever."""
        n = self.new()
        return self.random.choice([
            *queue_ops(n),
            ["r.append(s.q.qsize())"],
            ["s.e.set()"],
            ["s.e.wait()"],
            ["r.append(s.e.wait(2))"],
            ["r.append(s.e.is_set())"],
            ["time.sleep(1)"],
            ["with s.c:", f"    s.x = {n}", "    s.c.notify()"],
            ["with s.c:", "    if not s.x:", "        s.c.wait()"],
            ["with s.c:", "    while not s.x:", "        if not s.c.wait(2):", "            break"],
        ])  # fmt: skip

    def guarded(self, worker: int, depth: int) -> list[str]:
        """A block in which a lock is held."""
        body = [line[4 * depth :] for line in self.block(worker, depth + 1)]
        lock = self.random.choice("aabbmc")
        return self.random.choice([
            [f"with s.{lock}:", *body],
            [f"with s.{lock}:", *body],
            ["if s.a.acquire(False):", *body, "    s.a.release()"],
            ["if s.a.acquire(timeout=1):", *body, "    s.a.release()", "else:", "    r.append(-3)"],
        ])  # fmt: skip

    def nested(self, worker: int, depth: int) -> list[str]:
        """A thread of its own, which may be joined."""
        name = f"inner{len(self.inner)}"
        self.inner += [""]  # so that the next has another number
        body = self.block(3, 1)
        self.inner += [f"\n\ndef {name}(s):", "    global G", "    r = s.seen[3]", *body]
        start = [f"t = threading.Thread(target={name}, args=(s,))", "t.start()"]
        if self.random.random() < 0.3:
            return start
        middle = [line[4 * depth :] for line in self.statement(worker, depth)]
        return [*start, *middle, "t.join()"]

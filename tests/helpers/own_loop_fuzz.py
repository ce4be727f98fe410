"""Small programs at random of a plain thread beside a loop that the program starts itself.

A program has ``setup``, ``WORKERS`` and ``final``, which gives its final state as plain data.
"""

from __future__ import annotations

import random

HEAD = """\
import asyncio
import queue
import threading
from concurrent.futures import ThreadPoolExecutor


class State:
    pass


def setup():
    s = State()
    s.x = s.y = 0
    s.a, s.b = threading.Lock(), threading.RLock()
    s.c, s.e = threading.Condition(), threading.Event()
    s.q, s.m = queue.Queue(1), threading.Semaphore(1)
    s.loop, s.started = None, threading.Event()
    s.aa = s.ae = s.aq = s.task = None
    s.seen = [[] for _ in range(4)]
    return s


def final(s):
    return (s.x, s.y, list(s.q.queue), s.seen)


def put(s, n):
    s.x = n


def tell(s, r, callback, *args):
    try:
        s.loop.call_soon_threadsafe(callback, *args)
    except RuntimeError:
        r.append("closed")


def send(s, r, coro):
    try:
        return asyncio.run_coroutine_threadsafe(coro, s.loop)
    except RuntimeError:
        coro.close()
        r.append("closed")
"""

#: How the second worker starts its loop.
WAYS = {
    "run": ["asyncio.run(main(s))"],
    "loop": ["loop = asyncio.new_event_loop()", "loop.run_until_complete(main(s))", "loop.close()"],
    "thread": [
        "t = threading.Thread(target=lambda: asyncio.run(main(s)))", "t.start()", "t.join()"
    ],
    "beside": [
        "t = threading.Thread(target=lambda: asyncio.run(main(s)))", "t.start()",
        "with s.a:", "    s.y += 100", "t.join()",
    ],
}  # fmt: skip


class Writer:
    """Writes one program. ``loops``: what crosses to the loop from the thread may be there too."""

    def __init__(self, seed: int, loops: bool = True) -> None:
        self.random = random.Random(seed)
        self.loops = loops
        self.value = 0
        self.room = 0

    def text(self) -> str:
        """The source of the program."""
        pick = self.random.choice
        self.crossing = self.loops and self.random.random() < 0.5
        tasks = pick((1, 1, 2))
        self.room = pick((2, 3))
        thread = self.block(0, 1, False, top=True)
        if self.crossing:
            thread = ["    s.started.wait()", *thread]
        lines = [HEAD, "\n\ndef w0(s):", "    r = s.seen[0]", *thread]
        for number in range(1, tasks + 1):
            self.room = pick((2, 3)) if tasks == 1 else pick((1, 2))
            body = self.block(number, 1, True, top=True)
            lines += [f"\n\nasync def t{number}(s):", f"    r = s.seen[{number}]", *body]
        lines += ["\n\nasync def main(s):"]
        if self.crossing:
            lines += [
                "    s.loop = asyncio.get_running_loop()",
                "    s.aa, s.ae, s.aq = asyncio.Lock(), asyncio.Event(), asyncio.Queue()",
                "    s.started.set()",
            ]
        if tasks == 1 and pick((True, False)):
            lines += ["    await t1(s)"]
        else:
            calls = ", ".join(f"t{number}(s)" for number in range(1, tasks + 1))
            lines += [f"    await asyncio.gather({calls})"]
        lines += [
            "\n\ndef w1(s):",
            *("    " + line for line in WAYS[pick(["loop"] * 6 + sorted(WAYS))]),
        ]
        return "\n".join([*lines, "\n\nWORKERS = [w0, w1]", ""])

    def new(self) -> int:
        """A value that no other write has."""
        self.value += 1
        return self.value

    def block(self, worker: int, depth: int, task: bool, top: bool = False) -> list[str]:
        """The lines of a block: at least one statement."""
        lines = self.statement(worker, depth, task)
        while self.room > 0 and (top or self.random.random() < 0.4):
            lines += self.statement(worker, depth, task)
        return lines

    def statement(self, worker: int, depth: int, task: bool) -> list[str]:
        """The lines of one statement."""
        self.room -= 1
        kinds = [self.access] * 4 + [self.sync] * 3
        if self.room > 0 and depth < 3:
            kinds += [self.guarded] * 5
        if task:
            kinds += [self.awaits] * 4
        elif self.crossing:
            kinds += [self.crosses] * 5
        pad = "    " * depth
        return [pad + line for line in self.random.choice(kinds)(worker, depth, task)]

    def access(self, worker: int, depth: int, task: bool) -> list[str]:
        """Reads and writes of plain attributes."""
        n = self.new()
        v = self.random.choice("xxy")
        return self.random.choice([
            [f"s.{v} = {n}"], [f"s.{v} += {n}"], [f"r.append(s.{v})"],
            [f"if s.x <= {n // 2}:", f"    s.y = {n}"],
        ])  # fmt: skip

    def sync(self, worker: int, depth: int, task: bool) -> list[str]:
        """Ops on objects of threads that may wait, some of them for ever."""
        n = self.new()
        return self.random.choice([
            [f"s.q.put({n})"],
            ["r.append(s.q.get())"],
            ["try:", "    r.append(s.q.get_nowait())", "except queue.Empty:", "    r.append(-1)"],
            ["try:", "    r.append(s.q.get(timeout=1))", "except queue.Empty:", "    r.append(-2)"],
            ["s.e.set()"],
            ["s.e.wait()"],
            ["r.append(s.e.is_set())"],
            ["with s.c:", f"    s.x = {n}", "    s.c.notify()"],
            ["with s.c:", "    if not s.x:", "        s.c.wait()"],
            ["with s.a:", f"    s.x += {n}"],
            ["with s.b:", f"    s.x += {n}"],
        ])  # fmt: skip

    def guarded(self, worker: int, depth: int, task: bool) -> list[str]:
        """A block in which a lock is held."""
        body = [line[4 * depth :] for line in self.block(worker, depth + 1, task)]
        lock = self.random.choice("aaabmc")
        return self.random.choice([
            [f"with s.{lock}:", *body],
            [f"with s.{lock}:", *body],
            [f"with s.{lock}:", *body],
            ["if s.a.acquire(False):", *body, "    s.a.release()"],
            ["if s.a.acquire(timeout=1):", *body, "    s.a.release()", "else:", "    r.append(-3)"],
        ])  # fmt: skip

    def awaits(self, worker: int, depth: int, task: bool) -> list[str]:
        """What suspends a task."""
        n = self.new()
        kinds = [
            ["await asyncio.sleep(0)"],
            ["await asyncio.sleep(0)"],
            [f"await asyncio.to_thread(s.q.put, {n})"],
            ["await asyncio.to_thread(s.seen[3].append, s.x)"],
        ]
        if self.crossing:
            kinds += [
                ["await s.ae.wait()"],
                ["r.append(s.ae.is_set())"],
                ["r.append(await s.aq.get())"],
                ["async with s.aa:", f"    s.x += {n}", "    await asyncio.sleep(0)"],
            ]
        return self.random.choice(kinds)

    def crosses(self, worker: int, depth: int, task: bool) -> list[str]:
        """What a thread asks of the loop."""
        n = self.new()
        return self.random.choice([
            ["tell(s, r, s.ae.set)"],
            [f"tell(s, r, s.aq.put_nowait, {n})"],
            [f"tell(s, r, put, s, {n})"],
            ["f = send(s, r, t1(s))"],
            ["f = send(s, r, s.aq.get())"],
        ])  # fmt: skip

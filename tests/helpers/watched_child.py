"""Executes programs and says what else they did: a script for a process of its own.

Standard input: JSON, a list of sources. Standard output: JSON, for each a list of what it did that
no exported program does: start a process, write a file, execute text. An audit hook sees that, and
refuses it.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import linecache
import re
import sys
import threading
import types
from typing import Any

import anyio
import trio

_STARTS = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen", "pty.spawn")
_CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.chmod", "socket.connect", "shutil.")
done: list[str] = []


def watch(event: str, args: tuple[Any, ...]) -> None:
    if event.startswith((*_STARTS, *_CHANGES)):
        done.append(f"{event} {args!r:.200}")
    elif event == "exec" and getattr(args[0], "co_filename", "") == "<string>":
        done.append("exec of a text")
    elif event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        done.append(f"open {args!r:.200}")
    else:
        return
    raise RuntimeError(event)


class _Explored:
    verdict = summary = ""

    def raise_for_failure(self) -> None:
        pass


def run(source: str) -> None:
    """Execute one program and its ``main``, or its test."""
    source = re.sub(r"^PATIENCE = \S+", "PATIENCE = 0.02", source, flags=re.M)
    source = re.sub(r"^ +faulthandler\..*\n", "", source, flags=re.M)
    linecache.cache["program"] = (len(source), None, source.splitlines(True), "program")
    space: dict[str, Any] = {"__name__": "program", "__file__": "program"}
    exec(compile(source, "program", "exec", dont_inherit=True), space)
    names = [name for name in space if name.startswith("test_")]
    space[names[0]]() if names else space["main"]()


def main() -> None:
    sources = json.load(sys.stdin)
    stand_in: Any = types.ModuleType("tracelock")
    stand_in.load_scenario_text = lambda *given: None
    stand_in.explore = lambda *given, **named: _Explored()
    sys.modules["tracelock"] = stand_in
    # what these import when they are used first is no doing of a program's
    asyncio.run(asyncio.sleep(0))
    trio.run(trio.sleep, 0)
    anyio.Lock, anyio.Condition, anyio.Event  # noqa: B018
    threading.Thread(target=int).start()
    found = []
    sys.addaudithook(watch)
    for source in sources:
        done.clear()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            try:
                run(source)
            except BaseException as error:
                if isinstance(error, SyntaxError):
                    done.append(f"SyntaxError: {error}")
        found.append(list(done))
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
    import os

    os._exit(0)  # threads of programs that deadlock are still there

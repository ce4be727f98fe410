"""A task awaits with a lock of threads held, and the next one stops the loop."""

import asyncio
import threading

KINDS = {"await-with-lock"}
BACKEND = "asyncio"


def setup():
    return {"lock": threading.Lock(), "n": 0}


async def add(state):
    with state["lock"]:  # mend: if state["lock"]:
        state["n"] += 1
        await asyncio.sleep(0)


workers = [add, add]

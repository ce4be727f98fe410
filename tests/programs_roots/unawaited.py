"""A task is started, and its result used before it has ended."""

import asyncio

KINDS = {"never-awaited"}
BACKEND = "asyncio"


def setup():
    return {"saved": False}


async def save(state):
    await asyncio.sleep(0)
    state["saved"] = True


async def main(state):
    task = asyncio.create_task(save(state))
    await asyncio.sleep(0)  # mend: await task
    assert state["saved"], task


workers = [main]

"""CPython bpo-42130: a cancellation is caught and the task goes on."""

import asyncio

KINDS = {"swallowed-cancellation"}
BACKEND = "asyncio"


def setup():
    return {"ran": 0}


async def fetch():
    try:  # noqa: SIM105
        await asyncio.sleep(1)
    except asyncio.CancelledError:
        pass  # mend: raise


async def job(state):
    await fetch()
    state["ran"] += 1


async def main(state):
    task = asyncio.create_task(job(state))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert state["ran"] == 0, "it was cancelled"


workers = [main]

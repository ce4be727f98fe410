"""Tasks that update two variables, in a module of its own with nothing else in it: all that their
steps touch is told. Three of them are 216 inequivalent schedules, 3!**2 for ``x`` and 3! for ``y``.
"""

from __future__ import annotations

import asyncio


class Cells:
    def __init__(self) -> None:
        self.x = self.y = 0


async def lost(s: Cells) -> None:
    x = s.x
    await asyncio.sleep(0)
    s.x = x + 1
    await asyncio.sleep(0)
    s.y += 1

"""Tasks that go round and round until a bound on steps is reached."""

from __future__ import annotations

from typing import Final

from tracelock.engine.open import OpenController

#: Steps before the bound that are looked at, and the places that they may be at in a livelock.
ROUNDS: Final = 600
PLACES: Final = 6


def going_round(controller: OpenController) -> str:
    """Which tasks went round and round until a bound on steps was reached, "" where none did."""
    last = {(entry[0], entry[1], entry[2].at) for entry in controller.log[-ROUNDS:]}
    if len(last) > PLACES:
        return ""
    workers = controller.layout.workers
    places = ", ".join(f"{workers[number].name} at {at}" for number, _, at in sorted(last))
    return f": a livelock, as it seems: nothing came but {places}, again and again"

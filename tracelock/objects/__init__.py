"""What each kind of shared object means: pure state machines, one family per kind of backend.

``kinds`` is the table of them all; ``base`` says what a model is and what ``Rules`` of a backend
are.
"""

from __future__ import annotations

from tracelock.objects.base import PARKED, Model, Rules, frozen
from tracelock.objects.kinds import KINDS, VARIABLE, make_model, make_models

__all__ = [
    "KINDS", "PARKED", "VARIABLE", "Model", "Rules", "frozen", "make_model", "make_models",
]  # fmt: skip

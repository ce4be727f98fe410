"""Calls and returns of a run, and whether some order of the calls explains them.

``recording.History`` keeps what was called and what came back; a model (``models``) says what a
call comes to when it is made alone; ``checking`` looks for an order. Nothing here knows an engine:
histories may come from controlled schedules, from free runs, or from a file.
"""

from __future__ import annotations

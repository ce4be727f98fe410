"""Does a test notice it when a lock is missing? Each lock region of the code under test is changed,
one at a time, and the test is searched.

``regions`` finds where locks are held, ``mutations`` changes that, ``steps`` does both for
scenarios. ``trying`` asks about the original and each mutant within a time: ``processes`` starts
the process of each, ``child`` is what runs there (for tests: ``pytest_plugin/teeth``),
``scenarios`` needs none. ``results``: what became of them.
"""

from __future__ import annotations

from tracelock.teeth.results import MutantResult as MutantResult
from tracelock.teeth.results import Teeth as Teeth
from tracelock.teeth.trying import teeth as teeth

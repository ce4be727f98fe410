"""Named by ``-p`` where the trace of a mutant is replayed, of the code under a test: the change is
made again before anything of the tests is imported."""

from __future__ import annotations

import pytest

from tracelock.errors import TracelockError
from tracelock.teeth.replayed import mutated
from tracelock.trace import load_trace


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Change the module of the mutant."""
    try:
        mutated(load_trace(early_config.known_args_namespace.tracelock_replay))
    except TracelockError as error:
        raise pytest.UsageError(str(error)) from None

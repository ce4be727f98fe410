"""Hypothesis' state machines, run by several workers at once."""

from tracelock.stateful.running import (
    run_state_machine_concurrently as run_state_machine_concurrently,
)

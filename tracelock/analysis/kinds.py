"""The closed list of what a finding can be: its stable word, and what it means in one sentence."""

from __future__ import annotations

from typing import Final

__all__ = ["KINDS"]

#: ``Finding.kind`` -> what it says. The words are part of the JSON format and do not change. The
#: order is that in which findings of one severity are told: what explains most comes first.
KINDS: Final[dict[str, str]] = {
    # --- somebody waits for ever
    "deadlock": "workers wait for each other in a circle, each holding what the next one needs",
    "self-deadlock": "a worker asks for a lock that it holds itself and that is not re-entrant",
    "abandoned-lock": "a worker ended, died or was cancelled while it held a lock",
    "lost-wakeup": "a signal came when nobody waited yet, or went to another waiter",
    "missing-signal": "a worker waits for a signal, item or party that nobody gives",
    "broken-barrier": "a barrier was given up because somebody ran out of time at it",
    # --- shared variables
    "lost-update": "between a worker's read and its write another writes, and that is overwritten",
    "check-then-act": "what a worker checked may have changed by the time it acts on it",
    "atomicity-violation": "an access comes into the middle of another worker's critical section",
    "aba": "a compare-and-exchange found the expected value, which had been another in between",
    "inconsistent-locks": "accesses to one variable are guarded by different locks",
    "data-race": "two accesses to one variable, one a write, that nothing keeps apart",
    "order-violation": "nothing decides which of two accesses comes first, and a check needs one",
    # --- what another schedule may bring
    "lock-order": "locks are taken in orders that make a circle: a deadlock in another schedule",
    "held-while-waiting": "a lock is held across a wait, a sleep or an await",
    # --- locks used in a strange way
    "release-by-another": "a worker releases a lock that another worker took",
    "bad-release": "a lock or permit is released that was not held",
    "useless-lock": "a lock protects nothing that more than one worker uses",
    # --- time
    "timeout-only": "a wait got on by nothing but its timeout",
    "starvation": "a worker never got a lock that others got again and again",
    "unfair-handover": "a lock went to a newcomer, or back to its holder, past one who waited",
    "contention": "workers spent time waiting for a lock",
    # --- how the run ended, where nothing above says it
    "worker-error": "a worker ended with an exception",
    "failed-check": "an assertion or invariant of the scenario did not hold",
    "crash": "a worker died without unwinding",
    "unfinished": "the run was ended from outside or cut off: nothing is claimed beyond that",
}

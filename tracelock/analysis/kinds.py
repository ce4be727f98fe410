"""The closed list of what a finding can be: its stable word, and what it means in one sentence."""

from __future__ import annotations

from typing import Final

__all__ = ["CURES", "KINDS"]

#: ``Finding.kind`` -> what it says. The words are part of the JSON format and do not change. The
#: order is that in which findings of one severity are told: what explains most comes first.
KINDS: Final[dict[str, str]] = {
    # --- somebody waits for ever
    "deadlock": "workers wait for each other in a circle, each holding what the next one needs",
    "self-deadlock": "a worker asks for a lock that it holds itself and that is not re-entrant",
    "abandoned-lock": "a worker ended, died or was cancelled while it held a lock",
    "lost-wakeup": "a signal came when nobody waited yet, or went to another waiter",
    "missing-signal": "a worker waits for a signal, item or party that nobody gives",
    "await-with-lock": "a task awaits while it holds a lock that stops the thread of its loop",
    "cleared-event": "an event is cleared by one who has not seen that it was set again",
    "swallowed-cancellation": "a task was cancelled, and went on as if it had not been",
    "never-awaited": "a task was started and nobody waited for its end",
    "broken-barrier": "a barrier was given up because somebody ran out of time at it",
    # --- databases
    "open-transaction": "a task awaits in the middle of a transaction",
    "database-locked": "a statement was refused for good because of what another connection holds",
    "database-lost-update": "what a transaction wrote is overwritten by one that had not read it",
    "write-skew": "two transactions each change what the other has read before",
    "stale-read": "a transaction writes on the ground of what another one has changed since",
    # --- files
    "not-synced": "what a crash of the machine has lost was made, and nothing had synced it",
    # --- the network
    "short-read": "a read gave less than was sent, and that was taken for a whole message",
    "network-fault": "a fault that a network may have at any time is not stood",
    # --- shared variables
    "lost-update": "between a worker's read and its write another writes, and that is overwritten",
    "check-then-act": "what a worker checked may have changed by the time it acts on it",
    "atomicity-violation": "an access comes into the middle of another worker's critical section",
    "unchecked-wait": "what was checked before a wait is relied on after it without another check",
    "check-outside-lock": "a check is made before the lock is taken under which it is acted on",
    "exception-in-section": "an exception left a locked section with half of its work done",
    "interference": "another worker came in between two steps that belong together",
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

#: ``Finding.kind`` -> what to change, in one sentence, where the finding does not know better.
CURES: Final[dict[str, str]] = {
    "deadlock": "take the locks in the same order everywhere",
    "self-deadlock": "use an `RLock`, or split off a part that expects the lock to be held",
    "abandoned-lock": "take the lock with `with`, which releases it on every way out",
    "lost-wakeup": "check the state with the lock held and wait in a `while` loop, or `wait_for`",
    "missing-signal": "signal on every way through the code that ends what is waited for",
    "await-with-lock": "use the lock of the loop's library (`async with asyncio.Lock()`), or "
    "release the lock before the `await`",
    "cleared-event": "clear the event before the state is looked at, not after it",
    "swallowed-cancellation": "raise `CancelledError` again after the clean-up",
    "never-awaited": "await the task before its result is needed",
    "broken-barrier": "make the number of parties that of the workers that come",
    "database-locked": "begin transactions that write with `BEGIN IMMEDIATE`, and end them soon",
    "open-transaction": "end the transaction before the `await`, or read and write after it",
    "database-lost-update": "read and write in one transaction that begins with `BEGIN "
    "IMMEDIATE`, or let the statement compute (`SET n = n + 1`)",
    "write-skew": "read and write in one transaction that begins with `BEGIN IMMEDIATE`",
    "stale-read": "read and write in one transaction that begins with `BEGIN IMMEDIATE`",
    "not-synced": "call `os.fsync` on the file, or on its directory, before what relies on it",
    "short-read": "read until the message is whole: up to its end mark, or as many bytes as its "
    "length says",
    "network-fault": "do what is right whether or not the other end has got the message",
    "lost-update": "hold one lock from the read to the write",
    "check-then-act": "hold one lock from the check to what relies on it",
    "atomicity-violation": "take the same lock at every access",
    "unchecked-wait": "use `while` instead of `if` around the `wait`, or `wait_for`",
    "check-outside-lock": "check with the lock held",
    "exception-in-section": "undo the change in an `except`",
    "interference": "hold one lock from the first of the two steps to the last",
    "aba": "compare and exchange a version number together with the value",
    "inconsistent-locks": "choose one lock and hold it at every access",
    "data-race": "guard every access with one lock, or make one wait for the other",
    "order-violation": "make the second wait for the first",
    "lock-order": "take the locks in the same order everywhere",
    "held-while-waiting": "wait before the lock is taken, or after it is released",
    "release-by-another": "let the worker that took the lock release it, with `with`",
    "bad-release": "release it in one place only, best with `with`",
    "useless-lock": "hold it where what it guards is used, or take it away",
    "timeout-only": "make sure that somebody signals or releases what is waited for",
    "starvation": "wait for the lock instead of trying, or hand the turn over by a queue",
    "unfair-handover": "do not rely on the order of waiters: hand the turn over by a queue",
    "contention": "do less with the lock held",
    "worker-error": "follow the events before it (`tracelock show`)",
    "failed-check": "follow the events before it (`tracelock show`)",
    "crash": "keep what others need out of the hands of a process that may die",
    "unfinished": "run it with a larger bound",
}

"""What the tour tells: one concept after the other, each with scenarios that show it. One table.

What is said here holds whatever a run does; verdicts, schedules and reasons come from runs that
``showing`` makes. Imports nothing of substance: shells complete the names.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Concept(NamedTuple):
    """One page of the tour.

    ``name``: for the command line; ``text``: what it is about, a paragraph an entry;
    ``scenarios``: those of the package that show it, each with its code and verdicts; ``runs``: of
    which of them a run is shown; ``go_on``: commands with which to go on. ``fewer``: what is
    replaced in the text of the scenarios so that all schedules of them can be tried.
    """

    name: str
    title: str
    text: tuple[str, ...]
    scenarios: tuple[str, ...]
    runs: tuple[str, ...]
    go_on: tuple[str, ...]
    fewer: tuple[tuple[str, str], ...] = ()


CONCEPTS: Final = (
    Concept(
        "race", "A race: two workers change one variable",
        ("`counter = counter + 1` is a read and a write. If the other worker comes between the "
         "two, both read the same value, both write the same value, and one addition is lost.",
         "Threads and processes may be stopped between any two steps. A task of asyncio or trio "
         "goes on until it waits for something, so there nobody comes between."),
        ("unlocked_counter",), ("unlocked_counter",),
        ("tracelock explore @unlocked_counter", "tracelock atomic 'counter += 1'"),
    ),
    Concept(
        "lock", "A lock: one at a time",
        ("Only one worker at a time can hold a lock; another one that asks for it waits until it "
         "is released. The read and the write stand under the lock together, so nobody can come "
         "between them any more.",
         "A lock protects nothing by itself: it helps if everybody who touches the variable takes "
         "the same one."),
        ("locked_counter",), ("locked_counter",),
        ("tracelock explore @locked_counter --all",
         "tracelock export @locked_counter --as asyncio"),
    ),
    Concept(
        "blocking", "Blocking, not waiting at all, and giving up",
        ("`acquire()` waits as long as it takes. `acquire(blocking=False)` never waits and says "
         "whether it got the lock; with a timeout it waits so long at most. Who did not get it "
         "must not touch what it guards, and must not release it."
         ,
         "Here the run is a controlled one: its time is virtual, and ten seconds take none. In the "
         "table below, somebody gave up."),
        ("timed_acquire", "try_acquire"), ("timed_acquire",),
        ("tracelock explore @timed_acquire --clock adversarial",
         "tracelock run @try_acquire --strategy random --runs 200 --no-trace"),
    ),
    Concept(
        "release", "Released by another",
        ("A plain lock of threading, multiprocessing or asyncio may be released by somebody who "
         "does not hold it: it knows no owner. trio's lock knows its owner and refuses. Code that "
         "hands a lock on in this way wants a semaphore or an event.",),
        ("release_by_another",), ("release_by_another",),
        ("tracelock compare @release_by_another --seconds 5",
         "tracelock explore @release_by_another --backend trio"),
    ),
    Concept(
        "order", "The order of those who wait",
        ("First come, first served? Locks of asyncio and trio are handed to whoever has waited "
         "longest. Locks of threads and processes are free for anybody once they are released, and "
         "who has just released one may well get it again at once.",),
        ("lock_fairness", "starvation"), ("lock_fairness",),
        ("tracelock compare @lock_fairness --seconds 5", "tracelock explore @starvation"),
    ),
    Concept(
        "loop", "The lock inside the loop, or around it",
        ("Both are right, and nothing is lost. Inside, the lock is taken and released in each "
         "round: others get on in between, and each round pays for it. Around the loop it is taken "
         "once: that is quick, and everybody else waits for the whole loop.",
         "All schedules are tried with two rounds instead of a hundred thousand. What it costs at "
         "full length is measured by the last command."),
        ("counter_each_round", "counter_whole_loop"), ("counter_each_round", "counter_whole_loop"),
        ("tracelock compare @counter_each_round --native --seconds 30",),
        (("100000", "2"), ("200000", "4")),
    ),
    Concept(
        "processes", "Processes: nothing is shared but what is said to be",
        ("Each process has its own memory; what is to be shared is put into shared memory, and its "
         "lock is one of the operating system. So the races are those of threads. What is new: a "
         "process can be killed, and then nobody releases what it held.",),
        ("crash_holding_lock",), ("crash_holding_lock",),
        ("tracelock explore @unlocked_counter --backend multiprocessing",
         "tracelock compare @crash_holding_lock --seconds 5"),
    ),
    Concept(
        "deadlock", "Deadlock, and three cures",
        ("Two workers take the same two locks in opposite order. Once each has one, each waits for "
         "the other for ever.",
         "The cures: take the locks in one order everywhere; ask for the second with a timeout, "
         "and give the first one back if that is over; or have one lock for both."),
        ("deadlock_ab_ba", "deadlock_lock_order", "deadlock_timeout", "deadlock_one_lock"),
        ("deadlock_ab_ba", "deadlock_timeout"),
        ("tracelock explore @deadlock_ab_ba", "tracelock explore @philosophers"),
    ),
    Concept(
        "with", "Context managers: released whatever happens",
        ("`with lock:` releases the lock however its block ends: at its end, by an exception, by a "
         "cancellation. Between `acquire()` and `release()` an exception or a cancellation skips "
         "the release, and who asks for the lock next waits for ever.",),
        ("failure_inside_with", "cancelled_lock_holder", "cancelled_lock_holder_with"),
        ("failure_inside_with", "cancelled_lock_holder"),
        ("tracelock explore @cancelled_lock_holder --backend asyncio",
         "tracelock explore @cancelled_lock_holder_with --backend trio"),
    ),
    Concept(
        "rlock", "RLock: taken again by who has it",
        ("A function that holds a lock calls another one that takes it, too. With a plain lock it "
         "waits for itself for ever (trio notices). An RLock knows its owner, lets it in again, "
         "and is free when it was released as often. asyncio and trio have none.",),
        ("rlock_reentry", "self_deadlock"), ("self_deadlock", "rlock_reentry"),
        ("tracelock explore @self_deadlock", "tracelock explore @rlock_reentry"),
    ),
    Concept(
        "semaphore", "Semaphore: so many at a time",
        ("A semaphore with two permits lets two workers in; the third waits for a permit. It has "
         "no owner: one may take a permit and another give it back. A bounded one raises where "
         "more is given back than was taken.",),
        ("semaphore_limit", "bounded_semaphore_over_release"), ("semaphore_limit",),
        ("tracelock explore @semaphore_limit --backend trio",
         "tracelock explore @bounded_semaphore_over_release"),
    ),
    Concept(
        "atomic", "Atomic operations: nothing can come between",
        ("Where the read and the write are one indivisible step, no lock is needed. Hardware and "
         "databases have such steps. Python has few of them: which ones, and on which "
         "interpreters, is what `tracelock atomic` says.",),
        ("atomic_update",), ("atomic_update",),
        ("tracelock atomic 'd[k] += 1'", "tracelock atomic --list"),
    ),
    Concept(
        "cas", "Compare-and-swap, and the ABA problem",
        ("Read, compute, and write only if the variable still has the value that was read; else "
         "try again. Nobody waits for anybody: who has to try again was overtaken by somebody who "
         "got on.",
         "It compares values, not histories. If the value went from A to B and back to A, it "
         "notices nothing, and what it took for unchanged is not."),
        ("cas_counter", "aba"), ("cas_counter", "aba"),
        ("tracelock explore @cas_counter --all", "tracelock explore @aba"),
    ),
    Concept(
        "pi", "Pi: how it should look",
        ("Four workers each sum a quarter of the Leibniz series, 4 - 4/3 + 4/5 - ..., by "
         "themselves, and add their part to the total under a lock, once. Long work outside of the "
         "lock, short work inside.",),
        ("pi",), ("pi",),
        ("tracelock compare @pi --native --seconds 20",
         "tracelock run @pi --backend multiprocessing --no-trace"),
    ),
)  # fmt: skip

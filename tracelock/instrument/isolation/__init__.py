"""Schedules in forked processes, which may die, hang, or be left in disorder.

``Isolation`` is what an exploration hands its schedules to. It runs them in this process, or each
batch of them in a forked one (``child``) that sends back what its schedules came to and what was
learnt in them (``carrying``). What ends badly there is thrown away with the process.

When they run apart: ``always`` and ``never`` say so. ``auto`` runs them in this process: that is
as fast as can be, and whoever calls ``explore`` with functions of his own may look afterwards at
what they have left in his objects, which would stay as they were; so would what coverage counts,
and a debugger could not be entered. What ends a process from Python (``os._exit``, a signal to
itself) ends the schedule alone there, see ``processes.dying``. ``auto`` goes over to forked
processes where that is not enough: from the start where the program's own modules call C functions
by ``ctypes`` or ``cffi``, or a trace ends with the death of its process, and later where a worker
got stuck in C and had to be left behind.

A process in which threads are alive that are not ours is not forked: in the copy they would be
gone, with whatever they held. That a worker is stuck in C is claimed as a failure only by
``always``, where it waits there and nobody else could go on: else it may wait for what another one
holds, who cannot go on as long as it does not, or for something that takes its time.
"""

from __future__ import annotations

"""Schedules in forked processes, which may die, hang, or be left in disorder.

``Isolation`` is what an exploration hands its schedules to. It runs them in this process, or each
batch of them in a forked one (``child``) that sends back what its schedules came to and what was
learnt in them (``carrying``). What ends badly there is thrown away with the process.

When they run apart: ``always`` and ``never`` say so. ``auto`` runs them in this process: that is
as fast as can be, and whoever calls ``explore`` with functions of his own may look afterwards at
what they have left in his objects, which would stay as they were; so would what coverage counts,
and a debugger could not be entered. It goes over to forked processes where that is not enough,
as with a trace that ends with the death of its process. A process in which threads are alive that
are not ours is not forked: in the copy they would be gone, with whatever they held.
"""

from __future__ import annotations

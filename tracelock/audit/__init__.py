"""Is a class thread-safe? Small clients of it are explored, and what comes back is compared with
what the same calls come to one after the other.

``reading`` finds the calls of a class, ``planning`` the states to begin in, ``bench`` runs clients
under control, ``judging`` says whether what came back is explained, ``auditing`` goes through the
matrix of methods, ``program`` writes a client that went wrong as a program of its own.
"""

from __future__ import annotations

from tracelock.audit.auditing import audit as audit
from tracelock.audit.matrix import Audited as Audited

"""Sequential models: one class for each sort of thing, and the object itself."""

from __future__ import annotations

from tracelock.history.models.base import WAITS as WAITS
from tracelock.history.models.base import CallResult as CallResult
from tracelock.history.models.base import Sequential as Sequential
from tracelock.history.models.base import raises as raises
from tracelock.history.models.base import returns as returns
from tracelock.history.models.caches import LRUSpec as LRUSpec
from tracelock.history.models.caches import TTLSpec as TTLSpec
from tracelock.history.models.keyed import CounterSpec as CounterSpec
from tracelock.history.models.keyed import DictSpec as DictSpec
from tracelock.history.models.keyed import RegisterSpec as RegisterSpec
from tracelock.history.models.keyed import SetSpec as SetSpec
from tracelock.history.models.lines import DequeSpec as DequeSpec
from tracelock.history.models.lines import QueueSpec as QueueSpec
from tracelock.history.models.lines import StackSpec as StackSpec
from tracelock.history.models.locks import MutexSpec as MutexSpec
from tracelock.history.models.locks import SemaphoreSpec as SemaphoreSpec
from tracelock.history.models.objects import OfObject as OfObject

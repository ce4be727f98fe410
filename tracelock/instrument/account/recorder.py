"""Records what the workers of one schedule call, and which objects they share in doing so."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, CoroutineType, FrameType
from typing import Any, Final

from tracelock.instrument.accesses.places import owner_of
from tracelock.instrument.account.account import Account
from tracelock.instrument.account.assigned import AssignedNames
from tracelock.instrument.account.extensions import EXTENSION, UsedInC
from tracelock.instrument.account.known import (
    ASKING,
    ATOM,
    CHANCE,
    CONTAINER,
    CONTROLLED,
    GUARDED,
    HARMLESS,
    INSTANCE,
    LAZY,
    LRU,
    OPAQUE,
    OUTSIDE,
    PLAIN_CALLS,
    SHOWING,
    SHOWN,
    SIGNALLING,
    WAKING,
    Kinds,
    in_tuples,
    is_standard,
    root_of,
    trusted,
)
from tracelock.instrument.account.library_state import LibraryState
from tracelock.instrument.account.looks import (
    cache_name,
    cached_codes,
    is_fast,
    is_real_socket,
    locals_of,
    namespace,
    parameters,
    processor_time,
)
from tracelock.instrument.account.monitoring import Monitored, silent
from tracelock.instrument.account.profiling import CALL, OWN_FOLDER, Profile
from tracelock.instrument.account.reached import Reached, behind
from tracelock.instrument.account.settings import OF_ALL, SETTING, late, told_in_c
from tracelock.instrument.account.touched import TouchedObjects
from tracelock.instrument.contexts import contexts, identity, on_behalf
from tracelock.instrument.hub import Hub, Phase, ScheduleOver, get_ident

#: Constructors: their object is theirs alone.
_MAKING: Final = frozenset({"__init__", "__new__", "__post_init__", "__set_name__", "__del__"})
#: How often a thread is looked at, whether it does anything in Python.
_SAMPLES: Final = 10
_IN_C: Final = "what it keeps is kept in C"

_sleep: Final = time.sleep

OURS, LOOKED, TRUSTED, OTHER = range(4)


@dataclass(slots=True, eq=False)
class KnownCode:
    """What there is to know of a code object. ``where``: one of the four words above."""

    keep: CodeType
    where: int
    module: str
    names: tuple[str, ...] = ()  # of parameters and of the closure, where they are looked at
    globals: tuple[str, ...] = ()
    assigns: bool = False  # whether it is asked what it assigns of what all have
    making: bool = False
    sets: str = ""  # what it changes of the whole process


class CallRecorder:
    """The calls of one schedule after the other. ``looked``: whether the code of a module, in a
    file of this name, is looked into."""

    def __init__(self, hub: Hub, account: Account, looked: Callable[[str, str], bool]) -> None:
        self.hub = hub
        self.account = account
        self.looked = looked
        self.profile: Profile | Monitored = Profile(self._told, account.unseen)
        self.besides: Callable[[FrameType, int, Any], None] | None = None  # is told as well
        self.caches: list[Any] = []
        self._of_caches: tuple[int, list[tuple[CodeType, Any]]] = 0, []
        self.error: BaseException | None = None
        self.in_c = UsedInC()
        self._codes: dict[int, KnownCode] = {}
        self._globals: dict[str, frozenset[int]] = {}
        self._kinds = Kinds()
        self._touched = TouchedObjects(hub.names, account)
        self._assigned = AssignedNames(self._kinds)
        #: Set where a worker is to be ended from outside: an exception that is raised in a thread
        #: while it is in here would be lost.
        self.quit = False
        self._left: set[int] = set()
        self._seeded = False
        self._states: set[Any] = set()
        self._chance: set[str] = set()
        self._cached: dict[int, tuple[CodeType, Any]] = {}
        self._uses: list[tuple[Any, int]] = []
        self._random: Any = None
        self._library = LibraryState(looked)
        self._reached = Reached(self._kinds, hub.names, self._touched)

    # --- one schedule ------------------------------------------------------------------------
    def begin(self, story: bool = True) -> None:
        """A schedule begins that is to be recorded; ``story``: what people call things, too."""
        self.quit = self._seeded = False
        self._left, self._chance = set(), set()
        self._random = getattr(sys.modules.get("random"), "_inst", None)
        if len(self.caches) != self._of_caches[0]:
            self._of_caches = len(self.caches), cached_codes(self.caches)
        self._cached = {identity(code): (code, cache) for code, cache in self._of_caches[1]}
        self._uses = [(cache, cache.cache_info()[0]) for _, cache in self._of_caches[1]]
        names: Any = self.hub.names
        plain = type(names).name_contents if story else type(names).name_container

        def name_contents(variable: Any, value: object, worker: Any) -> None:
            opaque = self._kinds.of(value) == OPAQUE
            for each in (value, *behind(value)) if opaque else in_tuples(value):
                if not worker.uncontrolled:
                    self._touch(each, worker.number)
            plain(names, variable, value, worker)

        names.name_contents = name_contents
        names.let_die = self._reached.letting_die(self.profile.aside)

    def end(self, unseen: dict[str, str] | None) -> None:
        """It is over: what was used by two workers without being seen goes into ``unseen``, if two
        workers could be in the middle of something at a time."""
        for name in ("name_contents", "let_die"):
            vars(self.hub.names).pop(name, None)
        if unseen is not None:
            self._shared(unseen)
        self.account.chance |= self._chance
        if len(self._states) > 1:
            self.account.chance.add("random")
        self.in_c.end()
        self._touched.clear()
        self._uses, self._cached, self._codes, self._globals = [], {}, {}, {}
        self._kinds = Kinds()
        self._assigned = AssignedNames(self._kinds)
        self._reached = Reached(self._kinds, self.hub.names, self._touched)
        if self.error is not None:
            self.account.unseen["calls"] = f"they could not be recorded: {self.error!r}"

    def _shared(self, unseen: dict[str, str]) -> None:
        known = self._touched.known.values()
        unseen |= dict(self._library.changed(self.hub.names, self.in_c.ran, known))
        for module, why in self._reached.told():
            unseen.setdefault(module, why)
        for touched in self._touched.shared():
            unseen.setdefault(touched.of, touched.why)
        for module, why in self._assigned.told(self.hub.names):
            unseen.setdefault(module, why)
        for cache, hits in self._uses:
            # who has filled it is known, and not who has found something in it
            if identity(cache) in self._touched.known and cache.cache_info()[0] > hits:
                unseen.setdefault(cache_name(cache), _IN_C)

    @contextmanager
    def throughout(self) -> Iterator[None]:
        """While this is entered every schedule is recorded, on threads that no other ends."""
        with Monitored(self._told, self.account.unseen, silent, self.besides is None) as monitored:
            plain = self.profile
            self.profile = monitored if monitored.usable else plain
            try:
                yield
            finally:
                self.profile = plain

    def watch(self, run: Callable[[], object]) -> None:
        """Run ``run``, and record what it calls on this thread."""
        profile = self.profile  # as long as it is on
        profile.on()
        try:
            run()
        finally:
            profile.off()

    def ended(self, ident: int) -> bool:
        """A thread is to be ended from outside: whether it ends by itself, here or when a call
        into C comes back. What is raised in a thread while it is in here would be lost."""
        self.quit = True
        begun = processor_time(ident)
        for _ in range(_SAMPLES):
            _sleep(0.002)
            if ident in self._left:
                return True
        return begun is not None and processor_time(ident) == begun  # it waits, in C

    # --- calls -------------------------------------------------------------------------------
    def _told(self, frame: FrameType, what: int, function: Any) -> None:
        if self.besides is not None:
            self.besides(frame, what, function)
        worker: Any = contexts.get(get_ident())
        if worker is None or worker.uncontrolled or self.error is not None:
            return
        if self.quit:
            self._left.add(get_ident())
            Profile.leave(ScheduleOver)
            return
        if self.hub.phase is not Phase.RUN:
            return
        try:
            if what == CALL:
                self._entered(frame, worker.number)
            else:
                self._called(frame, function, worker.number)
        except Exception as error:
            self.error = error

    def _drawing(self) -> None:
        """The generator of the module ``random`` is used: what it gives is the same in all
        schedules if it is seeded in each, and then has the same state now."""
        if not self._seeded:
            self._states.add(self._random.getstate())
            self._seeded = True  # what is drawn later follows

    def _code(self, frame: FrameType) -> KnownCode:
        code = frame.f_code
        known = self._codes.get(identity(code))
        if known is None:
            known = self._codes[identity(code)] = self._about(frame)
        return known

    def _about(self, frame: FrameType) -> KnownCode:
        code = frame.f_code
        if code.co_filename.startswith(OWN_FOLDER):
            return KnownCode(code, OURS, "tracelock")
        given = frame.f_globals.get("__name__")
        module = given if type(given) is str else "code of no module"
        names = parameters(code) if is_fast(code) else ()
        if self.looked(module, code.co_filename):
            self.in_c.runs(code, frame.f_globals)
            self.account.looked.add(module)
            return KnownCode(code, LOOKED, module, names, code.co_names, sets=late(code))
        sets = SETTING.get((module.removeprefix("_py_"), code.co_qualname), "")
        if trusted(module) or module.startswith("namedtuple_"):
            return KnownCode(code, TRUSTED, module, sets=sets)
        standard = is_standard(module)
        if not standard:
            self.in_c.runs(code, frame.f_globals)
        return KnownCode(
            code, OTHER, module, names,
            () if standard else code.co_names, not standard, code.co_name in _MAKING, sets,
        )  # fmt: skip

    def _serves(self, frame: FrameType, asks: bool = True) -> bool:
        """Whether this is code of the standard library that we call, or that shows what a failed
        assertion was about, or by which what is trusted asks what a class has."""
        there: FrameType | None = frame
        while there is not None:
            about = self._code(there)
            if about.where == OURS and identity(there.f_code) in on_behalf:
                there = there.f_back
                continue
            if about.where != OTHER or not is_standard(about.module):
                shows = about.where == OURS or about.module.startswith(SHOWING)
                return (shows or (asks and about.where == TRUSTED)) and there is not frame
            asks = asks and about.module == ASKING
            there = there.f_back
        return False

    def _our_own(self, frame: FrameType) -> bool:
        """Whether what is trusted was called by us, of our own accord."""
        while self._code(frame).where == TRUSTED and frame.f_back is not None:
            frame = frame.f_back
        return self._code(frame).where == OURS and identity(frame.f_code) not in on_behalf

    def _entered(self, frame: FrameType, worker: int) -> None:
        about = self._code(frame)
        cached = self._cached.get(identity(frame.f_code))
        if cached is not None:
            self._touch(cached[1], worker)
        if about.sets and not self._our_own(frame):
            self.account.unseen.setdefault(about.sets, OF_ALL)
        if about.where in (OURS, TRUSTED):
            return
        if about.where != LOOKED and self._serves(frame):
            return
        unseen, module = about.where == OTHER, about.module
        if unseen:
            self.account.unlooked.add(module)
            if module == LAZY:  # the second to come finds another class
                self.account.unseen.setdefault(module, "modules are loaded at first use")
        held = locals_of(frame) if about.names or about.assigns else {}
        if about.names:
            values = [held.get(name) for name in about.names]
            if about.making and values:
                values[0] = None
            own = self._own(module) if unseen and is_standard(module) else ()
            for value in values:
                if identity(value) not in own:
                    self._given(value, worker, module if unseen else "")
        if about.globals:
            there = frame.f_globals
            for name in about.globals:
                if name in there:
                    self._given(there[name], worker, module if unseen else "")
        if about.assigns:
            for kept in self._assigned.entered(frame, held, module, worker):
                self._touch(kept, worker, module)

    def _own(self, module: str) -> frozenset[int]:
        """What a package of the standard library holds in its globals, by identity."""
        root = root_of(module)
        known = self._globals.get(root)
        if known is None:
            known = self._globals[root] = frozenset(
                identity(value)
                for name, one in list(sys.modules.items())
                if root_of(name) == root
                for value in list(namespace(one).values())
            )
        return known

    def _given(self, value: object, worker: int, module: str) -> None:
        """KnownCode of ``module`` ("": code that was looked into) has this object."""
        if not module and identity(type(value)) in self._kinds.silent:
            return
        if type(value) is dict:
            value = owner_of(value) or value  # ``vars(obj)``
        kind = self._kinds.of(value)
        if value is self._random:
            return  # it is told when something is drawn
        if kind == OPAQUE:
            self._touch(value, worker)
        elif module and kind in (CONTAINER, INSTANCE):
            self._touch(value, worker, module)
        in_c = kind not in (ATOM, GUARDED) and self.in_c.has(value)
        if not in_c and kind != OPAQUE and type(value) not in (dict, tuple):
            self._kinds.silent.add(identity(type(value)))
        for one in in_tuples(value):
            self._touch(one, worker)
        if module:
            self._reached.add(value, worker, module)

    def _called(self, frame: FrameType, function: Any, worker: int) -> None:
        """A function that is written in C is called from ``frame``."""
        caller = self._code(frame)
        if caller.where == OURS and identity(frame.f_code) in on_behalf and frame.f_back:
            frame = frame.f_back
            caller = self._code(frame)
        if caller.where == OURS or self._serves(frame):
            return
        owner, name = function.__self__, function.__name__
        if owner is None or type(owner) is type(os):
            module = function.__module__ if owner is None else owner.__name__
            self._function(caller, module or "builtins", name, frame)
            return
        if isinstance(owner, type):
            told = CHANCE.get((owner.__mro__[-2].__name__ if len(owner.__mro__) > 1 else "", name))
            told = told or CHANCE.get((owner.__name__, name))
            if told is not None and not getattr(function, "__module__", None):
                self._chance.add(told)
            return
        if owner is self._random:
            if name == "seed":
                self._seeded = True
            else:
                self._drawing()
            return
        self._method(caller, owner, worker, frame)

    def _method(self, caller: KnownCode, owner: object, worker: int, frame: FrameType) -> None:
        kind = OPAQUE if type(owner) is CoroutineType else self._kinds.of(owner)
        if kind in (ATOM, GUARDED):
            return
        of = root_of(type(owner).__module__ or "")
        real = is_real_socket(self.hub.wings.get("network"), owner)
        if real or (real is None and (type(owner).__module__ in OUTSIDE or of in OUTSIDE)):
            waking = frame.f_code.co_name in WAKING or "wakeup_socketpair" in caller.module
            if (not waking and of not in ("select", "fcntl")) or caller.where != TRUSTED:
                self.account.outside.add(SHOWN.get(of, of))
        elif kind == OPAQUE:
            if caller.where != TRUSTED:
                for one in (owner, *behind(owner)):
                    self._touch(one, worker)
        elif caller.where == OTHER and kind in (CONTAINER, INSTANCE):
            self._touch(owner, worker, caller.module)
        package = self.in_c.has(owner)
        if package and caller.where != TRUSTED:  # it may use all that it is given
            self.account.unseen.setdefault(package, EXTENSION)

    def _function(self, caller: KnownCode, module: str, name: str, frame: FrameType) -> None:
        root = root_of(module)
        told = CHANCE.get((root, name))
        if told is not None:
            if caller.module != "tempfile":
                self._chance.add(told)
            return
        if caller.where == TRUSTED:
            return  # its own table of patches says what is under control there
        known = told_in_c(root, name, caller.where == LOOKED or not is_standard(caller.module))
        if known is not None:
            self.account.unseen.setdefault(*known)
        elif (root, name) in SIGNALLING:
            self.account.outside.add(f"{SHOWN.get(root, root.lstrip('_'))}.{name}")
        elif root in OUTSIDE and name not in PLAIN_CALLS:
            self.account.outside.add(SHOWN.get(root, root))
        elif root in ("posix", "nt"):
            if name not in PLAIN_CALLS and caller.where == LOOKED:
                self.account.outside.add(f"os.{name}")
        elif root not in HARMLESS and root not in CONTROLLED:
            why = "it is written in C" if is_standard(root) else EXTENSION
            self.account.unseen.setdefault(SHOWN.get(root, root), why)
            self.in_c.calls(module)

    # --- objects -----------------------------------------------------------------------------
    def _touch(self, obj: object, worker: int, module: str = "") -> None:
        """``obj`` is used by code of ``module`` that is not looked into; "": its own code, in C."""
        if identity(obj) not in self._touched.known:
            if "_wrapper" in namespace(obj):
                return  # of multiprocessing.sharedctypes, which is under control
            if type(obj) is LRU:
                function: Any = getattr(obj, "__wrapped__", None)
                if is_standard(getattr(function, "__module__", None) or ""):
                    return
                of, why = cache_name(obj), _IN_C
            elif module:
                name = type(obj).__name__
                of, why = module, f"its code uses a {name} that several workers share"
            else:
                of, why = type(obj).__name__, "several workers share one, whose state is kept in C"
            self._touched.add(obj, of, why)
        self._touched.known[identity(obj)].by |= 1 << worker

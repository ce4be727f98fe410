"""Instrumented modules: rewritten as they are imported, or in place when they already are.

Everything is undone at the end: each function has its own code object back, also one
that a rewritten function created meanwhile.
"""

from __future__ import annotations

import gc
import hashlib
import importlib
import sys
from _weakref import ref
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Final, Self

from tracelock.errors import UsageError
from tracelock.instrument import callers
from tracelock.instrument.accesses.by_type import forget
from tracelock.instrument.accesses.plans import forget_changes
from tracelock.instrument.contexts import identity, out_of_control
from tracelock.instrument.live_objects import LiveObjects, every_object, functions_with
from tracelock.instrument.rewrite.changing import change_of
from tracelock.instrument.rewrite.codes import (
    Compiled,
    Rewritten,
    compiled,
    pairs_of,
    pytest_loader,
)
from tracelock.instrument.rewrite.importing import RewritingFinder
from tracelock.instrument.rewrite.sites import (
    Sites,
    globals_of,
    loaded,
    source_path,
    stable_file,
)
from tracelock.instrument.rewrite.standard import never, refuse, used_by

if TYPE_CHECKING:
    from importlib.abc import Loader

#: Sources rewritten so far: a test run instruments the same libraries again and again.
_compiled: dict[tuple[str, str, str, str, bool], Compiled] = {}
_MOST_SOURCES = 1024
_OPTIMIZED: Final = 1  # inspect.CO_OPTIMIZED: its local variables have places


class Instrumentation:
    """The modules whose shared accesses are scheduling points.

    ``modules`` are dotted names; each stands for the module and all below it. ``owns``: whether a
    module that is imported later is one as well, by its name and its source file; it is added to
    ``modules`` then. As a context manager it is installed inside the block. ``notes`` says in plain
    sentences what could not be rewritten and why. Raises UsageError for a name that is no module's.
    """

    def __init__(
        self, modules: Sequence[str], owns: Callable[[str, str | None], bool] | None = None
    ) -> None:
        for name in modules:
            if not name or not all(part.isidentifier() for part in name.split(".")):
                raise UsageError(f"instrument: {name!r} is not the name of a module")
            if name.partition(".")[0] == "tracelock":
                raise UsageError("instrument: tracelock cannot watch itself")
        self.modules = list(modules)
        self.owns = owns
        #: Modules of the standard library that these use, see ``standard``.
        self.standard: tuple[str, ...] = ()
        self.sites = Sites()
        self.notes: list[str] = []
        #: Modules some of whose code could not be rewritten.
        self.blind: set[str] = set()
        #: Whether some module may notice when objects die.
        self.mortal = False
        self._asked: tuple[tuple[str, ...], tuple[str, ...]] = (), ()
        self._looked: dict[tuple[str, str], bool] = {}
        #: Stable file name -> ``sha256:<hex>`` of its source, of each module rewritten so far.
        self.digests: dict[str, str] = {}
        # By identity: functions of two files may be equal where they have no accesses.
        self._back: dict[int, tuple[CodeType, CodeType]] = {}
        self._changed: list[tuple[ref[FunctionType], CodeType]] = []
        self._finder: RewritingFinder | None = None

    # --- what others ask ---

    def covers(self, name: str) -> bool:
        """Whether the module ``name`` is one of those asked for, or below one."""
        whole, below = self._whole()
        return name in whole or (name.startswith(below) and not never(name))

    def _whole(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The modules asked for, and how the names of those below them begin."""
        whole, below = self._asked
        if len(whole) != len(self.modules) + len(self.standard):  # others since
            whole = (*self.modules, *self.standard)
            self._asked = whole, below = whole, tuple(f"{each}." for each in whole)
        return whole, below

    def covered(self) -> list[tuple[str, ModuleType]]:
        """The modules of which ``covers`` is true that there are, and their names."""
        whole, below = self._whole()
        names = [
            name for name in list(sys.modules)
            if name in whole or (name.startswith(below) and not never(name))
        ]  # fmt: skip
        return [(name, module) for name in names if (module := loaded(name)) is not None]

    def looked(self, name: str, filename: str) -> bool:
        """Whether the code of a module, in a file of this name, is looked into: not what a module
        makes by ``exec``, nor where no source, or another one, is there."""
        known = self._looked.get((name, filename))
        if known is None:
            made = filename.startswith("<") and not filename.startswith("<frozen ")
            known = self._looked[name, filename] = (
                self.covers(name) and name not in self.blind and not made
            )
        return known

    # --- on and off ---

    def install(self, live: LiveObjects | None = None) -> None:
        """Rewrite what is imported, and watch for what will be. Does nothing twice."""
        if self._finder is not None:
            return
        self._finder = RewritingFinder(self)
        sys.meta_path.insert(0, self._finder)
        found = self.covered()
        # __main__ may have been imported a second time under its own name: one file, two modules.
        self.rewrite_loaded(found, live.functions_of if live else None)

    def look_into(self, names: Iterable[str]) -> None:
        """Further modules, which have been imported, are scheduling points from now on."""
        new = [name for name in names if not self.covers(name)]
        self.modules += new
        self._looked.clear()
        found = [(name, module) for name in new if (module := loaded(name)) is not None]
        if self._finder is None or not found:
            return
        functions = _every_function()
        for function in functions:  # created meanwhile, and frozen from now on
            pair = self._back.get(identity(function.__code__))
            if pair is not None:
                self._changed.append((ref(function), pair[1]))
        self.rewrite_loaded(found, lambda names: functions_with(functions, {*map(identity, names)}))

    def uninstall(self) -> None:
        """Undo ``install`` completely. Does nothing when not installed."""
        if self._finder is None:
            return
        sys.meta_path.remove(self._finder)
        self._finder = None
        for reference, code in self._changed:
            function = reference()
            if function is not None and identity(function.__code__) in self._back:
                function.__code__ = code
        self._changed.clear()
        for each in _functions():  # those that came into being meanwhile
            pair = self._back.get(identity(each.__code__))
            if pair is not None:
                each.__code__ = pair[1]
        self._back.clear()
        forget()
        forget_changes()

    def __enter__(self) -> Self:
        self.install()
        return self

    def __exit__(self, *exc: object) -> None:
        self.uninstall()

    # --- rewriting ---

    def rewrite_loaded(
        self,
        modules: Iterable[tuple[str, ModuleType]],
        functions: Callable[[Sequence[dict[str, Any]]], Iterable[FunctionType]] | None = None,
    ) -> None:
        """Give every live function of ``modules`` its rewritten code. ``functions`` gives those
        that have some globals."""
        of_globals: dict[int, tuple[str, Compiled, set[str]]] = {}
        wanted: list[dict[str, Any]] = []
        for name, module in modules:
            path = source_path(module)
            if path is None:
                names = globals_of(module)
                if names.get("__file__") is None and "__path__" in names:
                    continue  # a namespace package has no code of its own
                self.blind.add(name)
                self.notes.append(f"{name}: has no Python source, its accesses are not seen")
                continue
            filenames = {path, f"<frozen {name}>"}
            compiled_file = self._compile(name, path, path, pytest_loader(module))
            if compiled_file is not None:
                wanted.append(globals_of(module))
                of_globals[identity(globals_of(module))] = (name, compiled_file, filenames)
        if not of_globals:
            return
        refused: dict[str, list[str]] = {}
        if functions is None:
            each: Iterable[FunctionType] = functions_with(_functions(), of_globals)
        else:
            each = functions(wanted)
        for function in each:
            code = function.__code__
            name, compiled_file, filenames = of_globals[identity(function.__globals__)]
            done = compiled_file.done.get(identity(code))
            if done is not None:
                self._change(function, code, done)
                continue
            if identity(code) in self._back:
                continue
            if compiled_file.is_rewritten(code):
                continue  # by another that is installed around this one
            if not code.co_flags & _OPTIMIZED:
                continue  # the body of a class, which has run; some builds keep such functions
            new = compiled_file.replacement(code)
            if new is None or new.co_freevars != code.co_freevars:
                if code.co_filename in filenames or Path(code.co_filename).name == f"{name}.py":
                    refused.setdefault(name, []).append(code.co_qualname)
                continue
            pairs: list[tuple[CodeType, CodeType]] = []
            if new != code:  # there are accesses in it
                if new.co_filename != code.co_filename:
                    new = _renamed(new, code.co_filename)
                pairs = pairs_of(new, code)
            self._change(function, code, compiled_file.note(code, pairs))
        for name, left in refused.items():
            shown = ", ".join(sorted(set(left))[:5])
            more = len(set(left)) - 5
            self.blind.add(name)
            self.notes.append(
                f"{name}: its source is not what was compiled, these functions are left as they "
                f"are: {shown}{f' and {more} more' if more > 0 else ''}"
            )

    def _change(self, function: FunctionType, code: CodeType, done: Rewritten) -> None:
        """Give a function the code that was made of its own."""
        if done.pairs:
            self._back.update(zip(done.numbers, done.pairs, strict=True))
            self._changed.append((ref(function), code))
            function.__code__ = done.pairs[0][0]

    def _compile(
        self, name: str, path: str, filename: str, pytest_hook: object = None
    ) -> Compiled | None:
        file = stable_file(name, path)
        try:
            source = Path(path).read_bytes()
        except OSError as error:
            self.blind.add(name)
            self.notes.append(f"{name}: its source cannot be read ({error.strerror})")
            return None
        self.mortal = self.mortal or b"__del__" in source or b"weakref" in source
        change = change_of(filename)
        changed = b"" if change is None else change.label.encode()
        digest = f"sha256:{hashlib.sha256(source + changed).hexdigest()}"
        key = (file, filename, name, digest, pytest_hook is not None)
        known = _compiled.get(key)
        if known is None:
            try:
                known = compiled(source, filename, file, name, pytest_hook)
            except (SyntaxError, ValueError) as error:
                self.blind.add(name)
                self.notes.append(f"{name}: its source does not compile ({error})")
                return None
            if len(_compiled) >= _MOST_SOURCES:
                _compiled.clear()
            _compiled[key] = known
        self.sites.adopt(known.sites)
        self.digests[file] = digest
        return known

    def wanted(self, name: str, path: str | None) -> bool:
        """Whether the module of this name, with this source file, is to be rewritten as it is
        imported; it is one of ``modules`` then."""
        if self.covers(name):
            return True
        if self.owns is None or never(name) or not self.owns(name, path):
            return False
        self.modules.append(name)
        self._looked.clear()
        return True

    def load(self, module: ModuleType, loader: Loader) -> None:
        """Run the body of a module that is being imported, rewritten where that can be done."""
        name = module.__name__
        path = source_path(module)
        get_code = getattr(loader, "get_code", None)
        if path is None or get_code is None or pytest_loader(module) is not None:
            loader.exec_module(module)
            if path is not None:
                self.rewrite_loaded([(name, module)])
            return
        with out_of_control():  # the program does not read these files
            compiled_file = self._compile(name, path, path)
            plain = get_code(name)
        if compiled_file is None or plain is None or compiled_file.replacement(plain) is None:
            loader.exec_module(module)
            self.rewrite_loaded([(name, module)])
            return
        pairs = pairs_of(compiled_file.rewritten, plain)
        self._back.update((identity(pair[0]), pair) for pair in pairs)
        exec(compiled_file.rewritten, module.__dict__)


class Sources(Instrumentation):
    """What is instrumented, and what a trace says of it."""

    def import_all(self) -> None:
        """Import the modules. Raises UsageError for one that cannot be imported."""
        callers.clear()
        callers.shown.clear()
        for name in self.modules:
            refuse(name)
            if name == "__main__":
                continue
            try:
                importlib.import_module(name)
            except ImportError as error:
                raise UsageError(f"instrument: {name} cannot be imported: {error}") from error
        callers.shown.update(self.modules)
        self.standard = used_by(module for _, module in self.covered())

    def close(self) -> None:
        """Undo everything. Safe to call twice."""
        self.uninstall()
        callers.shown.clear()
        callers.clear()
        callers.created.clear()
        callers.called.clear()
        callers.held.clear()

    def of(self, ats: set[str]) -> tuple[dict[str, str], dict[str, str]]:
        """The digests of the files and the functions of these places."""
        functions = {at: name for at in sorted(ats) if (name := self.function(at)) is not None}
        files = {at.rpartition(":")[0] for at in ats}
        return {file: digest for file in sorted(files) if (digest := self.digest(file))}, functions

    def digest(self, label: str) -> str | None:
        """The digest of a file as it is now, by the name that it has in traces."""
        known = self.digests.get(label)
        path = None if known is not None else callers.path_of(label)
        return known if path is None else callers.digest(path)

    def changed(self, recorded: Mapping[str, str]) -> list[str]:
        """The files of a trace that are not what they were."""
        return [
            file
            for file, digest in recorded.items()
            if (now := self.digest(file)) is not None and now != digest
        ]

    def function(self, at: str) -> str | None:
        """The function that is at a place now."""
        return callers.functions.get(at) or self.sites.function(at)


def _functions() -> list[FunctionType]:
    return [each for each in every_object() if type(each) is FunctionType]


def _every_function() -> list[FunctionType]:
    """Those too that are frozen (see ``live_objects``), which are listed no other way."""
    frozen = gc.get_freeze_count() > 0
    gc.unfreeze()
    try:
        return _functions()
    finally:
        if frozen:
            gc.freeze()


def _renamed(code: CodeType, filename: str) -> CodeType:
    """``code`` as if compiled from ``filename`` (frozen modules have names of their own)."""
    constants = tuple(
        _renamed(each, filename) if isinstance(each, CodeType) else each for each in code.co_consts
    )
    return code.replace(co_filename=filename, co_consts=constants)

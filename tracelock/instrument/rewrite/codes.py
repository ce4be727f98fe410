"""Code objects of a source file: compiled as it is and rewritten, and paired up."""

from __future__ import annotations

import ast
import hashlib
import inspect
import warnings
from collections import defaultdict
from collections.abc import Iterator
from types import CodeType, ModuleType
from typing import Any, Final, NamedTuple

from tracelock.instrument.contexts import identity
from tracelock.instrument.rewrite import caching
from tracelock.instrument.rewrite.changing import change_of, note, with_calls
from tracelock.instrument.rewrite.sites import Site, Sites, globals_of
from tracelock.instrument.rewrite.trees import MARK

#: How often the functions of one file are kept in mind.
_RELOADED: Final = 8
#: ``types.coroutine`` marks a generator function's code after it was compiled.
_ADDED_LATER = inspect.CO_ITERABLE_COROUTINE


class Rewritten(NamedTuple):
    """What is done to functions with some ``code``: it is replaced by the first of these pairs of
    new and old code, the others are nested in it; none where it stays. ``numbers``: the identities
    of the new ones."""

    code: CodeType
    pairs: list[tuple[CodeType, CodeType]]
    numbers: list[int]


class Compiled:
    """One source file: ``plain`` and ``rewritten`` code, and which stands for which.

    ``new_of`` maps each code object of the plain file, by what it holds, to the rewritten one.
    ``done``: what was done to code that functions had so far, by its identity.
    """

    def __init__(self, plain: CodeType, rewritten: CodeType, sites: list[Site]) -> None:
        self.plain = plain
        self.rewritten = rewritten
        self.sites = sites
        self.done: dict[int, Rewritten] = {}
        self._new = {identity(code) for code in every_code(rewritten)}
        self.new_of: dict[CodeType, CodeType] = {}
        self.named, new = by_name(plain), by_name(rewritten)
        for key, codes in self.named.items():
            if len(codes) == len(new[key]):
                self.new_of.update(zip(codes, new[key], strict=True))

    def note(self, code: CodeType, pairs: list[tuple[CodeType, CodeType]]) -> Rewritten:
        """Keep in mind what is done to functions with this code."""
        if len(self.done) > _RELOADED * len(self.new_of):
            self.done.clear()  # the module was loaded again and again
        done = Rewritten(code, pairs, [identity(new) for new, _ in pairs])
        self.done[identity(code)] = done
        return done

    def is_rewritten(self, code: CodeType) -> bool:
        """Whether ``code`` is rewritten code of this file."""
        return identity(code) in self._new

    def replacement(self, code: CodeType) -> CodeType | None:
        """The rewritten form of a live code object, None if it is not of this source."""
        found = self.new_of.get(code)
        if found is not None:
            return found
        extra = code.co_flags & _ADDED_LATER
        if extra:
            found = self.replacement(code.replace(co_flags=code.co_flags & ~extra))
            return found and found.replace(co_flags=found.co_flags | extra)
        # Compiled by another optimisation level or build: the same function all the same if it
        # is the only one there and has the same lines and variables.
        candidates = self.named.get(_key(code), ())
        if len(candidates) == 1 and _outline(candidates[0]) == _outline(code):
            return self.new_of.get(candidates[0])
        return None


def pairs_of(new: CodeType, old: CodeType) -> list[tuple[CodeType, CodeType]]:
    """A code and what it was made of, and the same of what is nested in it: closures that are
    created meanwhile get the old code by the identity of theirs."""
    pairs = {identity(new): (new, old)}
    olds = by_name(old)
    for name, codes in by_name(new).items():
        for code in codes if name in olds else ():
            same = olds[name]
            pairs[identity(code)] = code, same.pop(0) if len(same) > 1 else same[0]
    return [*pairs.values()]


def _key(code: CodeType) -> tuple[str, int]:
    return code.co_qualname, code.co_firstlineno


def _outline(code: CodeType) -> tuple[object, ...]:
    lines = {line for _, _, line in code.co_lines() if line is not None}
    return code.co_varnames, code.co_freevars, code.co_flags, frozenset(lines)


def by_name(code: CodeType) -> dict[tuple[str, int], list[CodeType]]:
    """``code`` and all that is nested in it, by qualified name and first line."""
    found: dict[tuple[str, int], list[CodeType]] = defaultdict(list)
    for each in every_code(code):
        found[_key(each)].append(each)
    return found


def every_code(code: CodeType) -> Iterator[CodeType]:
    """``code`` and all that is nested in it, in the order of the source."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from every_code(constant)


def compiled(
    source: bytes, filename: str, file: str, name: str, pytest_hook: object = None
) -> Compiled:
    """``source`` both ways, from the disk where it is kept there.

    The arguments are those of ``_compile``, which raises SyntaxError where the source has one.
    """
    more = ""
    options: tuple[object, ...] = ()
    if pytest_hook is not None:
        import pytest

        passes = getattr(pytest_hook, "config", None)
        passes = passes is not None and passes.getini("enable_assertion_pass_hook")
        more, options = "-pytest", (pytest.__version__, bool(passes))
    path = None if change_of(filename) else caching.path_for(filename, more)
    key = caching.key_of(hashlib.sha256(source).digest(), filename, file, name, *options)
    kept = caching.read(path, key) if path and key else None
    if kept is None:
        kept = _compile(source, filename, file, name, pytest_hook)
        if path and key:
            caching.write(path, key, kept, filename)
    return Compiled(kept.plain, _with_objects(kept.marked, kept.objects), kept.sites)


def _compile(
    source: bytes, filename: str, file: str, name: str, pytest_hook: object = None
) -> caching.KeptCode:
    """Compile ``source`` both ways.

    ``filename`` is what tracebacks show, ``file`` the stable name in traces, ``name`` the
    module's. ``pytest_hook`` is pytest's loader if it rewrote the assertions of the module.
    Raises SyntaxError where the source has one.
    """
    from tracelock.instrument.rewrite.rewriting import rewrite

    tree = ast.parse(source, filename)
    change = change_of(filename)
    if change is not None:
        change.apply(tree)
    if pytest_hook is not None:
        from _pytest.assertion.rewrite import rewrite_asserts

        rewrite_asserts(tree, source, filename, getattr(pytest_hook, "config", None))
    with warnings.catch_warnings():
        # The compiler says of each mark that a string cannot be called; what it has to say of
        # the source itself it said when the module was first compiled.
        warnings.simplefilter("ignore", SyntaxWarning)
        plain = _plain(tree, filename, changed=change is not None)
        sites = Sites()
        objects = rewrite(tree, file, name, sites)
        if change is not None:
            tree = with_calls(tree, f"{MARK}{len(objects)}")
            objects.append(note)
        marked = compile(tree, filename, "exec", dont_inherit=True)
    return caching.KeptCode(plain, marked, objects, sites.all)


def _plain(tree: ast.Module, filename: str, *, changed: bool) -> CodeType:
    if not changed:
        return compile(tree, filename, "exec", dont_inherit=True)
    calling = with_calls(tree, f"{MARK}0")
    return _with_objects(compile(calling, filename, "exec", dont_inherit=True), [note])


def changed_code(source: bytes, filename: str) -> CodeType:
    """The code of a source with its change, not rewritten. Raises SyntaxError where it has one."""
    tree = ast.parse(source, filename)
    change = change_of(filename)
    if change is not None:
        change.apply(tree)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        return _plain(tree, filename, changed=True)


def _with_objects(code: CodeType, objects: list[object]) -> CodeType:
    """``code`` with the marks among its constants replaced by what they stand for."""

    def real(constant: Any) -> Any:
        if isinstance(constant, str) and constant.startswith(MARK):
            return objects[int(constant[len(MARK) :])]
        if isinstance(constant, CodeType):
            return _with_objects(constant, objects)
        if isinstance(constant, tuple):  # the compiler folds displays of constants
            return tuple(real(each) for each in constant)
        return constant

    return code.replace(co_consts=tuple(real(each) for each in code.co_consts))


def pytest_loader(module: ModuleType) -> object | None:
    """pytest's loader, if it is the one that rewrote the assertions of ``module``."""
    loader = getattr(globals_of(module).get("__spec__"), "loader", None)
    if type(loader).__name__ == "AssertionRewritingHook":
        return loader
    return None

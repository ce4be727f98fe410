"""tracelock makes concurrency bugs reproducible: it records, searches and replays interleavings.

::

    import tracelock

    scenario = tracelock.load_scenario("scenarios/unlocked_counter.yaml")
    trace = tracelock.run(scenario, backend="threading", strategy="random", seed=7)
    print(trace.verdict.kind)               # "passed", "failed", "deadlock", ...
    trace.save("lost-update.json")

    again = tracelock.replay(tracelock.load_trace("lost-update.json"))
    assert again.reproduced

Everything here is imported when it is first used: ``import tracelock`` itself costs nothing.
All that tracelock raises of its own is a :class:`TracelockError`.
"""

from __future__ import annotations

# as typing has it, whose import takes longer than all else before a command answers Ctrl-C
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

__version__: Final = "0.1.0"

if TYPE_CHECKING:
    from tracelock._public import *  # noqa: F403 - this is the list
else:  # a type checker shall know every name, and complain about all others
    import sys
    from types import ModuleType

    #: Functions that are called like a room of the package: importing something from the room must
    #: not put the room in the function's place.
    _CALLED_LIKE_ROOMS: Final = frozenset({"explore", "compare", "export", "audit", "teeth"})
    _homes: dict[str, str] = {}

    class _Noted:
        """What an import that is only noted gives: something that has every name."""

        def __getattr__(self, name: str) -> _Noted:
            return self

    def _home_of() -> dict[str, str]:
        """The module of each public name: the imports of ``_public``, noted and not made."""
        if not _homes:
            from importlib.util import find_spec, module_from_spec

            def note(
                module: str, _: Any, __: Any, names: tuple[str, ...] | None, *more: int
            ) -> Any:
                _homes.update(dict.fromkeys(names or (), module))
                return _Noted()

            spec = find_spec("tracelock._public")
            listed = module_from_spec(spec)
            vars(listed)["__builtins__"] = {"__import__": note}
            spec.loader.exec_module(listed)
        return _homes

    def __getattr__(name: str) -> Any:
        if name == "__all__":
            return sorted([*_home_of(), "__version__"])
        module = None if name.startswith("__") else _home_of().get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import importlib

        value = getattr(importlib.import_module(module), name)
        if name not in _CALLED_LIKE_ROOMS:
            globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__getattr__("__all__")})

    class _Package(ModuleType):
        """The package: what the import system sets for a room is not seen from outside."""

    def _function(name: str) -> property:
        def get(self: ModuleType) -> Any:
            return __getattr__(name)

        def ignore(self: ModuleType, value: Any) -> None:
            if not isinstance(value, ModuleType):
                raise AttributeError(f"{name} of {__name__!r} cannot be set")

        return property(get, ignore)

    for _name in _CALLED_LIKE_ROOMS:
        setattr(_Package, _name, _function(_name))
    sys.modules[__name__].__class__ = _Package

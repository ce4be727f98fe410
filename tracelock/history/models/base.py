"""What a sequential model is: what each call comes to when it is made alone."""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from tracelock.errors import UsageError
from tracelock.history.operations import Operation
from tracelock.history.values import freeze, told


class RaisedError(NamedTuple):
    """A result: an exception, by the name of its type."""

    error: str

    def __repr__(self) -> str:
        return f"raises {self.error}"


class CallResult(NamedTuple):
    """One thing that a call may come to: its result, and the state after it."""

    result: Any
    state: Any

    def __str__(self) -> str:
        if isinstance(self.result, RaisedError):
            return f"it {self.result!r}"
        return f"it returns {told(self.result)}"


#: What a call comes to that cannot be made now: it would wait.
WAITS: Sequence[CallResult] = ()


def returns(value: Any, state: Any) -> Sequence[CallResult]:
    """The call returns ``value``."""
    return (CallResult(value, state),)


def raises(error: type[BaseException] | str, state: Any) -> Sequence[CallResult]:
    """The call raises an exception of this type, or of this name, and changes nothing."""
    return (CallResult(RaisedError(error if isinstance(error, str) else error.__name__), state),)


class Sequential:
    """What every call comes to when it is made alone.

    A subclass has ``initial``, and for each method ``get`` of what it stands for either a method
    ``on_get(state, *args, **kwargs)`` or an entry of ``aliases`` that leads to one. It gives all
    that the call may come to in this state (``returns(value, state)``, ``raises(KeyError, state)``,
    several where the class leaves it open), ``WAITS`` where it would wait. States are values that
    can be hashed and are never changed. ``worker`` is handed to methods that have it as a keyword.
    """

    #: Other names of methods.
    aliases: ClassVar[Mapping[str, str]] = {}
    #: Whether a call on the model may take long enough for the clock to be looked at each time.
    slow: ClassVar[bool] = False

    def initial(self) -> Any:
        """The state in which nothing was called yet."""
        raise NotImplementedError

    def key(self, operation: Operation) -> Hashable | None:
        """What a call is about, where calls with different keys have nothing to do with one
        another; None for a call that is about all of it."""
        return None

    def differ(self, before: Any, after: Any) -> bool:
        """Whether two states are different ones."""
        return bool(before != after)

    def comparable(self, value: Any, ignore: frozenset[str]) -> Any:
        """A result in the form in which it is compared, without what is ``ignore``d."""
        return freeze(value, ignore)

    def known(self, operation: Operation) -> None:
        """Raises UsageError for a call that the model cannot make: of a method of which it knows
        nothing, or with other arguments."""
        method = self._method(operation.name)
        if method is None:
            names = sorted({
                *(name[3:] for name in dir(self) if name.startswith("on_")), *self.aliases,
            })  # fmt: skip
            raise UsageError(
                f"the model {type(self).__name__} knows no {operation.name}: it knows "
                f"{', '.join(names)}"
            )
        try:
            inspect.signature(method).bind(None, *operation.args, **self._given(method, operation))
        except TypeError as error:
            raise UsageError(
                f"the model {type(self).__name__} cannot make {operation.call}: {error}"
            ) from None

    def apply(self, state: Any, operation: Operation) -> Sequence[CallResult]:
        """All that a call that is ``known`` may come to in a state; nothing where it would wait."""
        method = self._method(operation.name)
        found: Sequence[CallResult] = method(
            state, *operation.args, **self._given(method, operation)
        )
        return found

    @staticmethod
    def _given(method: Any, operation: Operation) -> dict[str, Any]:
        """The keywords of a call; whose it is, for a method that asks for that."""
        code = method.__func__.__code__
        if "worker" in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
            return {**operation.kwargs, "worker": operation.worker}
        return operation.kwargs

    def _method(self, name: str) -> Any:
        return getattr(self, f"on_{self.aliases.get(name, name)}", None)

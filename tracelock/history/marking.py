"""``@tracelock.linearizable``: a test whose history has to be explained."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from tracelock.errors import UsageError
from tracelock.history.contracts import check_contract
from tracelock.history.models.base import Sequential
from tracelock.history.recording import History

Test = TypeVar("Test", bound=Callable[..., Any])


def linearizable(
    model: Sequential, *, contract: str | Mapping[str, str] = "linearizable",
    ignore: Iterable[str] = (), most: int = 200_000, seconds: float | None = 10.0,
) -> Callable[[Test], Test]:  # fmt: skip
    """A test that takes ``history``, what it records being judged when the test has ended.

    ::

        @tracelock.linearizable(models.QueueSpec(maxsize=1))
        def test_line(history):
            line = history.watch(queue.Queue(1))
            ...

    The arguments are those of ``History.check``. The test fails with the timeline where no order of
    the calls explains their results, and with LimitReached where the bound on the search was
    reached: it never passes undecided. Below ``@pytest.mark.tracelock`` each schedule is judged.

    Raises UsageError for what is no model, for unknown contracts, and for a function without an
    argument ``history``.
    """
    if not isinstance(model, Sequential):
        raise UsageError(
            "@linearizable takes a model of tracelock.history.models, such as "
            f"@linearizable(models.QueueSpec()), not {type(model).__name__}"
        )
    check_contract(contract)
    given = tuple([ignore] if isinstance(ignore, str) else ignore)

    def judge(history: History) -> None:
        history.check(model, contract=contract, ignore=given, most=most, seconds=seconds).require()

    def decorate(test: Test) -> Test:
        signature = inspect.signature(test)
        if "history" not in signature.parameters:
            raise UsageError(
                f"{test.__qualname__} takes no argument history, in which its calls would be "
                "recorded"
            )
        if inspect.iscoroutinefunction(test):

            @functools.wraps(test)
            async def run(*args: Any, **kwargs: Any) -> Any:
                history = History()
                result = await test(*args, history=history, **kwargs)
                judge(history)
                return result

        else:

            @functools.wraps(test)
            def run(*args: Any, **kwargs: Any) -> Any:
                history = History()
                result = test(*args, history=history, **kwargs)
                judge(history)
                return result

        rest = [one for name, one in signature.parameters.items() if name != "history"]
        run.__signature__ = signature.replace(parameters=rest)  # type: ignore[attr-defined]
        return run  # type: ignore[return-value]

    return decorate

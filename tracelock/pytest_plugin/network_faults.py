"""``--tracelock-faults`` and ``--tracelock-fault-kinds``: faults of the network in tests whose
marker does not say which may come in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from tracelock.pytest_plugin.replaying import Replaying

FAULTS: Final = "--tracelock-faults"
KINDS: Final = "--tracelock-fault-kinds"


def with_faults(
    config: pytest.Config, options: dict[str, Any], replaying: Replaying | None = None
) -> dict[str, Any]:
    """The ``options`` of a test with what the command line says of faults, for what they leave
    open; in a replay with those that the trace, or the token, was recorded with."""
    if replaying is not None:
        from tracelock.instrument.network.rules import NetworkRules

        recorded = replaying.network
        if not recorded:
            return options
        return {**options, "faults": None, "network": NetworkRules.of_table(recorded)}
    number, kinds = config.getoption(FAULTS), config.getoption(KINDS)
    found = dict(options)
    if number is not None:
        found.setdefault("faults", number)
    if kinds is not None:
        network = dict(found.get("network") or {})
        found["network"] = {"kinds": _named(kinds), **network}
    return found


def check_kinds(config: pytest.Config) -> None:
    """Raises ``pytest.UsageError`` where the command line has kinds that there are not."""
    from tracelock.errors import UsageError
    from tracelock.instrument.network.rules import rules_of

    try:
        rules_of(None, {"kinds": _named(config.getoption(KINDS))})
    except UsageError as error:
        raise pytest.UsageError(f"{KINDS}: {error}") from None


def _named(kinds: str) -> list[str]:
    return [one for one in (part.strip() for part in kinds.split(",")) if one]

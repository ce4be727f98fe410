"""How the event of a crash tells what it has left: who writes it, and who reads it, use this."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

__all__ = ["AT_END", "CRASH", "DISK", "CrashTold", "crash_of", "cures", "told"]

#: What the event is a choice of.
CRASH: Final = "crash"
#: The variable that every operation on the disk writes.
DISK: Final = "disk"
#: The place of a crash that comes when all workers have ended.
AT_END: Final = "(the end):0"
_LOSES: Final = "a crash that loses "
_NOTHING: Final = "nothing"
_DURABLE: Final = ", and not "
_BETWEEN: Final = "; "
#: So many operations are listed; a longer text is none of ours.
_LISTED: Final = 12
_LONGEST: Final = 20_000
#: Each kind of operation that may be lost, as it is told, and what would have made it durable.
_CURES: Final = (
    (re.compile(r"the rename of .* to (?P<name>.+)"),
     "after the rename open the directory of {name} with os.open and call os.fsync on that"),
    (re.compile(r"(?:the new (?:name|directory|link) |the removal of )(?P<name>.+)"),
     "open the directory of {name} with os.open and call os.fsync on that"),
    (re.compile(
        r"(?:bytes \d+ to \d+ of )?the \d+ bytes? (?:written|copied) to (?P<name>.+) at \d+"
     ),
     "call flush and os.fsync on {name}, before a rename or anything else that relies on it"),
    (re.compile(r"the (?:growth|cut) of (?P<name>.+) to \d+ bytes|the emptying of (?P<more>.+)"),
     "call flush and os.fsync on {name}, before anything that relies on it"),
)  # fmt: skip
_EVENT: Final = re.compile(r" \(event \d+\)$")


class CrashTold(NamedTuple):
    """What one event says of a crash: which operations are lost, and which are durable though
    nothing has synced them, each in words."""

    lost: Sequence[str]
    durable: Sequence[str]


def told(lost: Iterable[str], durable: Iterable[str]) -> str:
    """What the event of a crash says."""
    text = _LOSES + (_listed(lost) or _NOTHING)
    kept = _listed(durable)
    return f"{text}{_DURABLE}{kept}" if kept and text != _LOSES + _NOTHING else text


def _listed(texts: Iterable[str]) -> str:
    found = [*dict.fromkeys(re.sub(r"[;,] ", " ", one) for one in texts)]
    more = [f"{len(found) - _LISTED} more"] if len(found) > _LISTED else []
    return _BETWEEN.join([*found[:_LISTED], *more])


def crash_of(remark: object) -> CrashTold | None:
    """What ``told`` gave, read again; None for anything else, which a trace may also have."""
    if not isinstance(remark, str) or len(remark) > _LONGEST or not remark.startswith(_LOSES):
        return None
    lost, _, durable = remark[len(_LOSES) :].partition(_DURABLE)
    return CrashTold(
        [] if lost == _NOTHING else lost.split(_BETWEEN),
        durable.split(_BETWEEN) if durable else [],
    )


def cures(lost: Iterable[str]) -> list[str]:
    """What would have made these operations durable, in words."""
    found: dict[str, None] = {}
    for one in lost:
        text = _EVENT.sub("", one)
        for pattern, cure in _CURES:
            match = pattern.fullmatch(text)
            if match is not None:
                name = match.group("name") or match.groupdict().get("more") or ""
                found[cure.format(name=name)] = None
                break
    return list(found)

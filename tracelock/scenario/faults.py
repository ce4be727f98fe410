"""What is wrong with a scenario, before anybody asks where it stands in a file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tracelock.scenario.language.expressions import quote

Path = tuple[str | int, ...]
#: More than this many faults of one scenario are neither looked for nor reported.
MAX_FAULTS: Final = 1000
_PLAIN_KEY: Final = re.compile(r"[^\W\d]\w*")


class Fault(NamedTuple):
    """One thing wrong at ``path``; ``on_key``: with the key there, not with its value.

    ``offset`` counts characters into the text at ``path``, where it is an expression.
    """

    path: Path
    message: str
    offset: int = 0
    on_key: bool = False


@dataclass(slots=True)
class Damage:
    """What could not be read, so that faults that follow from it are not reported too.

    ``names``: declared, but not known as what. ``everything``: any name may be declared.
    ``workers``: those with steps removed, and the words in these, which may name locals.
    """

    names: set[str] = field(default_factory=set)
    everything: bool = False
    workers: dict[str, set[str]] = field(default_factory=dict)


def path_text(path: Sequence[str | int]) -> str:
    """``workers.transfer.steps[0].do[1].with``; keys that are no words stand in brackets."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part) and len(part) <= 100:
            text += f".{part}" if text else part
        else:
            text += f"[{quote(part)}]"
    return text

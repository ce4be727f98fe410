"""Names as people say them: ``self._idle``, not ``Pool#1._idle[]``.

A trace of real code names a thing so that it is the same in every run: by the number of its object,
or by the place where it was made. In a sentence the name in the source says more.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["is_container", "spoken"]

_NUMBER: Final = re.compile(r"#\d+(@[^.\[]*(\[\d+\])?)?")
_MADE_AT: Final = re.compile(r"^(?P<name>[^@]*)@(?P<at>[^@]*?:\d+)(#\d+)?( of .*?)?(\.lock)?$")
_MANGLED: Final = re.compile(r"\._[A-Za-z]\w*?__(?=[A-Za-z])")
#: What an object is called that is assigned to nothing: by its kind.
_KINDS: Final = frozenset({"lock", "rlock", "condition", "event", "semaphore", "queue", "barrier"})


def spoken(target: str, function: str = "") -> str:
    """A variable or object in the words of the source.

    ``function``: the qualified name of the function that speaks of it. A method says ``self.x`` of
    an attribute of its own class.
    """
    made = _MADE_AT.match(target)
    if made is not None:
        name = made["name"]
        return f"the {name} made at {made['at']}" if name in _KINDS else name
    name = _MANGLED.sub(".__", _NUMBER.sub("", target)).removesuffix("[]")
    owner, dot, attribute = name.partition(".")
    if dot and "#" in target and owner in function.split(".")[:-1]:
        return f"self.{attribute}"
    return name if dot or "#" not in target else target


def is_container(target: str) -> bool:
    """Whether a variable of real code is what a container contains, of which a write changes a part
    (``Pool#1._idle[]``, ``dict#4``), and not an attribute or global, which a write replaces."""
    return target.endswith("]") or "." not in target

"""Text of somebody who means harm, and documents with it in every place where text can stand."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Final

from hypothesis import strategies as st

#: What would be executed; `watched_child` knows its traces.
PAYLOADS: Final = (
    '__import__("os").system("echo injected")',
    "__import__('os').system('echo injected')",
    'open("injected", "w").write("x")',
    'exec("injected = 1")',
    '__import__("subprocess").run(["true"])',
)
#: What could end the place in which a text stands.
_ENDS: Final = (
    '"""', "'''", '"', "'", "\\", "\\\\", "\n", "\r", "\r\n", "\x00", "\x0c", "\x85", "\u2028",
    "\u202e", "\x1b[31m", "\x9b31m", "\x7f", "{", "}", "{{", "{0}", "{name}", "%s", "%", "#", ";",
    ")", "])", ": ", "\t", " ", "\\N{DASH}", "\\x41", "\\", "é", "\U0001d518", "*/", "-->", "]]>",
    "|", "`", "```", "~~~",
)  # fmt: skip
#: By themselves in every run of the tests.
KNOWN: Final = tuple(
    text.replace("PAYLOAD", payload)
    for payload in PAYLOADS[:2]
    for text in (
        '""";PAYLOAD;"""', "''';PAYLOAD;'''", '"\nPAYLOAD\n"', "'+PAYLOAD+'", '"+PAYLOAD+"',
        "\\", '\\"""\nPAYLOAD#', '"\\""";PAYLOAD#', "{PAYLOAD}", "{{PAYLOAD}}", "\n\nPAYLOAD\n\n",
        "\rPAYLOAD\r", "\x0cPAYLOAD", "x # \u2028PAYLOAD", "x\\\nPAYLOAD", '""""', "'", '"',
        "%s{0}{name}\x00\x1b[2J\ud800",
    )
)  # fmt: skip
TEXTS: Final = st.sampled_from(KNOWN) | st.lists(
    st.sampled_from(_ENDS) | st.sampled_from(PAYLOADS) | st.characters(), max_size=8
).map("".join)


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each text in plain data; that of a key ends with ``("key", KEY)``."""
    if isinstance(data, str):
        yield path
    elif isinstance(data, dict):
        for key, value in data.items():
            yield (*path, ("key", key))
            yield from places(value, (*path, key))
    elif isinstance(data, list):
        for number, value in enumerate(data):
            yield from places(value, (*path, number))


def with_text(data: Any, path: tuple[Any, ...], text: str) -> Any:
    """A copy of ``data`` in which ``text`` stands at ``path``."""
    made = copy.deepcopy(data)
    at = made
    for part in path[:-1]:
        at = at[part]
    last = path[-1]
    if isinstance(last, tuple):
        pairs = [(text if key == last[1] else key, value) for key, value in at.items()]
        at.clear()
        at.update(pairs)
    else:
        at[last] = text
    return made

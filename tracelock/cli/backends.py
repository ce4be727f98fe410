"""``tracelock backends``: what each one can do on this machine, and what of Python is patched."""

from __future__ import annotations

import argparse
from textwrap import wrap
from typing import Final

from tracelock.cli.output import Output
from tracelock.instrument.patches import table
from tracelock.session import backends_here

#: The words of the table of patches, and what they mean for the program.
MEANINGS: Final = {
    "controlled": "a scheduling point, the scheduler decides",
    "seen": "answered from the schedule, without a choice",
    "not controlled": "as ever; a worker that blocks in it is named, and the verdict is unfinished",
}


def backends_command(options: argparse.Namespace, out: Output) -> int:
    """List the backends: whether they are there, and what they refuse."""
    rows = backends_here()
    patches = {row.name: row.how for row in table()}
    if options.json:
        out.json({"backends": rows, "patches": patches})
        return 0
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        here = "yes" if row["available"] else "no "
        out.line(f"{row['name'].ljust(width)}  {here}  {row['note']}".rstrip())
        for feature, reason in row["refuses"].items():
            out.line(f"{' ' * width}       no {feature}: {reason}")
    _print_patches(patches, out)
    return 0


def _print_patches(patches: dict[str, str], out: Output) -> None:
    """What of Python's own is patched while Python code runs under control, by what comes of it."""
    out.line("\nPython code, while it is explored, run or replayed:")
    for how, meaning in MEANINGS.items():
        names = [name for name, word in patches.items() if word == how]
        if not names:
            continue
        out.line(f"  {how}: {meaning}")
        groups: dict[str, list[str]] = {}
        for name in names:
            owner, _, attribute = name.rpartition(".")
            groups.setdefault(owner, []).append(attribute)
        for owner, attributes in groups.items():
            text = f"{owner}: {', '.join(attributes)}"
            out.lines(wrap(text, 96, initial_indent="    ", subsequent_indent="      "))

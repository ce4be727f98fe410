"""The pages of the documentation that are made from the code, and how mkdocs gets them.

Each is a function that returns Markdown; ``PAGES`` says where it goes. Nothing of them is written
by hand, so nothing of them can be out of date: the command line is described by its parsers and the
table of examples, the public names by their docstrings, scenarios by their JSON Schema, the
controlled functions by the table that patches them. The reports of the gallery are made from its
traces, and so are the pages of the examples, with the programs as they are.
"""

from __future__ import annotations

import functools
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tracelock
from tracelock.cli.options import Option, all_commands, each
from tracelock.cli.usage.examples import EXAMPLES
from tracelock.report.wording import clean

HERE = Path(__file__).resolve().parent
GALLERY = HERE / "gallery"
EXAMPLES_OF_CODE = HERE / "examples"
RUNTIMES = ("threads", "asyncio", "trio")
_DATA = HERE.parent / "tests" / "data"
#: Pictures that pages show, and that tests compare with what makes them.
PICTURES = (_DATA / "classic.svg", _DATA / "report.png")

STATUSES = (
    "Exit status: 0 as it should be; 1 a failure was found, or a replay ended differently; 2 bad "
    "usage or input; 3 a replay diverged, or the trace is impossible there; 4 internal error; 5 "
    "unfinished. `--json` prints one JSON object and nothing else. `-` is standard output. `@NAME` "
    "is a scenario that comes with tracelock."
)


# --- the command line -----------------------------------------------------------------------------
def cli_page() -> str:
    """All commands: what each does, its arguments, its examples."""
    lines = [
        "# Command line",
        "",
        "Made from the parsers: `tracelock COMMAND --help` says the same.",
        "",
    ]
    lines += ["| command | what it does |", "|---|---|"]
    commands = all_commands()
    lines += [f"| [`{name}`](#{name}) | {_cell(about)} |" for name, (about, _) in commands.items()]
    lines += ["", STATUSES, ""]
    for name, (about, rows) in commands.items():
        options = each(rows)
        lines += [f"## {name}", "", f"{about[0].upper()}{about[1:]}.", ""]
        if options:
            lines += ["| argument | |", "|---|---|"]
            lines += [f"| {_argument(one)} | {_cell(one.how.get('help', ''))} |" for one in options]
            lines.append("")
        for example in EXAMPLES[name]:
            lines += [f"{example.about[0].upper()}{example.about[1:]}", ""]
            lines += ["```sh", example.line, "```", ""]
    lines.append((HERE / "parts" / "cli.md").read_text(encoding="utf-8"))
    return "\n".join(lines)


def _argument(option: Option) -> str:
    names = ", ".join(f"`{name}`" for name in option.names if name.startswith("-"))
    value = option.how.get("metavar", "") if option.how.get("action") != "store_true" else ""
    return " ".join(part for part in (names, f"`{value}`" if value else "") if part).replace(
        "|", "\\|"
    )


# --- Python ---------------------------------------------------------------------------------------
#: The public names in the order of their use; all others that there are follow by kind.
FIRST = (
    "explore", "replay", "run", "analyze", "export", "compare", "predict", "shrink",
    "check_fix", "atomic", "audit", "teeth", "cancellable", "linearizable", "render_report",
    "load_scenario", "load_trace",
    "Explored", "ReplayResult", "Trace", "Verdict", "Event", "Analysis", "Finding",
)  # fmt: skip


def public_names() -> list[str]:
    """All public names but those of steps of scenarios, which have a page of their own."""
    from tracelock.scenario.language.base import BaseStep

    names = [name for name in tracelock.__all__ if not name.startswith("__")]
    rest = []
    for name in names:
        value = getattr(tracelock, name)
        step = isinstance(value, type) and issubclass(value, BaseStep)
        if name not in FIRST and not step and name not in ("Step", "MISSING"):
            rest.append(name)
    return [*FIRST, *sorted(rest)]


def python_page() -> str:
    """The public names: signatures and docstrings."""
    lines = ["# Python", "", "Made from the docstrings. All of it is imported from `tracelock`; "
             "importing that costs nothing. The steps of scenarios have a class each "
             "([Scenarios](scenario.md)).", ""]  # fmt: skip
    for name in public_names():
        value = getattr(tracelock, name)
        lines += [f"## {name}", ""]
        if callable(value) and not (isinstance(value, type) and issubclass(value, BaseException)):
            if (signature := _signature(name, value)) is not None:
                lines += ["```text", *signature, "```", ""]
        elif isinstance(value, type):
            lines += [f"An exception; below `{value.__mro__[1].__name__}`.", ""]
        lines += [markdown_of(inspect.getdoc(value) or ""), ""]
        if isinstance(value, type):
            lines += list(_methods(value))
    return "\n".join(lines)


def _signature(name: str, value: Any) -> list[str] | None:
    """As it is called, an argument a line where there are many."""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return None
    shown = []
    starred = False
    for one in signature.parameters.values():
        if one.kind is one.KEYWORD_ONLY and not starred:
            shown.append("*")
            starred = True
        annotation = "" if one.annotation is one.empty else f": {_type(one.annotation)}"
        default = "" if one.default is one.empty else f" = {_default(one.default)}"
        starred = starred or one.kind is one.VAR_POSITIONAL
        stars = "*" if one.kind is one.VAR_POSITIONAL else ""
        stars = "**" if one.kind is one.VAR_KEYWORD else stars
        shown.append(f"{stars}{one.name}{annotation}{default}")
    returns = signature.return_annotation
    arrow = "" if returns is signature.empty or isinstance(value, type) else f" -> {_type(returns)}"
    line = f"{name}({', '.join(shown)}){arrow}"
    if len(line) <= 80:
        return [line]
    return [f"{name}(", *(f"    {one}," for one in shown), f"){arrow}"]


def _type(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", text)


def _default(value: Any) -> str:
    text = repr(value)
    return "..." if " at 0x" in text or len(text) > 40 else text


def _methods(value: type) -> Iterator[str]:
    """The public methods and properties of a class that say what they do."""
    for name, member in vars(value).items():
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            about, head = inspect.getdoc(member), f"`.{name}`"
        elif inspect.isfunction(member) or isinstance(member, classmethod | staticmethod):
            about, head = inspect.getdoc(member), f"`.{name}()`"
        else:
            continue
        if about and not hasattr(BaseException, name) and not name.startswith("model_"):
            text = " ".join(markdown_of(about).split())
            yield f"- {head}: {text}"
    yield ""


def markdown_of(docstring: str) -> str:
    """A docstring as Markdown: literals, roles and blocks of code."""
    text = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"`\1`", docstring)
    text = text.replace("``", "`")
    text = re.sub(r"(?m)::\n\n((?: {4}.*\n?|\n)+)", _block, text)
    return "\n".join(
        line if line.startswith("    ") else line.replace("<", "&lt;") if "`" not in line else line
        for line in text.splitlines()
    )


def _block(found: re.Match[str]) -> str:
    body = inspect.cleandoc(found[1])
    return f":\n\n```text\n{body}\n```\n"


# --- scenarios ------------------------------------------------------------------------------------
def scenario_page() -> str:
    """The language, from its JSON Schema, which is made from the models."""
    schema = tracelock.scenario_schema()
    parts = schema["definitions"]
    lines = ["# Scenarios", "", "Made from the models by which scenarios are read; "
             "`tracelock schema` prints the JSON Schema for editors. Examples: "
             "`tracelock scenarios`.", "", "## The document", "", *_fields(schema)]  # fmt: skip
    for name, title in (("worker", "A worker"), ("python", "Real Python code"),
                        ("expectation", "What is expected")):  # fmt: skip
        part = parts[name]
        whole = next((one for one in part.get("anyOf", []) if "properties" in one), part)
        lines += ["", f"## {title}", "", _sentence(whole), "", *_fields(whole)]
    lines += ["", "## Objects", ""]
    for form in parts["object"]["anyOf"]:
        if "properties" in form:
            lines += [f"### {form['properties']['type']['const']}", "", _sentence(form), "",
                      *_fields(form), ""]  # fmt: skip
    lines += ["## Steps", ""]
    for name, part in parts.items():
        if name.startswith("step_") and not name.endswith("_in_atomic"):
            lines += [
                f"### {name.removeprefix('step_')}",
                "",
                _sentence(part),
                "",
                *_fields(part),
                "",
            ]
    lines += ["## Expressions", "", "Values and conditions are expressions of a closed subset of "
              "Python: numbers, texts, `true`, `false`, `null`, arithmetic, comparison, `and`, "
              "`or`, `not`, `... if ... else ...`, indexing, and a dozen pure functions. Every "
              "mention of a shared variable in a step is a visible read of its own. They are "
              "bounded in size and cost.", ""]  # fmt: skip
    return "\n".join(lines)


def _sentence(part: dict[str, Any]) -> str:
    return str(part.get("description", "")).replace("``", "`")


def _fields(part: dict[str, Any]) -> list[str]:
    lines = ["| key | what it is | |", "|---|---|---|"]
    needed = part.get("required", [])
    for name, field in part.get("properties", {}).items():
        default = field.get("default")
        more = (
            "required" if name in needed else "" if default in (None, "") else f"default {default}"
        )
        if "enum" in field:
            about = ", ".join(str(one) for one in field["enum"] if one is not None)
            more = f"{more} ({about})".strip() if about not in ("True", "") else more
        lines.append(f"| `{name}` | {_cell(_sentence(field))} | {_cell(more)} |")
    return lines


# --- findings, and what is controlled -------------------------------------------------------------
def findings_page() -> str:
    """The kinds of findings."""
    from tracelock.analysis.kinds import KINDS

    lines = ["# Findings", "", "`tracelock analyze TRACE` and `tracelock.analyze(trace)` read a "
             "trace, run nothing, and list what they find: of free and controlled runs, of any "
             "backend, of Python code, finished or cut off.", "",
             "Of a run that failed the **root** comes first, and alone is told in full: the one "
             "finding that the failure depends on most directly, found by walking back from the "
             "failed check, the exception or the deadlock along the trace's dependences. It has a "
             "sentence of diagnosis, one of cure, and the source lines concerned; the others are "
             "listed as *also seen* (`--all` tells them too). Each finding is an **error** (the "
             "failure depends on it, and it happened in this run), a **warning** (it did not, or "
             "nothing failed by it, and nothing in the trace keeps it from happening in another "
             "schedule: `tracelock predict` tries those) or a **note** (worth knowing, often "
             "harmless). A run that passed has no errors.", ""]  # fmt: skip
    lines += ["| kind | what it says |", "|---|---|"]
    lines += [f"| `{kind}` | {_cell(about)} |" for kind, about in KINDS.items()]
    return "\n".join([*lines, "", (HERE / "parts" / "findings.md").read_text(encoding="utf-8")])


def control_page() -> str:
    """What of Python is controlled, seen, or neither."""
    from tracelock.cli.backends import MEANINGS
    from tracelock.instrument.patches import table

    lines = ["# What is controlled", "", "Made from the table of what is replaced while Python "
             "code is explored, run or replayed; `tracelock backends` prints it.", ""]  # fmt: skip
    rows = {row.name: row.how for row in table()}
    for how, meaning in MEANINGS.items():
        groups: dict[str, list[str]] = {}
        for name in (name for name, word in rows.items() if word == how):
            owner, _, attribute = name.rpartition(".")
            groups.setdefault(owner, []).append(attribute)
        lines += [f"## {how[0].upper()}{how[1:]}", "", f"{meaning[0].upper()}{meaning[1:]}.", ""]
        lines += ["| where | what |", "|---|---|"]
        lines += [f"| `{owner}` | {', '.join(f'`{one}`' for one in names)} |"
                  for owner, names in groups.items()]  # fmt: skip
        lines.append("")
    return "\n".join(lines)


# --- pytest ---------------------------------------------------------------------------------------
def pytest_page() -> str:
    """The options and settings that the plugin declares, and what it does with tests."""
    from tracelock import pytest_plugin

    options = [
        (f"{name} {value}".rstrip(), about)
        for name, (value, about) in pytest_plugin.OPTIONS.items() if about != pytest_plugin.INTERNAL
    ]  # fmt: skip
    settings = [(name, about) for name, (about, _) in pytest_plugin.SETTINGS.items()]
    lines = ["# pytest", "", (HERE / "parts" / "pytest.md").read_text(encoding="utf-8")]
    for title, rows in (("Options", options), ("Settings of the ini file", settings)):
        lines += [f"## {title}", "", "| | |", "|---|---|"]
        lines += [*(f"| `{name}` | {_cell(about)} |" for name, about in rows), ""]
    return "\n".join(lines)


# --- the gallery ----------------------------------------------------------------------------------
def gallery_traces() -> list[Path]:
    """The recorded failures of real libraries, by name."""
    return sorted(GALLERY.glob("*.json"))


def gallery_report(path: Path) -> str:
    """The page of a recorded failure, to step through."""
    return tracelock.render_report(tracelock.load_trace(path), "html")


# --- the examples of real code --------------------------------------------------------------------
def example_traces() -> list[Path]:
    """The recorded failures of the examples, by name."""
    return sorted(EXAMPLES_OF_CODE.glob("*/*.json"))


def example_report(trace: Path) -> str:
    """What the page of a recorded failure of an example is called."""
    return f"{trace.parent.name}-{trace.stem}.html"


def example_page(folder: Path) -> str:
    """What happens; on each runtime the program, its failing schedule and what is found in that;
    why the fix works."""
    about = (folder / "about.md").read_text(encoding="utf-8")
    before, why = about.split("\n## Why the fix works\n")
    lines = [before]
    for runtime in RUNTIMES:
        program = folder / f"on_{runtime}.py"
        trace = program.with_suffix(".json")
        place = trace.relative_to(HERE.parent).as_posix()
        lines += [
            f"## On {runtime}", "", f'```python title="{program.relative_to(HERE.parent)}"',
            program.read_text(encoding="utf-8").rstrip(), "```", "",
            f"The failing schedule, made small ([step through it]({example_report(trace)})):", "",
            "```text", *_example_story(trace), "```", "",
            "It is kept as a trace, and happens again:", "", "```sh",
            f"tracelock replay {place} --allow-call", "```", "",
        ]  # fmt: skip
    lines += ["## Why the fix works", why, "All of it, from the root of a checkout:", "", "```sh",
              f"python -m docs.examples {folder.name}", "```", ""]  # fmt: skip
    return "\n".join(lines)


def _example_story(path: Path) -> Iterator[str]:
    """The failing schedule in source lines, and the finding that explains it."""
    from tracelock.names import for_display
    from tracelock.report.terminal import Style
    from tracelock.session.story import told

    trace = tracelock.load_trace(path)
    for line in told(trace, Style(100)):
        yield line.plain.rstrip()
    root = tracelock.analyze(for_display(trace))[0]
    yield from ("", f"{root.severity}: {clean(root.title)} [{root.kind}]")
    yield from textwrap.wrap(
        clean(root.explanation), 96, initial_indent="  ", subsequent_indent="  ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def example_pages() -> dict[str, Callable[[], str]]:
    """The page of each folder that says what it is about."""
    return {
        f"examples/{about.parent.name}.md": functools.partial(example_page, about.parent)
        for about in sorted(EXAMPLES_OF_CODE.glob("*/about.md"))
    }


def _cell(text: str) -> str:
    return clean(" ".join(text.split())).replace("|", "\\|").replace("<", "&lt;")


#: Where each page goes, below the pages that are written by hand.
PAGES: dict[str, Callable[[], str]] = {
    "reference/cli.md": cli_page,
    "reference/python.md": python_page,
    "reference/pytest.md": pytest_page,
    "reference/scenario.md": scenario_page,
    "reference/findings.md": findings_page,
    "reference/control.md": control_page,
    "explanation/security.md": lambda: (HERE / "security.md").read_text(encoding="utf-8"),
    **example_pages(),
}


def on_files(files: Any, config: Any) -> Any:
    """What mkdocs calls: the pages, and the reports that the gallery links to."""
    from mkdocs.structure.files import File

    for place, made in PAGES.items():
        files.append(File.generated(config, place, content=made()))
    for trace in gallery_traces():
        report = File.generated(config, f"gallery/{trace.stem}.html", content=gallery_report(trace))
        files.append(report)
    for trace in example_traces():
        place = f"examples/{example_report(trace)}"
        files.append(File.generated(config, place, content=gallery_report(trace)))
    for picture in PICTURES:
        files.append(File.generated(config, f"data/{picture.name}", content=picture.read_bytes()))
    return files

"""Pages from templates that escape every value by themselves.

The templates lie in ``assets``. Whatever a stranger put into names and values is text in a page:
no value is markup unless it was marked as such here.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from tracelock.report.wording import clean

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

__all__ = ["asset", "digest", "fill", "markup", "part", "script_data"]


def fill(template: str, **values: Any) -> str:
    """A template of ``assets`` with these values, every one escaped."""
    return _environment().get_template(template).render(values)


def part(template: str, macro: str, *values: Any) -> Markup:
    """What one macro of a template makes of these values."""
    found: Markup = getattr(_environment().get_template(template).module, macro)(*values)
    return found


@cache
def _environment() -> Environment:
    # imported only when a page is made: the command line starts without it
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    def finalize(value: object) -> object:
        if isinstance(value, Markup | int):
            return value
        return Markup(html.escape(clean(str(value)), quote=True))

    return Environment(
        loader=FunctionLoader(asset), autoescape=True, undefined=StrictUndefined,
        finalize=finalize, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip


def markup(text: str) -> Markup:
    """``text`` as what it is: markup of our own, or already escaped."""
    from markupsafe import Markup

    return Markup(text)


@cache
def asset(name: str) -> str:
    """The text of a file in ``assets``."""
    return files("tracelock.report").joinpath("assets", name).read_text(encoding="utf-8")


def digest(content: str) -> str:
    """How a content security policy names a script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def script_data(data: Any) -> str:
    """JSON that can stand in a script element whatever it holds: ``</script>``, ``<!--``."""
    dumped = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return dumped.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")

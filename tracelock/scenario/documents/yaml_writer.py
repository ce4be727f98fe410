"""Plain data as YAML that ``yaml_reader`` reads back as the same data."""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from tracelock.scenario.documents.yaml_reader import resolve

_BREAKS: Final = re.compile("[\x85\u2028\u2029]")


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True  # the language has none


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    # PyYAML quotes what YAML 1.1 would misread; YAML 1.2 has other numbers (0o10, 1e3).
    style = None if resolve(text) is text else "'"
    if _BREAKS.search(text):
        style = '"'  # elsewhere PyYAML folds them, though it means to keep them
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def dump_yaml(data: Any) -> str:
    """``data`` (dicts, lists, scalars) as one YAML document."""
    text = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    assert isinstance(text, str)
    return text

"""Tokens: what they say is what the trace said, and what is damaged is told so."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.amount import amount
from tracelock.errors import TraceError
from tracelock.instrument.network.rules import KINDS, NetworkRules
from tracelock.trace import Trace, load_trace
from tracelock.trace.network import FAULTS
from tracelock.trace.token import (
    LONGEST,
    PREFIX,
    EventsDigest,
    parse_token,
    short,
    sources_digest,
    target_digest,
    token_of,
)

TRACES = sorted((Path(__file__).resolve().parents[2] / "traces").glob("*.json"))
ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"


@cache
def tokens() -> list[str]:
    return [token_of(trace) for trace in failing()]


def failing() -> list[Trace]:
    return [trace for path in TRACES if token_of(trace := load_trace(path))]


def test_a_token_says_who_goes_on_when() -> None:
    found = failing()
    assert len(found) > 10
    for trace in found:
        token = token_of(trace)
        assert len(token) < 200, trace.scenario["name"]
        said = parse_token(f"  {token}\n")
        order = [said.workers[place] for place in said.order]
        assert order == [short(trace.workers[event.worker]) for event in trace.events]
        assert (said.backend, said.clock) == (trace.backend, trace.clock)
        assert (said.kind, said.failure or None) == (trace.verdict.kind, trace.verdict.failure)
        assert said.target == target_digest(trace.scenario)
        assert said.sources == sources_digest(trace.scenario)
        digest = EventsDigest()
        for event in trace.events:
            digest.add(trace.workers[event.worker], event.op, event.target)
        assert said.events == digest.bytes()


def test_a_token_says_what_the_network_may_do() -> None:
    assert set(FAULTS) == set(KINDS)
    trace = failing()[0]
    assert parse_token(token_of(trace)).network == {}
    for rules in (NetworkRules(0, 2, ("reset", "partition")), NetworkRules(3, 0, ())):
        python = {**trace.scenario.get("python", {}), "network": rules.to_table()}
        with_rules = replace(trace, scenario={**trace.scenario, "python": python})
        assert NetworkRules.of_table(parse_token(token_of(with_rules)).network) == rules
    for wrong in ({"splits": "1"}, {"splits": "x", "faults": "1"}, "reset", {"faults": "-1"}):
        python = {**trace.scenario.get("python", {}), "network": wrong}
        assert token_of(replace(trace, scenario={**trace.scenario, "python": python})) == ""


def test_no_token_stands_for_what_it_cannot_repeat() -> None:
    (trace, *_) = failing()
    for name, value in (("mode", "recorded"), ("backend", "elsewhere")):
        kept = getattr(trace, name)
        setattr(trace, name, value)
        assert token_of(trace) == ""
        setattr(trace, name, kept)
    assert token_of(trace)
    trace.scenario["python"] = {"hypothesis": {"blob": "x"}}
    assert token_of(trace) == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no token"),
        ("tl1", "no token"),
        ("trace.json", "no token"),
        ("tl2-AAAA", "of format tl2"),
        ("tl1-", "checksum"),
        ("tl1-a b c", "characters that no token has"),
        ("tl1-\u00e9", "characters that no token has"),
        ("tl1-" + "A" * LONGEST, "characters: none has more"),
    ],
)
def test_what_is_wrong_is_said(text: str, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        parse_token(text)


@settings(max_examples=amount(200, 3_000), deadline=None)
@given(st.data())
def test_a_damaged_token_is_never_taken_for_another(data: st.DataObject) -> None:
    token = data.draw(st.sampled_from(tokens()))
    place = data.draw(st.integers(len(PREFIX), len(token) - 1))
    match data.draw(st.sampled_from(["change", "cut", "add", "double"])):
        case "change":
            new = data.draw(st.sampled_from(ALPHABET))
            damaged = token[:place] + new + token[place + 1 :]
        case "cut":
            damaged = token[:place]
        case "add":
            damaged = token + data.draw(st.text(ALPHABET, min_size=1, max_size=8))
        case _:
            damaged = token[:place] + token[len(PREFIX) :]
    if parsed_as(damaged) is not None:
        # bits behind the last byte say nothing
        assert parsed_as(damaged) == parse_token(token)


def parsed_as(text: str) -> object:
    try:
        return parse_token(text)
    except TraceError:
        return None


@settings(max_examples=amount(200, 3_000), deadline=None)
@given(st.one_of(st.text(), st.text(ALPHABET).map(PREFIX.__add__)))
def test_any_text_is_a_token_or_told_to_be_none(text: str) -> None:
    assert parsed_as(text) is None


@settings(max_examples=amount(200, 3_000), deadline=None)
@given(st.binary(max_size=80))
def test_bytes_with_a_right_checksum_are_read_or_refused(payload: bytes) -> None:
    """Whoever makes a checksum may write anything before it."""
    import base64
    import hashlib

    data = payload + hashlib.sha256(payload).digest()[:3]
    parsed = parsed_as(PREFIX + base64.urlsafe_b64encode(data).decode().rstrip("="))
    if parsed is not None:
        assert parsed.order is not None and len(parsed.order) < 200_000  # type: ignore[attr-defined]

"""Saving and loading: the format of the file, both ways of reading it, every way to be wrong."""

import gc
import gzip
import io
import json
import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.amount import amount
from tracelock.errors import TraceError, UsageError
from tracelock.ops import NAMES
from tracelock.trace import (
    MISSING,
    Blocked,
    Events,
    Limits,
    Trace,
    Verdict,
    environment,
    load_trace,
    load_trace_text,
    reading,
    text,
)
from tracelock.trace import events as event_columns

EXAMPLE = """\
{"format": "tracelock-trace/1",
 "tracelock": "0.1.0",
 "scenario": {"...": "the whole scenario document, as data"},
 "backend": "threading",
 "mode": "recorded",
 "strategy": null,
 "clock": "real",
 "environment": {"python": "3.12.1", "gil": true, "cpus": 2, "start_method": null},
 "workers": ["incrementer[0]", "incrementer[1]"],
 "events": [
  {"seq": 0, "worker": 0, "op": "read", "target": "counter", "result": 0, "at": "s[0]", "t": 1200},
  {"seq": 1, "worker": 1, "op": "read", "target": "counter", "result": 0, "at": "s[0]", "t": 1900},
  {"seq": 2, "worker": 0, "op": "write", "target": "counter", "value": 1, "at": "s[1]", "t": 2500},
  {"seq": 3, "worker": 1, "op": "write", "target": "counter", "value": 1, "at": "s[1]", "t": 2900}
 ],
 "verdict": {"kind": "failed", "failure": "finally", "message": "counter is 1", \
"state": {"counter": 1}, "blocked": []}
}
"""

TEXT = st.text(max_size=8)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats(
    allow_nan=False, allow_infinity=False
) | TEXT  # fmt: skip
VALUE = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
OBJECT = st.dictionaries(TEXT, VALUE, max_size=3)
HELD = st.just(MISSING) | VALUE
LATER = st.dictionaries(st.sampled_from(["later", "näher", '"']), VALUE, max_size=2)


@st.composite
def traces(draw):
    workers = draw(st.lists(TEXT, min_size=1, max_size=4, unique=True))
    worker = st.integers(0, len(workers) - 1)
    events = Events()
    simple = draw(st.booleans())  # as a free run has them: the quickest road through the code
    for _ in range(draw(st.integers(0, 8))):
        shape = events.shape(
            draw(st.sampled_from(NAMES)),
            draw(st.none() | TEXT),
            draw(TEXT),
            MISSING if simple else draw(st.sampled_from([MISSING, None, 1, 1.0, 0.25])),
            MISSING if simple else draw(st.sampled_from([MISSING, 1, -1])),
        )
        events.append(
            draw(worker),
            shape,
            draw(st.integers(0, 2**63 - 1)),
            draw(HELD),
            draw(HELD),
            MISSING if simple else draw(HELD),
            -1 if simple else draw(st.integers(-1, 10**9)),
            None if simple else draw(st.none() | st.lists(worker, max_size=3)),
        )
        if not simple and (extra := draw(LATER)):
            events.extras[len(events) - 1] = extra
    kind = draw(st.sampled_from(["passed", "failed", "deadlock", "crashed", "unfinished"]))
    verdict = Verdict(
        kind,
        draw(st.sampled_from(["assert", "error"])) if kind == "failed" else None,
        draw(TEXT),
        draw(OBJECT),
        [Blocked(draw(TEXT), "acquire", "lock", draw(TEXT), [draw(TEXT)], draw(LATER))],
        draw(st.none() | TEXT),
        draw(st.none() | worker),
        draw(LATER),
    )
    return Trace(
        draw(OBJECT), draw(TEXT), draw(st.sampled_from(["recorded", "controlled"])),
        draw(st.none() | OBJECT), draw(st.sampled_from(["real", "virtual", "adversarial"])),
        draw(OBJECT), workers, events, verdict, draw(TEXT), draw(LATER),
    )  # fmt: skip


def exact(trace):
    """Equality that tells 1 from 1.0 and from true, which Python's does not."""
    rest = {**trace.header(), "verdict": trace.verdict.to_data()}
    return json.dumps(rest, sort_keys=True), [event.to_data() for event in trace.events]


def general(document):
    """Load by the general way alone."""
    data = document if isinstance(document, bytes) else document.encode("utf-8")
    return reading._whole(lambda: io.BytesIO(data), "x.json", Limits())


def by_lines(document):
    """Load by the quick way alone; None where it gives up."""
    data = document if isinstance(document, bytes) else document.encode("utf-8")
    return reading._by_lines(lambda: io.BytesIO(data), Limits())


def sample(count=4):
    events = Events()
    shapes = [events.shape(op, "x", "s[0]") for op in ("read", "write")]
    for i in range(count):
        events.append(i % 2, shapes[i % 2], i, **{("result", "value")[i % 2]: i})
    return Trace({}, "threading", "recorded", None, "real", {}, ["a", "b"], events,
                 Verdict("passed"))  # fmt: skip


# --- round trips -----------------------------------------------------------------------------
def test_the_file_is_the_text_of_the_format():
    trace = load_trace_text(EXAMPLE, "example.json")
    assert trace.to_text() == EXAMPLE
    assert trace.workers == ["incrementer[0]", "incrementer[1]"]
    assert trace.events[2].value == 1
    assert trace.events[2].result is MISSING
    assert trace.verdict.failure == "finally"
    assert by_lines(EXAMPLE) == general(EXAMPLE) == trace


@settings(derandomize=True, deadline=None, max_examples=amount(40, 150))
@given(traces())
def test_what_is_saved_is_loaded(tmp_path_factory, trace):
    folder = tmp_path_factory.mktemp("trace")
    for name in ("t.json", "t.json.gz"):
        path = folder / name
        trace.save(path)
        loaded = load_trace(path)
        assert loaded == trace
        assert repr(exact(loaded)) == repr(exact(trace))
        assert loaded.digest() == trace.digest()
    assert (folder / "t.json").read_text("utf-8") == trace.to_text()
    assert gzip.decompress((folder / "t.json.gz").read_bytes()).decode() == trace.to_text()
    json.loads(trace.to_text(), parse_constant=pytest.fail)


@settings(derandomize=True, deadline=None, max_examples=amount(40, 150))
@given(traces())
def test_both_ways_of_reading_give_the_same(trace):
    document = trace.to_text()
    quick, slow = by_lines(document), general(document)
    assert quick is not None
    assert quick == slow == trace
    assert quick.digest() == slow.digest()
    data = json.loads(document)
    for other in (
        json.dumps(data),
        json.dumps(data, indent=1),
        json.dumps(data, indent=2, ensure_ascii=False),
        json.dumps(dict(reversed(data.items())), separators=(",", ":")),
        document.replace("\n", "\r\n"),
        "\ufeff" + document,
    ):
        assert load_trace_text(other, "x.json") == trace
        assert by_lines(other) in (None, trace)


MEDDLING = st.sampled_from([
    "", ",", "]", "[", "{", "}", "\n ]", " ]\n", '"', "1", "1.0", "true", "null", "-1", "\n", " ",
    "},\n  {", '"t": 1', '"seq": 1', "NaN", "1e999", '"op": 3', "\\", "\x00", "é", ', "x": []',
    '\n "events": [', '"enabled": [0]', '"enabled": [true]', '"waited": -1', '"target": null',
])  # fmt: skip


@settings(derandomize=True, deadline=None, max_examples=amount(50, 200))
@given(st.integers(0, len(EXAMPLE)), st.integers(0, 12), MEDDLING, st.booleans())
def test_both_ways_of_reading_refuse_the_same(start, length, new, at_a_token):
    if at_a_token:  # where a mistake is most likely to be still JSON
        start = max(EXAMPLE.rfind(mark, 0, start + 1) for mark in ('": ', "{", "\n")) + 1
    document = EXAMPLE[:start] + new + EXAMPLE[start + length :]
    quick = by_lines(document)
    try:
        slow = general(document)
    except TraceError:
        assert quick is None
    else:
        assert quick in (None, slow)


def test_many_chunks_and_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(event_columns, "CHUNK", 7)
    monkeypatch.setattr(reading, "_BLOCK", 64)
    trace = sample(100)
    for name in ("a.json", "a.json.gz"):
        trace.save(tmp_path / name)
        assert load_trace(tmp_path / name) == trace
    assert by_lines(trace.to_text()) == trace


def test_equal_traces_are_equal_bytes(tmp_path):
    for name in ("a.json.gz", "b.json.gz"):
        sample().save(tmp_path / name)
    data = (tmp_path / "a.json.gz").read_bytes()
    assert data == (tmp_path / "b.json.gz").read_bytes()
    assert data[3:8] == b"\0\0\0\0\0"  # neither a name nor a time in its header


def test_compression_is_told_by_the_bytes_and_may_have_several_members(tmp_path):
    document = sample().to_text().encode()
    path = tmp_path / "odd.json"
    path.write_bytes(gzip.compress(document[:200]) + gzip.compress(document[200:]) + b"\0" * 9)
    assert load_trace(path) == sample()


def test_lone_surrogates_survive():
    trace = sample()
    trace.events.values[1] = "\ud800"
    trace.scenario["\udfff"] = 1
    document = text.encode(trace.to_text())
    assert load_trace_text(document, "x") == trace
    assert load_trace_text(trace.to_text(), "x") == trace


def test_errors_as_results_and_atomic_values():
    trace = sample()
    trace.events.append(0, trace.events.shape("release", "lock", "s"), 9,
                        result={"error": "RuntimeError"})  # fmt: skip
    trace.events.append(0, trace.events.shape("atomic", None, "s"), 9,
                        value={"x": 1}, result={"x": 0})  # fmt: skip
    assert load_trace_text(trace.to_text(), "x") == trace


# --- digests ---------------------------------------------------------------------------------
def test_the_digest_leaves_out_times_environment_and_version():
    one, other = sample(), sample()
    other.environment, other.tracelock = environment("spawn"), "9.9"
    other.events.times[0] = 77
    assert one.digest() == other.digest()
    other.events.values[1] = 78
    assert one.digest() != other.digest()
    other = sample()
    other.verdict.message = "x"
    assert one.digest() != other.digest()


def test_environment_is_json_of_the_right_kinds():
    data = environment("spawn")
    assert json.loads(json.dumps(data)) == data
    assert list(data) == ["python", "implementation", "gil", "platform", "cpus", "start_method"]
    assert data["start_method"] == "spawn"
    assert type(data["gil"]) is bool


# --- writing ---------------------------------------------------------------------------------
def test_folders_are_made_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "a" / "b" / "run.json"
    sample().save(path)
    sample(2).save(path)
    assert load_trace(path) == sample(2)
    assert os.listdir(path.parent) == ["run.json"]
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("name", ["run.json", "run.json.gz"])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, name):
    path = tmp_path / name
    sample().save(path)
    bad = sample(3)
    bad.events.results[2] = float("nan")
    with pytest.raises(TraceError, match="event 2: result cannot be written as JSON"):
        bad.save(path)
    bad = sample(3)
    bad.events.values[1] = object()
    with pytest.raises(TraceError, match="event 1: value cannot be written as JSON"):
        bad.save(path)
    assert os.listdir(tmp_path) == [name]
    assert load_trace(path) == sample()


def test_a_huge_number_is_refused_with_its_place():
    bad = sample(3)
    bad.events.results[2] = 10**5000
    with pytest.raises(TraceError, match="event 2: result cannot"):
        bad.to_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [({"mode": "wild"}, "mode is 'wild', not one of recorded, controlled"),
     ({"clock": "sun"}, "clock is 'sun', not one of"),
     ({"workers": ["a"]}, "event 1: worker is 1, of 1 workers"),
     ({"workers": ["a", "a"]}, "workers holds 'a' twice"),
     ({"verdict": Verdict("fine")}, "verdict: kind is 'fine'"),
     ({"verdict": Verdict("failed")}, "verdict: failure is None"),
     ({"verdict": Verdict("passed", worker=2)}, "verdict: worker is 2"),
     ({"extra": {"events": 1}}, "no part of the header"),
     ({"scenario": {"x": float("inf")}}, "scenario cannot be written")],
)  # fmt: skip
def test_what_could_not_be_loaded_is_not_saved(tmp_path, change, message):
    trace = sample()
    for key, value in change.items():
        setattr(trace, key, value)
    with pytest.raises(TraceError, match=message):
        trace.save(tmp_path / "run.json")
    assert os.listdir(tmp_path) == []


def test_where_it_cannot_be_written(tmp_path):
    with pytest.raises(UsageError, match="it is a folder"):
        sample().save(tmp_path)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match=r"cannot write .*Not a directory"):
        sample().save(tmp_path / "file" / "run.json")
    with pytest.raises(UsageError, match=r"cannot write .*File name too long"):
        sample().save(tmp_path / ("x" * 300))
    assert (tmp_path / "file").read_text() == "mine"


def test_links_are_followed_and_pipes_written_to(tmp_path):
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    sample().save(tmp_path / "link.json")
    assert (tmp_path / "link.json").is_symlink()
    assert load_trace(tmp_path / "real.json") == sample()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found = []
    reader = threading.Thread(target=lambda: found.append(load_trace(pipe)), daemon=True)
    reader.start()
    sample().save(pipe)
    reader.join(5)
    assert found == [sample()]


# --- malformed files -------------------------------------------------------------------------
def edited(old, new, count=1):
    assert old in EXAMPLE
    return EXAMPLE.replace(old, new, count)


E0 = '"seq": 0, "worker": 0, "op": "read", "target": "counter", "result": 0'
MALFORMED = [
    ("", "x.json:1: it is empty, not a trace"),
    (" \n", "x.json:2: it is empty, not a trace"),
    ("format: tracelock-scenario/1\n", "x.json:1: it is not a JSON object, so not a trace"),
    ("[]", "x.json:1: it is not a JSON object, so not a trace"),
    ("{}", "x.json: key 'format' is missing: this is not a tracelock trace"),
    (b"\x89PNG\r\n\x1a\n", "x.json:1: not UTF-8 text (byte 0), so not a trace"),
    (EXAMPLE.encode().replace(b"finally", b"fin\xffally"), "x.json:16: not UTF-8 text"),
    ('{"format": "tracelock-scenario/1"}', "x.json: format is 'tracelock-scenario/1', not "
     "'tracelock-trace/1': this is not a tracelock trace"),
    (edited("trace/1", "trace/2"), "x.json: format tracelock-trace/2 is newer than this tracelock, "
     "which reads tracelock-trace/1: upgrade it"),
    (edited("trace/1", "trace/2").replace('"events": [', '"events": [{}, '), "upgrade it"),
    (edited("trace/1", "trace/x"), "x.json: format is 'tracelock-trace/x'"),
    (edited(' "backend": "threading",\n', ""), "x.json: key 'backend' is missing"),
    (edited('"backend": "threading"', '"backend": 7'), "x.json: backend is 7, not a string"),
    (edited('"strategy": null', '"strategy": "pct"'),
     "x.json: strategy is 'pct', not an object or null"),
    (edited('"recorded"', '"taped"'), "mode is 'taped', not one of recorded, controlled"),
    (edited('"clock": "real"', '"clock": "sun"'),
     "clock is 'sun', not one of real, virtual, adversarial"),
    (edited('r[1]"]', 'r[0]"]'), "x.json: workers holds 'incrementer[0]' twice"),
    (edited('"incrementer[1]"]', "1]"), "x.json: workers holds 1, not a string"),
    (edited('"clock": "real"', '"clock": "real", "clock": "real"'),
     "x.json:7: key 'clock' appears twice"),
    (edited('"gil": true', '"python": 1'), "x.json:8: key 'python' appears twice in one object"),
    (edited('"cpus": 2', '"cpus": NaN'), "x.json:8: NaN is not JSON"),
    (edited('"cpus": 2', '"cpus": 1e999'), "x.json:8: the number 1e999 is too large"),
    (edited('"cpus": 2', '"cpus": 02'), "x.json:8: not JSON: Expecting ',' delimiter"),
    (edited('"cpus": 2', '"cpus": ' + "[" * 300 + "]" * 300),
     "x.json:8: environment is nested deeper than 200 levels"),
    (edited('"cpus": 2', '"cpus": ' + "[" * 200_000 + "]" * 200_000),
     "x.json:8: nested far too deeply"),
    (EXAMPLE + "{}", "x.json:18: something follows the end of the trace"),
    (edited('"verdict"', '"vredict"'), "x.json: key 'verdict' is missing"),
    (edited('"events"', '"evens"'), "x.json: key 'events' is missing"),
    (edited('"strategy": null', '"events": {}'), "x.json:6: events is not an array"),
    (edited(E0, '"seq": 1' + E0[8:]), "x.json:11: event 0: seq is 1 where 0 comes next"),
    (edited(E0, '"seq": false' + E0[8:]), "x.json:11: event 0: seq is False where 0 comes next"),
    (edited('"seq": 2', '"seq": 3'), "x.json:13: event 2: seq is 3 where 2 comes next"),
    (edited('"worker": 1', '"worker": 2'), "x.json:12: event 1: worker is 2, of 2 workers"),
    (edited('"worker": 1', '"worker": true'), "x.json:12: event 1: worker is True, not a whole"),
    (edited('"worker": 1', '"worker": -1'), "x.json:12: event 1: worker is -1, not a whole number"),
    (edited('"worker": 1', '"worker": 1e0'), "x.json:12: event 1: worker is 1.0, not a whole"),
    (edited('"op": "write"', '"op": "wriet"'), "x.json:13: event 2: unknown op 'wriet'"),
    (edited('"op": "write"', '"op": ["write"]'), "x.json:13: event 2: op is ['write'], not a"),
    (edited('"target": "counter"', '"target": null'), "x.json:11: event 0: target is null"),
    (edited('"target": "counter"', '"target": 3'), "x.json:11: event 0: target is 3, not a"),
    (edited('"at": "s[0]", ', ""), "x.json:11: event 0: key 'at' is missing"),
    (edited(', "t": 1900', ""), "x.json:12: event 1: key 't' is missing"),
    (edited('"t": 1900', '"t": -1'), "x.json:12: event 1: t is -1, not a whole number from 0"),
    (edited('"t": 1900', '"t": 9223372036854775808'), "x.json:12: event 1: t is 92233720368547758"),
    (edited('"t": 1900', '"t": 1.5'), "x.json:12: event 1: t is 1.5"),
    (edited('"t": 1900', '"t": 1, "waited": -1'), "x.json:12: event 1: waited is -1"),
    (edited('"t": 1900', '"t": 1, "waited": null'), "x.json:12: event 1: waited is None"),
    (edited('"t": 1900', '"t": 1, "enabled": 1'), "x.json:12: event 1: enabled is 1, not an array"),
    (edited('"t": 1900', '"t": 1, "enabled": [0, true]'), "x.json:12: event 1: a worker in en"),
    (edited('"t": 1900', '"t": 1, "enabled": [0, 2]'),
     "x.json:12: event 1: enabled is [0, 2], of 2 workers"),
    (edited('"t": 1900', '"t": 1, "timeout": "1"'), "x.json:12: event 1: timeout is '1', not a"),
    (edited('"t": 1900', '"t": 1, "n": null'), "x.json:12: event 1: n is None, not a whole"),
    (edited('"result": 0', '"result": NaN'), "x.json:11: NaN is not JSON"),
    (edited('"result": 0', '"result": -Infinity'), "x.json:11: -Infinity is not JSON"),
    (edited('"result": 0', '"result": ' + "9" * 5000), "x.json:11: Exceeds the limit"),
    (edited('"result": 0', '"result": ' + "[" * 300 + "]" * 300),
     "x.json:11: event 0: a value is nested deeper than 200 levels"),
    (edited('"result": 0', '"result": ,'), "x.json:11: not JSON: Expecting value"),
    (edited('"t": 2900}', '"t": 2900},'), "x.json:15: not JSON: Expecting value"),
    (edited(' ],\n "verdict"', ' ]\n "verdict"'), "x.json:16: not JSON: ',' or '}' should be here"),
    (edited('{"seq": 1', '7, {"seq": 1'), "x.json:12: event 1: it is 7, not an object"),
    (edited('"kind": "failed"', '"kind": "odd"'), "x.json: verdict: kind is 'odd', not one of"),
    (edited('"kind": "failed", ', ""), "x.json: verdict: key 'kind' is missing"),
    (edited('"finally"', '"never"'), "x.json: verdict: failure is 'never', not one of"),
    (edited('"failed"', '"passed"'), "x.json: verdict: failure is 'finally' though kind is"),
    (edited('"state": {"counter": 1}', '"state": []'), "x.json: verdict: state is [], not an"),
    (edited('"blocked": []', '"blocked": [{}]'),
     "x.json: verdict: blocked[0]: key 'worker' is missing"),
    (edited('"blocked": []', '"blocked": [3]'), "x.json: verdict: blocked[0] is 3, not an object"),
    (edited('"blocked": []', '"worker": 2'), "x.json: verdict: worker is 2, of 2"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "message"), MALFORMED, ids=range(len(MALFORMED)))
def test_malformed(document, message):
    with pytest.raises(TraceError) as caught:
        load_trace_text(document, "x.json")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300
    assert by_lines(document) is None


def test_cut_off(tmp_path):
    path = tmp_path / "run.json"
    hint = f"`tracelock recover {path}` writes what is whole to {path}.recovered.json"
    inside = EXAMPLE.index('"seq": 2')
    for stop, where in (
        (len(EXAMPLE) - 3, f" is cut off after event 3: {hint}"),
        (inside + 3, f" is cut off after event 1: {hint}"),
        (EXAMPLE.index('{"seq": 0') + 4, f" is cut off before its first event: {hint}"),
        (100, " is cut off in its header: nothing in it can be recovered"),
    ):
        path.write_text(EXAMPLE[:stop])
        with pytest.raises(TraceError) as caught:
            load_trace(path)
        assert str(caught.value) == f"{path}{where}"


def test_every_cut_is_called_a_cut():
    document = EXAMPLE.replace("counter is 1", "é\\u00e9\\ud83d\\ude00 -1.5e3 \\\\").replace(
        '"state": {', '"state": {"a": [true, false, null, -12, 1.5e3], '
    )
    data = document.encode()
    load_trace_text(data, "x")
    for stop in range(1, len(data) - 1):
        with pytest.raises(TraceError, match="is cut off"):
            load_trace_text(data[:stop], "x")


def test_a_comma_at_the_end_of_a_block_is_refused_too(monkeypatch):
    document = edited('"t": 2900}', '"t": 2900},')
    for size in range(1, len(document), 3):
        monkeypatch.setattr(reading, "_BLOCK", size)
        assert by_lines(document) is None
        assert by_lines(EXAMPLE) == load_trace_text(EXAMPLE, "x")


def test_compressed_and_cut_or_damaged(tmp_path):
    path = tmp_path / "run.json.gz"
    data = gzip.compress(EXAMPLE.encode())
    for stop in range(2, len(data)):
        path.write_bytes(data[:stop])
        with pytest.raises(TraceError, match=r"is cut off|is empty"):
            load_trace(path)
    path.write_bytes(data[:40] + bytes(255 - b for b in data[40:60]) + data[60:])
    with pytest.raises(TraceError, match="is damaged"):
        load_trace(path)
    path.write_bytes(data[:-6] + b"\1\2" + data[-4:])  # its checksum
    with pytest.raises(TraceError, match=r"is damaged.*incorrect data check"):
        load_trace(path)
    path.write_bytes(data + b"more")
    with pytest.raises(TraceError, match="is damaged"):
        load_trace(path)


def test_limits(tmp_path):
    bomb = tmp_path / "bomb.json.gz"
    bomb.write_bytes(gzip.compress(b'{"format": "' + b" " * 30_000_000))
    assert bomb.stat().st_size < 100_000
    with pytest.raises(TraceError, match="too large: its text has more than"):
        load_trace(bomb, limits=Limits(text=1_000_000))
    path = tmp_path / "run.json"
    path.write_text(EXAMPLE)
    with pytest.raises(TraceError, match="too large: its text has more than 500 bytes"):
        load_trace(path, limits=Limits(text=500))
    assert len(load_trace(path, limits=Limits(text=len(EXAMPLE))).events) == 4
    with pytest.raises(TraceError, match="nested deeper than 1 level"):
        load_trace_text(edited('"result": 0', '"result": [[]]'), "x", limits=Limits(depth=1))


def lines(events, header=""):
    """A trace with one event a line, as our own writer has it."""
    start, end = EXAMPLE.index('\n "events": ['), EXAMPLE.index("\n ]")
    return (
        f'{EXAMPLE[:start]}{header}\n "events": [\n' + ",\n".join(events) + EXAMPLE[end:]
    ).encode()


def event(seq, more):
    return f'  {{"seq": {seq}, "worker": 0, "op": "checkpoint", "at": "x", "t": {seq}, {more}}}'


def test_a_device_is_not_read_for_ever():
    with pytest.raises(TraceError, match="not a JSON object"):
        load_trace("/dev/zero")


def test_how_many_events_and_values_there_may_be():
    few = Limits(values=3)
    with pytest.raises(TraceError, match="too large: it has more than 3 events"):
        load_trace_text(lines([event(n, '"n": 1') for n in range(4)]), "x", limits=few)
    with pytest.raises(TraceError, match="too large: its events have more than 3 values"):
        load_trace_text(lines([event(0, '"value": [1, 2, 3]')]), "x", limits=few)
    with pytest.raises(TraceError, match="too large: its events have more than 3 values"):
        load_trace_text(lines([event(n, '"mine": 1, "x": 2') for n in range(2)]), "x", limits=few)


def test_not_there_or_not_a_file(tmp_path):
    with pytest.raises(TraceError, match=r"cannot read .*missing.json: No such file"):
        load_trace(tmp_path / "missing.json")
    with pytest.raises(TraceError, match="is a folder, not a trace"):
        load_trace(tmp_path)
    with pytest.raises(TraceError, match="cannot read"):
        load_trace("nul\0byte")


def test_a_whole_document_may_hide_another_one():
    """The marks that the quick way looks for, where they mean something else."""
    inner = json.dumps(json.loads(EXAMPLE), indent=1)
    outer = EXAMPLE.replace('"the whole scenario document, as data"', inner)
    assert load_trace_text(outer, "x").scenario == {"...": json.loads(EXAMPLE)}
    outer = EXAMPLE.replace('"the whole scenario document, as data"', EXAMPLE)
    assert load_trace_text(outer, "x").scenario == {"...": json.loads(EXAMPLE)}
    nested = EXAMPLE.replace('"result": 0', '"result": [\n  {"a": 1},\n  [0\n ]]', 1)
    assert load_trace_text(nested, "x").events[0].result == [{"a": 1}, [0]]


def test_loading_leaves_the_collector_as_it_was():
    assert gc.isenabled()
    load_trace_text(EXAMPLE, "x")
    assert gc.isenabled()
    gc.disable()
    try:
        load_trace_text(EXAMPLE, "x")
        assert not gc.isenabled()
    finally:
        gc.enable()

"""A trace that is written as the run goes, and what is left of it when the run is killed."""

import gzip
import json
import os
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.amount import amount
from tracelock.errors import TraceError, UsageError
from tracelock.trace import (
    Events,
    Limits,
    Trace,
    TraceWriter,
    Verdict,
    load_trace,
    reading,
    recover,
    recovered_name,
    recovery,
    text,
)
from tracelock.trace import events as event_columns


def sample(count=6):
    events = Events()
    shapes = [events.shape(op, "zähler", "s[0]") for op in ("read", "write")]
    for i in range(count):
        events.append(i % 2, shapes[i % 2], i, value="€}],\n" * (i % 3), result=[i, {"x": -1.5}])
    return Trace({"name": "ü"}, "threading", "recorded", None, "real", {"cpus": 2}, ["a", "b"],
                 events, Verdict("passed", state={"x": [1, 2]}))  # fmt: skip


def same_events(found, events):
    return [e.to_data() for e in found] == [e.to_data() for e in events[: len(found)]]


def check_all_cuts(path, data, trace, stops):
    kept, header_lost = set(), 0
    for stop in stops:
        path.write_bytes(data[:stop])
        try:
            found = recover(path)
        except TraceError as problem:
            header_lost += 1
            assert "nothing can be recovered" in str(problem)
            assert not kept, "a longer prefix must not lose what a shorter one had"
            continue
        assert found.events_kept == len(found.trace.events)
        assert found.events_kept >= max(kept, default=0)
        kept.add(found.events_kept)
        assert same_events(found.trace.events, trace.events)
        assert found.trace.header() == trace.header()
        assert found.trace.verdict.kind == "unfinished"
        assert found.trace.verdict.message.startswith("recovered: the file was cut off ")
        assert path.read_bytes() == data[:stop]
        found.trace.save(recovered_name(str(path)))
        assert load_trace(recovered_name(str(path))) == found.trace
    assert header_lost
    return kept


def test_cut_off_at_every_byte(tmp_path):
    trace = sample(4)
    data = text.encode(trace.to_text())
    kept = check_all_cuts(tmp_path / "run.json", data, trace, range(len(data) - 1))
    assert kept == {0, 1, 2, 3, 4}


def test_compressed_and_cut_off_at_every_byte(tmp_path):
    trace, data = hard_to_compress(tmp_path / "run.json.gz")
    stops = [*range(0, len(data), 7), *range(len(data) - 12, len(data))]
    kept = check_all_cuts(tmp_path / "run.json.gz", data, trace, stops)
    assert max(kept) == 60
    assert len(kept) > 10


def hard_to_compress(path):
    trace = sample(60)
    trace.events.values[:] = [str(hash((i, 0.5)) ** 3) for i in range(60)]
    trace.save(path)
    return trace, path.read_bytes()


def test_compressed_and_damaged_late_keeps_what_came_before(tmp_path):
    path = tmp_path / "run.json.gz"
    trace, data = hard_to_compress(path)
    for damaged in (data[:-8] + b"\1\2\3\4" + data[-4:], data + b"more"):  # the checksum; the end
        path.write_bytes(damaged)
        assert recover(path).events_kept == 60
    path.write_bytes(data[: len(data) // 2] + b"\xff" * 40 + data[len(data) // 2 + 40 :])
    found = recover(path)
    assert found.events_kept > 5
    assert same_events(found.trace.events.part(0, 5), trace.events)


def test_small_bites_give_the_same(tmp_path, monkeypatch):
    path = tmp_path / "run.json.gz"
    sample(200).save(path)
    data = path.read_bytes()
    for stop in range(len(data) // 2, len(data), amount(23, 5)):
        path.write_bytes(data[:stop])
        monkeypatch.setattr(reading, "_BLOCK", 1 << 20)
        whole = recover(path)
        for size in (17, 64):
            monkeypatch.setattr(reading, "_BLOCK", size)
            assert recover(path) == whole


def test_how_much_was_dropped(tmp_path):
    path = tmp_path / "run.json"
    data = text.encode(sample().to_text())
    stop = data.index(b'{"seq": 3') + 20
    path.write_bytes(data[:stop])
    found = recover(path)
    assert found.events_kept == 3
    assert data[: stop - found.dropped_bytes].endswith(b'"t": 2}')
    assert found.note == "the file was cut off after event 2"
    assert found.trace.verdict.message == "recovered: the file was cut off after event 2"


def test_a_whole_file_keeps_its_verdict(tmp_path):
    for name in ("run.json", "run.json.gz"):
        sample().save(tmp_path / name)
        found = recover(tmp_path / name)
        assert found.trace == sample()
        assert (found.dropped_bytes, found.events_kept) == (0, 6)
        assert found.note == "the file is whole: nothing was dropped"


@settings(derandomize=True, deadline=None, max_examples=amount(30, 150))
@given(st.integers(0, 2000), st.binary(min_size=1, max_size=6), st.booleans())
def test_damage_anywhere_keeps_a_true_prefix(tmp_path_factory, start, junk, packed):
    """Whatever is read before the damage is as it was; only damaged values may differ."""
    trace = sample()
    data = text.encode(trace.to_text())
    data = gzip.compress(data, mtime=0) if packed else data
    start %= len(data)
    path = tmp_path_factory.mktemp("damage") / "run.json"
    path.write_bytes(data[:start] + junk + data[start + len(junk) :])
    try:
        found = recover(path)
    except TraceError:
        return
    whole = 0 if packed else data[:start].count(b"},\n  {")
    assert found.events_kept >= whole
    assert same_events(found.trace.events.part(0, whole), trace.events)


def damaged(random, data):
    """``data`` with one or two things wrong with it."""
    for _ in range(random.choice((1, 1, 2))):
        at = random.randrange(len(data))
        match random.randrange(6):
            case 0:
                data = data[:at] or b"{"
            case 1:
                data = (
                    data[:at] + bytes([random.choice(b'[]{}",\n :\xff\x009eE.-')]) + data[at + 1 :]
                )
            case 2:
                data = data[:at] + data[at + random.randrange(1, 9) :]
            case 3:
                piece = random.choice(
                    (b"\n ]", b"},\n", b'"', b"[", b"{", reading.BOM, reading.EVENTS)
                )
                data = data[:at] + piece + data[at:]
            case 4:
                data = (data[:at] + data[random.randrange(len(data)) :]) or b"{"
            case _:
                data = data.replace(b'"worker": 1', b'"worker": 7', 1)
    if random.random() < 0.2:
        data = gzip.compress(data, mtime=0)
        if random.random() < 0.7:
            data = data[: random.randrange(2, len(data))]
    return data


@pytest.mark.parametrize("block", [50, 300, 1 << 20])
def test_by_lines_and_as_a_whole_recover_the_same(tmp_path, monkeypatch, block):
    monkeypatch.setattr(reading, "_BLOCK", block)
    by_lines, path, random = recovery._by_lines, tmp_path / "run.json", Random(block)
    data = text.encode(sample(30).to_text())

    def found(way):
        monkeypatch.setattr(recovery, "_by_lines", way)
        try:
            return recover(path)
        except TraceError as problem:
            return str(problem)

    kept = set()
    for _ in range(amount(150, 2000)):
        path.write_bytes(damaged(random, data))
        one = found(by_lines)
        assert one == found(lambda *_: None), path.read_bytes()
        kept.add(one if isinstance(one, str) else one.events_kept)
    assert len(kept) > 20


def test_of_a_long_file_only_what_is_damaged_is_looked_at_closely(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_BLOCK", 1000)
    path = tmp_path / "run.json"
    data = text.encode(sample(5000).to_text())
    path.write_bytes(data[: len(data) - 300])
    seen = []
    read = recovery.read_document

    def noted(content, *more):
        seen.append(len(content))
        read(content, *more)

    monkeypatch.setattr(recovery, "read_document", noted)
    assert recover(path, limits=Limits(whole=10)).events_kept > 4990
    assert len(seen) == 2 and max(seen) < 5000 < len(data)


def test_damage_in_the_middle(tmp_path):
    path = tmp_path / "run.json"
    data = text.encode(sample().to_text())
    for old, new, count, why in (
        (b'"seq": 3', b'"seq": 7', 3, "the file is damaged (event 3: seq is 7 where 3 comes next)"),
        (b'{"seq": 2', b"\0\0\0\0\0\0\0\0\0", 2, "the file is damaged (not JSON: "),
        (b'"seq": 2, "worker": 0', b'"seq": 2, "worker": 9', 2,
         "the file is damaged (event 2: worker is 9, of 2 workers)"),
        (b'"passed"', b'"pissed"', 6, "the file is damaged (verdict: kind is 'pissed'"),
        (b'{"seq": 4', b'\xff"seq": 4', 4, "the file was cut off"),
    ):  # fmt: skip
        path.write_bytes(data.replace(old, new))
        found = recover(path)
        assert found.events_kept == count
        assert found.note.startswith(why)
        assert found.note.endswith(f" after event {count - 1}")
        assert found.trace.verdict.kind == "unfinished"


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "nothing can be recovered"),
     (b"{}", "key 'format' is missing: this is not a tracelock trace"),
     (b'{"format": "tracelock-scenario/1"}', "not a tracelock trace"),
     (b'{"format": "tracelock-trace/2"', "upgrade"),
     (b"\x1f\x8b", "nothing can be recovered"),
     (b"\x89PNG", "nothing can be recovered")],
)  # fmt: skip
def test_what_cannot_be_recovered(tmp_path, content, message):
    path = tmp_path / "run.json"
    path.write_bytes(content)
    with pytest.raises(TraceError, match=message):
        recover(path)
    assert path.read_bytes() == content


def test_recover_is_bounded(tmp_path):
    path = tmp_path / "run.json.gz"
    path.write_bytes(gzip.compress(b'{"' + b" " * 10_000_000))
    with pytest.raises(TraceError, match="too large"):
        recover(path, limits=Limits(text=100_000))
    with pytest.raises(TraceError, match="No such file"):
        recover(tmp_path / "missing")


# --- as the run goes -------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["run.json", "run.json.gz"])
def test_written_as_the_run_goes_is_the_same_file(tmp_path, monkeypatch, name):
    monkeypatch.setattr(event_columns, "CHUNK", 2)
    trace = sample(9)
    path = tmp_path / "new" / name
    growing = Events()
    with TraceWriter(path, trace.header()) as writer:
        for event in trace.events:
            shape = growing.shape(event.op, event.target, event.at)
            growing.append(event.worker, shape, event.t, event.value, event.result)
            if event.seq % 4 == 3:
                writer.write(growing)
                writer.write(growing)
                assert not path.exists()
        writer.write(growing)
        assert writer.written == 9
        assert writer.close(trace.verdict) == path
    assert load_trace(path) == trace
    assert os.listdir(path.parent) == [name]
    if name == "run.json":
        assert path.read_text("utf-8") == trace.to_text()


@pytest.mark.parametrize("name", ["run.json", "run.json.gz"])
def test_left_early_it_can_be_recovered(tmp_path, name):
    trace = sample()
    writer = TraceWriter(tmp_path / name, trace.header(), sync=True)
    with pytest.raises(KeyError), writer:
        writer.write(trace.events.part(0, 4))
        raise KeyError
    assert os.listdir(tmp_path) == [f"{name}.partial"]
    found = recover(writer.partial)
    assert found.events_kept == 4
    assert same_events(found.trace.events, trace.events)
    with pytest.raises(TraceError, match="is cut off after event 3"):
        load_trace(writer.partial)
    with pytest.raises(TraceError, match="is closed"):
        writer.write(trace.events)


def test_an_earlier_partial_file_is_kept(tmp_path):
    path = tmp_path / "run.json"
    trace = sample()
    first = TraceWriter(path, trace.header())
    second = TraceWriter(path, trace.header())
    assert first.partial != second.partial
    assert second.partial.name == "run.json.2.partial"
    first.abort()
    second.write(trace.events)
    second.close(trace.verdict)
    assert sorted(os.listdir(tmp_path)) == ["run.json", "run.json.partial"]
    first.discard()
    assert os.listdir(tmp_path) == ["run.json"]
    assert load_trace(path) == trace


def test_a_writer_refuses_what_could_not_be_loaded(tmp_path):
    header = sample().header()
    with pytest.raises(TraceError, match="mode is 'wild'"):
        TraceWriter(tmp_path / "run.json", {**header, "mode": "wild"})
    with pytest.raises(UsageError, match="it is a folder"):
        TraceWriter(tmp_path, header)
    with pytest.raises(UsageError, match="as the run goes"):
        TraceWriter(os.devnull, header)
    assert os.listdir(tmp_path) == []
    with TraceWriter(tmp_path / "run.json", {**header, "workers": ["a"]}) as writer:
        with pytest.raises(TraceError, match="event 1: worker is 1, of 1"):
            writer.write(sample().events)
        with pytest.raises(TraceError, match="verdict: worker is 1"):
            writer.close(Verdict("passed", worker=1))
    assert recover(writer.partial).events_kept == 0


def test_a_file_without_a_verdict_is_damaged(tmp_path):
    path = tmp_path / "run.json"
    data = json.loads(sample().to_text())
    del data["verdict"]
    path.write_text(json.dumps(data))
    found = recover(path)
    assert found.events_kept == 6
    assert found.note == "the file is damaged (it has no verdict) after event 5"
    assert found.trace.verdict.kind == "unfinished"

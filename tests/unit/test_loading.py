"""Documents become scenarios; what is wrong is told all at once, in plain words, with places."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.amount import amount
from tests.helpers.scenario_strategies import scenarios, spoilt
from tracelock.errors import ScenarioError
from tracelock.scenario.documents.document import CutDocument
from tracelock.scenario.documents.reading import read_document
from tracelock.scenario.language.models import Scenario, WorkerDecl
from tracelock.scenario.language.verbs import Acquire, CompareExchange, If, With, Write
from tracelock.scenario.loading import load_scenario, load_scenario_text, scenario_from_data

DATA = Path(__file__).parents[1] / "data"
NOT_SCENARIOS = {"traces.json", "sctbench.json"}
DOCUMENTS = sorted(
    path
    for pattern in ("examples/*.yaml", "oracles/**/*.json")
    for path in DATA.glob(pattern)
    if path.name not in NOT_SCENARIOS
)
LIBRARY = sorted((DATA.parents[1] / "scenarios").glob("*.yaml"))[::8]
PROFILE = settings(derandomize=True, deadline=None, max_examples=amount(20, 60))
HEAD = "format: tracelock-scenario/1\nname: x\n"


def problems(text: str, kind: Any = "yaml") -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        load_scenario_text(text, "f", kind)
    return [str(problem) for problem in caught.value.problems]


def steps(*lines: str, shared: str = "{v: 0, a: [1, 2]}", objects: str = "{m: lock}") -> list[str]:
    """Problems of a worker with these lines of steps; the first of them is line 7."""
    text = f"{HEAD}shared: {shared}\nobjects: {objects}\nworkers:\n  w: {{steps: [\n"
    text += "\n".join(lines) + "]}\n"
    return [problem.removeprefix("f:") for problem in problems(text)]


def test_there_are_documents() -> None:
    assert len(DOCUMENTS) > 50


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_document_loads_and_survives_a_round_trip(path: Path) -> None:
    scenario = load_scenario(path)
    assert scenario_from_data(scenario.to_data()) == scenario
    assert load_scenario_text(json.dumps(scenario.to_data()), "x.json") == scenario
    assert load_scenario_text(scenario.to_yaml(), "x.yaml") == scenario


def test_bank_transfer_as_models() -> None:
    scenario = load_scenario(DATA / "examples" / "bank_transfer.yaml")
    assert scenario.shared == {"balance": [100, 100]}
    assert scenario.objects["account"].count == 2
    assert scenario.expect["trio"].verdict == "deadlock"
    step = scenario.workers["transfer"].steps[0]
    assert isinstance(step, With) and step.with_ == "account[index]"
    inner = step.do[1]
    assert isinstance(inner, With)
    assert inner.do[0] == Write(write="balance[index]", value="balance[index] - 10")


def test_many_problems_at_once_in_order() -> None:
    text = """\
format: tracelock-scenario/1
name: 3
descripton: x
shared: {counter: 0, nest: [[1]], counter: 1}
objects:
  guard: lok
  many: {type: lock, count: true}
workers:
  w:
    steps:
      - aquire: guard
      - acquire: guard
        inot: x
      - write: counter
        vlaue: 1
      - acquire: many
        release: many
      - write: countr
        value: counter + cuonter
always: [index > 0]
expect: {threding: fails}
"""
    assert problems(text) == [
        "f:2:7: name: a text belongs here, not a number; quote it",
        'f:3:1: descripton: unknown key "descripton" (did you mean "description"?)',
        "f:4:29: shared.nest[0]: one value or a flat list of values belongs here,"
        " not a list in a list",
        'f:4:35: shared.counter: duplicate key "counter"',
        'f:6:10: objects.guard.type: unknown type "lok" (did you mean "lock"?)',
        "f:7:29: objects.many.count: a whole number belongs here, not true",
        'f:11:9: workers.w.steps[0]: unknown verb "aquire" (did you mean "acquire"?)',
        'f:13:9: workers.w.steps[1].inot: unknown key "inot" for acquire (did you mean "into"?)',
        'f:15:9: workers.w.steps[2].vlaue: unknown key "vlaue" for write (did you mean "value"?)',
        "f:16:9: workers.w.steps[3]: a step has one verb, and this one has acquire and release:"
        " write one step for each",
        'f:18:16: workers.w.steps[4].write: unknown shared variable "countr"'
        ' (did you mean "counter"?)',
        'f:19:26: workers.w.steps[4].value: unknown name "cuonter" (did you mean "counter"?)',
        'f:20:10: always[0]: "index" belongs to a worker: here only shared variables are seen',
        'f:21:10: expect.threding: unknown backend "threding" (did you mean "threading"?)',
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{acquire: m, relase: m}", "did you mean release, a step of its own?"),
        ("{write: v, value: 1, into: x}", 'unknown key "into" for write (there is value)'),
        ("{set: m, n: 1}", 'unknown key "n" for set (set has no others)'),
        ("{wirte: v, value: 1}", 'unknown verb "wirte" (did you mean "write"?)'),
        ("{into: x}", "this step has no verb, only into"),
        ("{}", "this step is empty"),
        ("chekpoint", 'unknown verb "chekpoint" (did you mean "checkpoint"?)'),
        ("': x'", 'unknown verb ": x"'),
        ("acquire", '"acquire" is no bare word: write "acquire: ..."'),
        ("acquire m", '"acquire" is no bare word'),
        ("7", "a step belongs here, not a number"),
        ("[]", "a step belongs here, not a list"),
        ("~", "a step belongs here, not nothing (null)"),
        ("{checkpoint: 3}", "checkpoint takes no value"),
        ("{write: v}", 'missing key "value" (write needs it)'),
        ("{write: v, value: [1]}", "one value or an expression belongs here, not a list"),
        ("{write: [v], value: 1}", "the name of a shared variable belongs here, not a list"),
        ("{acquire: m, blocking: 1}", "true or false belongs here, not a number"),
        ("{acquire: m, blocking: no}", "true or false belongs here, not a text"),
        ("{with: m, do: checkpoint}", "a list of steps belongs here, not a text"),
        ("{let: 3}", "a mapping of locals to their values belongs here, not a number"),
        ("{fail: 404}", "a text belongs here, not a number; quote it"),
        ("{call: 'os:x', args: 3}", "a list of expressions belongs here, not a number"),
        ("{sleep: .inf}", "infinity and NaN"),
        ("{wait: m, put: m}", "this one has wait and put"),
        ("{try: [], do: []}", 'unknown key "do" for try'),
        ("{if: v, else_: []}", 'unknown key "else_" for if (did you mean "else"?)'),
        ("{with_: m, do: []}", 'unknown verb "with_" (did you mean "with"?)'),
    ],
)
def test_steps_of_the_wrong_shape(line: str, problem: str) -> None:
    found = steps(line)
    assert any(one.startswith("7:") and problem in one for one in found), found


@pytest.mark.parametrize(
    "line",
    [
        "{acquire: m, timeout: 1, into: x}",
        "{timeout: 1, do: [{acquire: m, timeout: 1}], into: late}",
        "{join: w, timeout: 1}",
        "{try: [checkpoint], finally: [stop]}",
        "{checkpoint: }",
        "{crash: true}",
        "{if: v, else: [checkpoint]}",
        "{if: v, then: []}",
    ],
)
def test_steps_of_the_right_shape(line: str) -> None:
    text = f"{HEAD}shared: {{v: 0}}\nobjects: {{m: lock}}\nworkers: {{w: {{steps: [{line}]}}}}\n"
    scenario = load_scenario_text(text, "f")
    assert scenario_from_data(scenario.to_data()) == scenario


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", ["f:1:1: a mapping with format, name and workers belongs here, not a list"]),
        ("word", ["f:1:1: a mapping with format, name and workers belongs here, not a text"]),
        (
            "{}",
            [
                'f:1:1: missing key "format" (it is "tracelock-scenario/1")',
                'f:1:1: missing key "name"',
                'f:1:1: missing key "workers"',
            ],
        ),
        (HEAD + "worker: {}", ['f:3:1: worker: unknown key "worker" (did you mean "workers"?)']),
        (HEAD + "workers: {}", ["f:3:10: workers: there must be at least one worker"]),
        (HEAD + "workers: 3", ["f:3:10: workers: a mapping belongs here, not a number"]),
        (
            HEAD + "workers: {w: 3}",
            ["f:3:14: workers.w: a mapping with steps belongs here, not a number"],
        ),
        (HEAD + "workers: {w: {}}", ['f:3:14: workers.w: missing key "steps"']),
        (
            HEAD + "workers: {w: {step: []}}",
            ['f:3:15: workers.w.step: unknown key "step" (did you mean "steps"?)'],
        ),
        (
            HEAD + "workers: {w: {steps: []}}\nruby: {}",
            [
                'f:4:1: ruby: unknown key "ruby" (there are format, name, description,'
                " shared, objects, workers, always, finally, expect, python)"
            ],
        ),
        (
            HEAD.replace("/1", "/2") + "workers: {w: {steps: []}}",
            [
                'f:1:9: format: unknown format "tracelock-scenario/2":'
                ' this version reads "tracelock-scenario/1"'
            ],
        ),
    ],
)
def test_documents_of_the_wrong_shape(text: str, expected: list[str]) -> None:
    assert problems(text) == expected


def test_what_is_broken_is_not_told_twice() -> None:
    found = steps("{read: v, into: &x y},", "{write: v, value: *x},", "{write: v, value: !t [1]}")
    assert found == [
        "7:17: workers.w.steps[0].into: anchors (&name) are refused: there are no aliases",
        "8:19: workers.w.steps[1].value: aliases (*name) are refused: write the value out",
        "9:19: workers.w.steps[2].value: tags (!name) are refused",
    ]


def test_lost_steps_may_have_set_locals() -> None:
    found = steps("{raed: v, into: x},", "{write: v, value: x + y}")
    assert found == [
        '7:1: workers.w.steps[0]: unknown verb "raed" (did you mean "read"?)',
        '8:23: workers.w.steps[1].value: unknown name "y"',
    ]


CUT = """\
format: tracelock-scenario/1
name: bad
objects:
  m: lok
workers:
  w:
    count: two
    steps:
      - raed: x
      - write: unknown
        value: 3 +
      - assert: later ==
      - write: n
        value: "n + 1
finally:
  - n == 2
"""


def test_what_is_wrong_before_a_mistake_of_syntax_is_told_too() -> None:
    """But for what the rest of the document may declare."""
    assert problems(CUT) == [
        'f:4:6: objects.m.type: unknown type "lok" (did you mean "lock"?)',
        "f:7:12: workers.w.count: a whole number belongs here, not a text",
        'f:9:9: workers.w.steps[0]: unknown verb "raed" (did you mean "read"?)',
        "f:11:19: workers.w.steps[1].value: this cannot be read as an expression:"
        " it ends too early",
        "f:12:25: workers.w.steps[2].assert: this cannot be read as an expression:"
        " it ends too early",
        "f:17:1: workers.w.steps[3].value: not valid YAML: the document ends inside a quoted text",
    ]
    text = '{"shared": {"n": [[]]}, "format": "tracelock-scenario/1", "name": "x", "workers" {}}'
    assert [one.split(": ")[1] for one in problems(text, "json")] == ["shared.n[0]", "workers"]


@pytest.mark.parametrize("broken", ["\t@", '"', "}", "- [", "x: y: z", "{a: 1", "  - : -"])
@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.stem)
def test_a_mistake_of_syntax_makes_no_others(path: Path, broken: str) -> None:
    """In a sound document a line that cannot be read is the one thing that is told of."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    cuts = 0
    for number in range(1, len(lines) + 1):
        text = "".join([*lines[:number], broken + "\n", *lines[number:]])
        try:
            read_document(text, "f")
        except CutDocument:
            cuts += 1
            assert len(problems(text)) == 1, text
        except ScenarioError:
            continue
    assert cuts or broken == "  - : -"


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.stem)
def test_json_that_is_cut_off_makes_no_others(path: Path) -> None:
    text = json.dumps(load_scenario(path).to_data(), indent=1)
    for end in range(1, len(text), 7):
        assert len(problems(text[:end], "json")) == 1, text[:end]


def test_json_problems_have_places_too() -> None:
    text = (
        '{"format": "tracelock-scenario/1",\n "name": "x",\n "workers": {"w": {"steps": ["stp"]}}}'
    )
    assert problems(text, "json") == [
        'f:3:30: workers.w.steps[0]: unknown verb "stp" (did you mean "stop"?)'
    ]


def test_files(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="cannot be read"):
        load_scenario(tmp_path / "none.yaml")
    path = tmp_path / "x.json"
    path.write_text('{"format": ')
    with pytest.raises(ScenarioError, match=r"x\.json:1:12: format: the document ends too early"):
        load_scenario(path)


def test_data_without_places() -> None:
    with pytest.raises(ScenarioError) as caught:
        scenario_from_data({"format": "tracelock-scenario/1", "name": "x", "workers": {"w": 3}})
    (problem,) = caught.value.problems
    assert (problem.line, problem.path) == (0, "workers.w")
    assert str(problem) == "scenario: workers.w: a mapping with steps belongs here, not a number"


def test_data_that_holds_itself() -> None:
    data: dict[str, Any] = {"format": "tracelock-scenario/1"}
    data["workers"] = data
    with pytest.raises(ScenarioError, match="nested deeper"):
        scenario_from_data(data)
    wide: list[Any] = []
    for _ in range(90):  # each level holds the next twice: 2 ** 90 paths
        wide = [wide, wide]
    with pytest.raises(ScenarioError):
        scenario_from_data(wide)


def test_very_many_problems_are_cut_short() -> None:
    found = steps(*["7,"] * 3000, "8")
    assert len(found) == 1001
    assert found[-1].endswith("and more problems than can be told")


def test_built_in_python_from_models_and_dicts() -> None:
    block: Any = [Acquire(acquire="m"), {"release": "m"}, "checkpoint"]
    scenario = Scenario(
        name="x",
        shared={"v": 0},
        objects={"m": "lock"},  # type: ignore[dict-item]
        workers={
            "w": {"steps": [With(with_="m", do=block)]},  # type: ignore[dict-item]
            "u": WorkerDecl(
                steps=[
                    If(
                        if_="v",
                        else_=[
                            CompareExchange.model_validate(
                                {"compare_exchange": "v", "expect": 0, "value": None}
                            )
                        ],
                    )
                ]
            ),
        },
    )
    data = scenario.to_data()
    assert data == {
        "format": "tracelock-scenario/1",
        "name": "x",
        "shared": {"v": 0},
        "objects": {"m": "lock"},
        "workers": {
            "w": {
                "steps": [{"with": "m", "do": [{"acquire": "m"}, {"release": "m"}, "checkpoint"]}]
            },
            "u": {
                "steps": [
                    {"if": "v", "else": [{"compare_exchange": "v", "expect": 0, "value": None}]}
                ]
            },
        },
    }
    assert scenario_from_data(data) == scenario


def test_values_keep_their_kind() -> None:
    data = {
        "format": "tracelock-scenario/1",
        "name": "x",
        "shared": {"a": True, "b": 1, "c": 1.0, "d": [None, False, 0, "0"]},
        "workers": {"w": {"steps": [{"write": "b", "value": True}, {"sleep": 1.0}]}},
    }
    for text in (json.dumps(data), scenario_from_data(data).to_yaml()):
        assert repr(load_scenario_text(text, "f").to_data()) == repr(data)


@PROFILE
@given(scenarios())
def test_round_trip(data: dict[str, Any]) -> None:
    scenario = scenario_from_data(data)
    plain = scenario.to_data()
    assert scenario_from_data(plain) == scenario
    assert load_scenario_text(scenario.to_yaml(), "f.yaml") == scenario
    text = json.dumps(plain)
    assert load_scenario_text(text, "f.json") == scenario
    assert load_scenario_text(text, "f.yaml") == scenario
    assert scenario_from_data(plain).to_data() == plain


@settings(PROFILE, max_examples=amount(50, 200))
@given(spoilt())
def test_spoilt_documents_are_told_in_plain_words(data: dict[str, Any]) -> None:
    try:
        from_data = scenario_from_data(data)
    except ScenarioError as error:
        told = [(problem.path, problem.message) for problem in error.problems]
        with pytest.raises(ScenarioError) as caught:
            load_scenario_text(json.dumps(data, indent=1), "f.json")
        located = caught.value.problems
        assert sorted((problem.path, problem.message) for problem in located) == sorted(told)
        for problem in located:
            assert problem.line >= 1 and problem.column >= 1
            assert "\n" not in str(problem)
            for jargon in ("Input should", "pydantic", "discriminator", "valid dictionary"):
                assert jargon not in problem.message
    else:
        assert scenario_from_data(from_data.to_data()) == from_data


@settings(PROFILE, max_examples=amount(30, 100))
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.sampled_from(["w", "steps", "lock"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["format", "name", "workers", "steps", "w", "objects", "with", "do"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=25,
    )
)
def test_any_data_is_a_scenario_or_an_error(data: Any) -> None:
    with pytest.raises(ScenarioError) as caught:
        scenario_from_data(data)
    assert caught.value.problems

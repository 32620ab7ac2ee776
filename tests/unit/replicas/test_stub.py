"""Stubs: what they answer, and what is said of one that was written wrongly."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.nesting import nest
from truss_async.errors import SettingsError
from truss_async.replicas.settings import DeploymentSettings
from truss_async.replicas.stub import read_answers
from truss_async.replicas.stub.answers import UnknownInputError
from truss_async.replicas.stub.model import is_drawn


def written(folder: Path, text: str, name: str = "answers.jsonl") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


@pytest.mark.parametrize(
    ("given", "output"),
    [
        ('{"text": "x"}', {"text": "x"}),
        ('"echo"', "echo"),
        ("null", None),
        (" [1, 2]", [1, 2]),
        ({"text": "x"}, {"text": "x"}),
        ([], []),
        (7, 7),
        (False, False),
    ],
)
def test_json_is_answered_whatever_is_asked(given: Any, output: Any) -> None:
    answers = read_answers(given)
    first, second = answers.output_for({"a": 1}), answers.output_for(None)
    assert first == second == output
    assert first is not second or not isinstance(output, dict | list)  # a caller may change it


def test_echo_answers_the_input() -> None:
    assert read_answers("echo").output_for({"page": 1}) == {"page": 1}


LINES = (
    '\ufeff{"input": {"a": 1, "b": [true, 1.0]}, "output": 1}\r\n\r\n{"input": true, "output": {"é": 2}}\n'
)


@pytest.mark.parametrize(
    ("model_input", "output"),
    [({"b": [True, 1], "a": 1.0}, 1), ({"a": 1, "b": [True, 1.0]}, 1), (True, {"é": 2})],
)
@pytest.mark.parametrize("as_path", [True, False])
def test_a_file_answers_the_inputs_that_mean_the_same(
    tmp_path: Path, model_input: Any, output: Any, as_path: bool
) -> None:
    file = written(tmp_path, LINES)
    answers = read_answers(Path(file) if as_path else file)
    assert answers.output_for(model_input) == output
    assert answers.example_input == {"a": 1, "b": [True, 1.0]}


@pytest.mark.parametrize(
    "model_input", [1, 1.0, "true", {"a": 1}, {"a": True, "b": [1, 1]}, b"no JSON", nest(1, 5000)]
)
def test_an_input_that_no_line_has_is_unknown(tmp_path: Path, model_input: Any) -> None:
    file = written(tmp_path, LINES)
    with pytest.raises(UnknownInputError, match=r"add it to the 2 in .*answers\.jsonl"):
        read_answers(file).output_for(model_input)


def test_the_examples_of_a_truss_are_answered_once_they_have_outputs(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("examples_filename: shown.yaml\n")
    written(tmp_path, "- {name: one, input: {a: 1}, output: [2]}\n", "shown.yaml")
    assert read_answers("examples", truss_dir=tmp_path).output_for({"a": 1}) == [2]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.jsonl", "", "a.jsonl is empty; each of its lines is"),
        ("a.jsonl", "\n \n", "a.jsonl is empty"),
        ("a.jsonl", '{"input": 1, "output": 1}\n' * 6 + "{oops\n", "a.jsonl, line 7 is not JSON"),
        ("a.jsonl", '{"input": 1}\n', "a.jsonl, line 1 has no output; write it as"),
        ("a.jsonl", "[1]\n", "a.jsonl, line 1 has no input"),
        (
            "a.jsonl",
            '{"input": 1, "output": 1}\n{"input": 1.0, "output": 2}',
            "line 2 has the same input as line 1",
        ),
        ("a.yaml", "- {name: one, input: 1}\n", "a.yaml, example 1 has no output; write it as"),
        ("a.yaml", "one: 1\n", "a.yaml must be a list of examples"),
        ("a.yml", "{oops", "a.yml is not valid YAML"),
        ("a.yaml", "", "a.yaml is empty"),
        ("a.yaml", "- {input: 1, output: 2026-01-01}\n", None),
    ],
)
def test_a_file_that_is_wrong_is_told_with_its_place(
    tmp_path: Path, name: str, text: str, told: str | None
) -> None:
    file = written(tmp_path, text, name)
    if told is None:  # a date is written as text
        assert read_answers(file).output_for(1) == "2026-01-01"
        return
    with pytest.raises(SettingsError) as caught:
        read_answers(file)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"stub": "{text: x}"}, "stub: {text: x} is not valid JSON ("),
        ({"stub": "absent.jsonl"}, "the file absent.jsonl does not exist; a stub is JSON, echo, or a file"),
        ({"stub": "/"}, "cannot read /: Is a directory"),
        ({"stub": {"a": {1}.union}}, "the stub's output cannot be converted to JSON"),
        ({"stub": "examples"}, "--stub examples needs a truss; give its folder"),
        ({"stub": "examples", "truss_dir": "/absent"}, "no config.yaml in /absent"),
        ({"stub": "echo", "model_url": "http://x.test"}, "give a stub or a model, not both"),
        (
            {"stub": "echo", "chain": "c.py"},
            "a chain has stubs per chainlet; give them under",
        ),
        ({"stub": "x" * 5000}, "File name too long"),
        ({"stub": "echo", "model": len}, "give a stub or a model, not both"),
        ({"model": len, "latency_seconds": 1}, "a latency or fail rate needs a stub"),
        ({"model": len, "fail_rate": 0.5}, "a latency or fail rate needs a stub"),
        ({"stub": "echo", "fail_rate": 10}, "less than or equal to 1"),
        (
            {"stub": "echo", "latency_seconds": "soon"},
            "'soon' is not a duration; write it as 500ms, 2s or 1m",
        ),
    ],
)
def test_settings_that_do_not_fit_are_one_sentence_with_the_remedy(
    settings: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        DeploymentSettings(**settings)
    assert told in caught.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    ("given", "seconds"), [("2s", 2), ("500ms", 0.5), ("1.5 m", 90), ("1h", 3600), ("3", 3), (0.25, 0.25)]
)
def test_a_latency_is_a_duration(given: object, seconds: float) -> None:
    settings: dict[str, Any] = {"stub": "echo", "latency_seconds": given}
    assert DeploymentSettings(**settings).latency_seconds == seconds


def test_a_fail_rate_is_drawn_from_its_seed() -> None:
    drawn = {seed: [is_drawn(seed, number, rate=0.1) for number in range(5000)] for seed in (0, 1)}
    assert drawn[0] == [is_drawn(0, number, rate=0.1) for number in range(5000)]
    assert drawn[0] != drawn[1]
    assert all(400 < Counter(each)[True] < 600 for each in drawn.values())
    assert not any(is_drawn(0, number, rate=0) for number in range(1000))
    assert all(is_drawn(0, number, rate=1) for number in range(1000))

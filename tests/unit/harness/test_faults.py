import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truss_async.clock import ManualClock
from truss_async.contract.faults import FaultKind, FaultRule
from truss_async.errors import SettingsError
from truss_async.harness.faults import Faults, Occasion, Tampering, UnknownFaultError, fits, read_faults
from truss_async.harness.faults.decisions import draw

OCCASION = Occasion("r1", "d1", 3, 2)
SYNC = Occasion("r1", "d1", 3, 2, is_sync=True)
ALL = frozenset(FaultKind)


def rule(kind: str = "model_500", **values: Any) -> FaultRule:
    return FaultRule.model_validate({"kind": kind, **values})


@pytest.fixture
def reports() -> list[str]:
    return []


@pytest.fixture
def faults(reports: list[str]) -> Faults:
    return Faults(clock=ManualClock(), report=reports.append)


@pytest.mark.parametrize(
    ("values", "occasion", "expected"),
    [
        ({}, OCCASION, True),
        ({"request_id": "r1"}, OCCASION, True),
        ({"request_id": "r2"}, OCCASION, False),
        ({"deployment_id": "d1"}, OCCASION, True),
        ({"deployment_id": "d2"}, OCCASION, False),
        ({"nth": 3}, OCCASION, True),
        ({"nth": 2}, OCCASION, False),
        ({"nth": 3}, SYNC, False),
        ({"attempt": 2}, OCCASION, True),
        ({"attempt": 1}, OCCASION, False),
        ({"nth": 3, "attempt": 1}, OCCASION, False),
        ({"rate": 0}, OCCASION, False),
        ({"rate": 1}, OCCASION, True),
        ({"rate": 1}, SYNC, True),
        ({"rate": 1, "nth": 2}, OCCASION, False),
    ],
)
def test_a_rule_fits_what_it_names(values: dict[str, Any], occasion: Occasion, expected: bool) -> None:
    assert fits(rule(**values), occasion) is expected


@given(seed=st.integers(), order=st.integers(1), attempt=st.integers(1), kind=st.sampled_from(FaultKind))
def test_a_draw_depends_on_seed_kind_place_and_attempt_alone(
    seed: int, order: int, attempt: int, kind: FaultKind
) -> None:
    drawn = draw(seed, kind, Occasion("one", "d1", order, attempt))
    assert 0 <= drawn < 1
    assert drawn == draw(seed, kind, Occasion("another", "d2", order, attempt))
    others = [
        draw(seed + 1, kind, Occasion("one", "d1", order, attempt)),
        draw(seed, kind, Occasion("one", "d1", order + 1, attempt)),
        draw(seed, kind, Occasion("one", "d1", order, attempt + 1)),
        draw(seed, kind, Occasion("one", "d1", order, attempt, is_sync=True)),
    ]
    assert drawn not in others


def test_draws_are_the_same_in_another_process() -> None:
    script = (
        "from truss_async.contract.faults import FaultKind\n"
        "from truss_async.harness.faults import Occasion\n"
        "from truss_async.harness.faults.decisions import draw\n"
        "print(draw(7, FaultKind.MODEL_HANG, Occasion('any', 'any', 5, 1)))"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert float(shown) == draw(7, FaultKind.MODEL_HANG, Occasion("r", "d", 5, 1))


@pytest.mark.parametrize("kind", [FaultKind.MODEL_500, FaultKind.WEBHOOK_DELAYED])
def test_a_rate_is_the_share_that_is_struck(kind: FaultKind) -> None:
    drawn = rule(kind.value, rate=0.05, seed=3)
    struck = sum(fits(drawn, Occasion("r", "d", order)) for order in range(20_000))
    assert 900 < struck < 1100


def test_the_first_rule_that_fits_strikes_until_it_is_used_up(faults: Faults, reports: list[str]) -> None:
    assert not faults.is_armed
    first, second = faults.add(rule("model_503", times=2)), faults.add(rule("model_500"))
    assert (faults.is_armed, first.id, second.id) == (True, 1, 2)
    struck = [faults.strike(OCCASION, ALL) for _ in range(4)]
    assert [item.kind.value for item in struck if item] == [
        "model_503",
        "model_503",
        "model_500",
        "model_500",
    ]
    assert [item.struck for item in faults.all()] == [2, 2]
    assert [strike.fault_id for strike in faults.strikes("r1")] == [1, 1, 2, 2]
    assert faults.strikes("r2") == []
    assert len(reports) == 3


def test_a_fault_strikes_only_what_it_can(faults: Faults) -> None:
    faults.add(rule("webhook_dropped"))
    assert faults.strike(OCCASION, ALL - {FaultKind.WEBHOOK_DROPPED}) is None
    assert faults.all()[0].struck == 0


def test_what_is_removed_strikes_no_more(faults: Faults) -> None:
    added = [faults.add(rule()) for _ in range(3)]
    assert faults.remove(2) == added[1]
    assert [item.id for item in faults.all()] == [1, 3]
    assert [item.id for item in faults.clear()] == [1, 3]
    assert (faults.strike(OCCASION, ALL), faults.all()) == (None, [])
    with pytest.raises(UnknownFaultError, match="there is no fault 2"):
        faults.remove(2)
    assert faults.add(rule()).id == 4


def test_a_429_that_is_drawn_strikes_an_attempt_once(faults: Faults) -> None:
    faults.add(rule("model_429", rate=1))
    seen = [
        faults.strike(Occasion("r", "d", order, attempt), ALL) is not None
        for order, attempt, _ in itertools.product((1, 2), (1, 2), range(2))
    ]
    assert seen == [True, False] * 4


def test_a_store_that_cannot_be_struck_is_refused(faults: Faults) -> None:
    faults.store_obstacle = lambda: "there is none"
    with pytest.raises(SettingsError, match="kind: store_forbidden cannot be injected: there is none"):
        faults.add(rule("store_forbidden"))
    assert not faults.is_armed


def test_a_wrong_signature_is_made_with_no_active_secret() -> None:
    assert Tampering().secrets(["a", "b"]) == ["a", "b"]
    wrong = Tampering(is_signed_wrongly=True).secrets(["a", "b"])
    assert len(wrong) == 2
    assert not {"a", "b"} & set(wrong)
    assert Tampering(is_signed_wrongly=True).secrets([])


def test_a_file_sets_faults_and_rates(tmp_path: Path) -> None:
    file = tmp_path / "faults.toml"
    file.write_text(
        'seed = 7\n[rates]\nmodel_500 = 0.05\nwebhook_doubled = 1\n[[fault]]\nkind = "webhook_dropped"\nnth = 3\n'
        '[[fault]]\nkind = "model_503"\nrate = 0.5\nseed = 8\n'
    )
    assert read_faults(file) == (
        rule("webhook_dropped", nth=3, seed=7),
        rule("model_503", rate=0.5, seed=8),
        rule("model_500", rate=0.05, seed=7),
        rule("webhook_doubled", rate=1, seed=7),
    )
    file.write_text("")
    assert read_faults(file) == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[fault]", "is not valid TOML"),
        ("[[faults]]", r"unknown key faults; there are: seed, \[rates\] and \[\[fault\]\]"),
        ("fault = 1", r"start each fault with \[\[fault\]\]"),
        ("rates = 1", r"rates: give a table, \[rates\]"),
        ("[[fault]]", "fault 1: kind: Field required"),
        (
            "[[fault]]\nkind = 'model'",
            "fault 1: kind: Input should be 'webhook_dropped', .*'store_forbidden'",
        ),
        (
            "[[fault]]\nkind = 'model_500'\nnht = 1",
            "fault 1: unknown key nht; did you mean 'nth'",
        ),
        (
            "[[fault]]\nkind = 'model_500'\nnth = 0",
            "fault 1: nth: Input should be greater than or equal to 1",
        ),
        ("[[fault]]\nkind = 'model_500'\nrate = nan", "fault 1: rate: Input should be a finite number"),
        (
            "[[fault]]\nkind = 'model_500'\nseconds = 1",
            "fault 1: seconds: model_500 has no length; it is for web",
        ),
        ("[rates]\nmodel_500 = 5", "rates.model_500: rate: Input should be less than or equal to 1"),
        ("[rates]\nmodel_50 = 0.5", "rates.model_50: kind: Input should be 'webhook_dropped'"),
        ("seed = 'x'\n[rates]\nmodel_500 = 0.5", "rates.model_500: seed: Input should be a valid integer"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "faults.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=f"faults.toml.*{message}"):
        read_faults(file)


def test_a_file_that_is_absent_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot read .*absent\.toml: No such file"):
        read_faults(tmp_path / "absent.toml")


@pytest.mark.parametrize("key", ["request_id", "nth"])
def test_a_fault_of_calls_names_no_request(key: str) -> None:
    with pytest.raises(
        ValueError, match="sync_full refuses calls before they become requests; give times or rate"
    ):
        rule("sync_full", **{key: "r1" if key == "request_id" else 1})

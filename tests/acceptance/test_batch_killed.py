"""``kill -9`` of the batch, the harness and the store: every line is in the output, once, and nothing but the contract is spoken."""

import random
from pathlib import Path

import pytest

from tests.acceptance.batch_trial import Plan, Trial


@pytest.fixture(scope="module")
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bytecode")


@pytest.mark.timeout(300)  # on a machine that is busy; else half a minute
@pytest.mark.parametrize(
    "plan",
    [Plan(lines=3500, kills=2, harness_kills=2), Plan(lines=1500, source="store", kills=1, harness_kills=1)],
)
def test_killed_again_and_again_a_batch_ends_with_each_line_once(
    tmp_path: Path, bytecode: Path, plan: Plan
) -> None:
    seed = random.randrange(2**32)
    outcome = Trial(plan.with_seed(seed), tmp_path, bytecode=bytecode).run()
    print(outcome.verdict())
    assert (outcome.code, outcome.found, outcome.wrong) == (0, plan.lines, [])
    assert outcome.beyond_contract == []
    assert outcome.inferred >= plan.lines

"""Three nodes, and everything happens to them in half a minute; ``make chaos`` is the long version."""

from pathlib import Path

import pytest

from tests.acceptance.chaos_trial import OF_DATABASE, OF_NODES, SNAPSHOT, Plan, Trial

PLAN = Plan(requests=300, seconds=30, seed=149, ready_seconds=60)  # on a machine that is busy


@pytest.mark.timeout(300)  # on a machine that is busy; else three quarters of a minute
def test_whatever_happens_to_nodes_and_database_nothing_is_lost_or_done_twice_within_a_lease(
    tmp_path: Path,
) -> None:
    assert {each.kind for each in PLAN.troubles()} == {*OF_NODES, *OF_DATABASE, SNAPSHOT}
    outcome = Trial(PLAN, tmp_path).run()
    print(outcome.verdict())
    assert outcome.faults == []
    assert outcome.accepted == PLAN.requests
    assert outcome.leases_lost > 0

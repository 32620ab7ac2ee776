"""What is done with all requests of a filter: it asks first, and does it to what was asked about."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from functools import partial

import pytest

from tests.integration.page.conftest import Model
from tests.integration.page.visitor import Visitor
from truss_async.cli.running import run
from truss_async.client import HarnessClient
from truss_async.contract import InferenceRetryConfig
from truss_async.contract.harness_calls import BulkAction, BulkDone
from truss_async.errors import ApiError
from truss_async.harness import assembly
from truss_async.harness.api import bulk_calls
from truss_async.harness.harness import Harness
from truss_async.harness.inspection import KeptInputs
from truss_async.page.bulk import told

ONCE = InferenceRetryConfig(max_attempts=1)
MANY = 1000
REQUESTS = "/_harness/page/requests"
ALL = f"{REQUESTS}/all"


@pytest.fixture
def paused(harness: Harness) -> Iterator[Harness]:
    """Where requests wait; in the end none does."""
    harness.pause()
    yield harness
    with HarnessClient(harness.url, api_key="any") as client:
        client.act_on_all(BulkAction(action="cancel"))
    harness.resume()


def status_of(harness: Harness, request_id: str) -> str:
    with HarnessClient(harness.url, api_key="any") as client:
        return client.request_record(request_id).status.value


def test_all_that_are_queued_are_cancelled_and_what_came_after_the_question_is_not(
    paused: Harness, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_calls, "SLICE", 2)
    wanted = [paused.submit(number, priority=1).request_id for number in range(5)]
    other = paused.submit("other", priority=2).request_id
    text = visitor.look(f"{REQUESTS}?priority=1&status=QUEUED")
    assert "Submit all failed requests again" not in text
    (link,) = re.findall(rf'href="({ALL}[^"]*)"', text)
    question = visitor.look(link.replace("&amp;", "&"))
    assert "5 requests are queued" in question
    assert "Cancel all 5" in question
    late = paused.submit("late", priority=1).request_id
    said = visitor.send(ALL)
    assert "Cancelled 5 of 5 requests." in said
    assert visitor.page.url.path == REQUESTS
    assert "priority=1" in str(visitor.page.url)
    assert {status_of(paused, each) for each in wanted} == {"CANCELED"}
    assert {status_of(paused, each) for each in (other, late)} == {"QUEUED"}


def test_it_says_when_fewer_were_cancelled_than_it_asked_about(paused: Harness, visitor: Visitor) -> None:
    handles = [paused.submit(number) for number in range(2)]
    assert "2 requests are queued" in visitor.look(f"{ALL}?action=cancel")
    handles[0].cancel()
    said = visitor.send(ALL)
    assert "Cancelled 1 of 2 requests: the others had started" in said


def test_all_that_failed_are_submitted_again(harness: Harness, visitor: Visitor, model: Model) -> None:
    model.is_broken = True
    failed = [harness.submit({"n": number}, inference_retry_config=ONCE, priority=2) for number in range(3)]
    for handle in failed:
        handle.wait()
    model.is_broken = False
    question = visitor.look(f"{ALL}?action=again&priority=2&since=5m")
    assert "3 requests failed" in question
    assert "Submitted 3 of 3 requests again, as new ones." in visitor.send(ALL)
    with HarnessClient(harness.url, api_key="any") as client:
        listed = client.requests(priority=2, limit=3).requests
        for each in listed:
            client.wait(each.request_id, timeout_seconds=30)
    assert not {each.request_id for each in listed} & {each.request_id for each in failed}


def test_requests_are_accepted_while_very_many_are_cancelled(paused: Harness) -> None:
    waiting = [paused.submit(number) for number in range(MANY)]
    accepted_meanwhile = []
    with ThreadPoolExecutor(1) as beside, HarnessClient(paused.url, api_key="any") as client:
        cancelling = beside.submit(client.act_on_all, BulkAction(action="cancel"))
        while not cancelling.done():
            accepted_meanwhile.append(paused.submit("late").request_id)
        done = cancelling.result()
    assert len(accepted_meanwhile) > 2
    assert done.done >= MANY
    assert {each.wait().value for each in waiting} == {"CANCELED"}
    assert status_of(paused, accepted_meanwhile[-1]) == "QUEUED"


def test_all_that_failed_are_submitted_again_though_the_new_inputs_take_the_place_of_theirs(
    serve: Callable[..., Harness], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_calls, "SLICE", 2)
    monkeypatch.setattr(assembly, "KeptInputs", partial(KeptInputs, max_requests=6))
    harness = serve()
    model.is_broken = True
    for number in range(6):
        harness.submit({"n": number}, inference_retry_config=ONCE).wait()
    model.is_broken = False
    with HarnessClient(harness.url, api_key="any") as client:
        assert client.act_on_all(BulkAction(action="again")).done == 6


def test_a_bound_ends_it_and_the_rest_is_told(
    paused: Harness, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_calls, "MOST", 2)
    for number in range(3):
        paused.submit(number)
    assert "There are more; these are the latest." in visitor.look(f"{ALL}?action=cancel")
    assert "Cancelled 2 of 2 requests. There are more" in visitor.send(ALL)
    assert "1 request is queued" in visitor.look(f"{ALL}?action=cancel")


def test_a_limit_of_the_platform_ends_it_and_is_told(serve: Callable[..., Harness], model: Model) -> None:
    harness = serve(async_calls_per_minute=3, virtual_clock=True)
    model.is_broken = True
    for number in range(2):
        harness.submit(number, inference_retry_config=ONCE).wait()
    with Visitor(harness) as visitor:
        visitor.look(f"{ALL}?action=again")
        said = visitor.send(ALL)
        assert "Submitted 1 of 2 requests again, as new ones; then it stopped: too many" in said


def test_nothing_to_do_no_action_and_a_filter_that_is_none_are_told(
    harness: Harness, visitor: Visitor
) -> None:
    assert "No request matches now" in visitor.look(f"{ALL}?action=cancel")
    for wrong in ("", "?action=erase", "?action=cancel&priority=9", "?action=cancel&since=soon"):
        visitor.look(f"{ALL}{wrong}")
        assert visitor.page.status_code == 400, wrong
    with (
        HarnessClient(harness.url, api_key="any") as client,
        pytest.raises(ApiError, match="since"),
    ):
        client.act_on_all(BulkAction(action="cancel", since="soon"))


def test_read_only_pages_ask_for_nothing(serve: Callable[..., Harness]) -> None:
    harness = serve(page_readonly=True)
    harness.pause()
    handle = harness.submit(1)
    with Visitor(harness) as visitor:
        assert "Cancel all" not in visitor.look(REQUESTS)
        assert "1 would be affected." in visitor.look(f"{ALL}?action=cancel")
        assert visitor.http.post(ALL, data={"action": "cancel"}).status_code == 403
    assert status_of(harness, handle.request_id) == "QUEUED"


def test_a_command_cancels_what_is_queued(paused: Harness, capsys: pytest.CaptureFixture[str]) -> None:
    kept = paused.submit(1, priority=0).request_id
    paused.submit(2, priority=2)
    assert run(["queue", "cancel", "--priority", "2", "--url", paused.url]) == 0
    assert capsys.readouterr().out == "canceled 1 of 1 that were queued\n"
    assert run(["queue", "cancel", "--json", "--url", paused.url]) == 0
    assert '"done":1' in capsys.readouterr().out.replace(" ", "")
    assert status_of(paused, kept) == "CANCELED"


def test_a_command_goes_on_until_all_are_cancelled(
    paused: Harness, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_calls, "MOST", 2)
    handles = [paused.submit(number) for number in range(5)]
    assert run(["queue", "cancel", "--url", paused.url]) == 0
    assert capsys.readouterr().out == "canceled 5 of 5 that were queued\n"
    assert {status_of(paused, each.request_id) for each in handles} == {"CANCELED"}


def test_what_was_asked_is_no_number_and_what_was_done_counts() -> None:
    at = datetime(2026, 1, 1, tzinfo=timezone.utc)
    done = BulkDone(at=at, found=3, done=3, has_more=False, problem=None)
    assert told("cancel", done, asked="many") == "Cancelled 3 of 3 requests."
    more = done.model_copy(update={"has_more": True})
    assert told("cancel", more, asked="3").endswith("3 requests. There are more; do it again for those.")
    assert told("again", more, asked="3").endswith("There are more, but their inputs are no longer kept.")

"""What the pages show and do without JavaScript, and what they keep from whom."""

import html
import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from queue import Queue

import httpx
import pytest

from tests.integration.page.conftest import SECRET, Model
from tests.integration.page.visitor import Visitor
from truss_async.client import HarnessClient
from truss_async.contract import InferenceRetryConfig
from truss_async.contract.request_ids import new_request_id
from truss_async.errors import ApiError
from truss_async.harness.api import app
from truss_async.harness.harness import Harness
from truss_async.harness.settings import HarnessSettings
from truss_async.harness.stories import RequestHandle
from truss_async.page.measures import Point
from truss_async.webhooks.receiver import WebhookReceiver

ONCE = InferenceRetryConfig(max_attempts=1)
EVERYWHERE = "0.0.0.0"  # noqa: S104
HOME = "/_harness/"
REQUESTS = "/_harness/page/requests"
PAGES = [HOME, REQUESTS, "/_harness/page/webhooks", "/_harness/page/results", "/_harness/page/faults"]
TRICKS = "<script>alert(1)</script> \x1b[31mred\x1b[0m \u202egnp.exe \x00 " + "long " * 400_000


def over(handle: RequestHandle) -> str:
    """The id of a request that is over."""
    handle.wait()
    return handle.request_id


def test_a_browser_is_led_to_the_pages_and_a_program_is_not(harness: Harness, visitor: Visitor) -> None:
    assert "<h1>Overview</h1>" in visitor.look("/")
    assert visitor.page.url.path == HOME
    program = httpx.get(harness.url, headers={"Authorization": "Api-Key any"})
    assert (program.status_code, program.headers["content-type"]) == (404, "application/json")


def test_the_overview_tells_why_a_model_url_is_not_reached(tmp_path: Path) -> None:
    told: Queue[str] = Queue()
    settings = HarnessSettings(model_url="http://127.0.0.1:9", port=0, state_dir=tmp_path)
    with Harness(settings, report=told.put) as harness, Visitor(harness) as visitor:
        while "nothing answers" not in (line := told.get(timeout=30)):
            pass
        text = html.unescape(visitor.look(HOME))
        reason, _, _ = line.partition("; requests are kept waiting")
        assert "nothing answers at http://127.0.0.1:9/ yet (" in reason
        assert reason in text
        assert 'data-status="starting"' in text


def test_without_the_page_there_is_none(serve: Callable[..., Harness]) -> None:
    with Visitor(serve(page=False)) as visitor:
        for path in ("/", *PAGES):
            visitor.look(path)
            assert visitor.page.status_code in (401, 404)


@pytest.mark.parametrize("path", PAGES)
def test_no_page_has_a_script_or_a_style_of_its_own_or_asks_anybody_else(visitor: Visitor, path: str) -> None:
    text = visitor.look(path)
    assert visitor.page.status_code == 200
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=", text)
    assert not re.search(r"(?:src|href|action)=\"(?!/)", text.replace('href="#main"', ""))
    assert visitor.page.headers["content-security-policy"].startswith("default-src 'self';")
    assert visitor.page.headers["cache-control"] == "no-store"


def test_a_request_is_found_by_its_status_and_by_the_beginning_of_its_id(
    harness: Harness, visitor: Visitor, model: Model
) -> None:
    good = over(harness.submit({"n": 1}))
    model.is_broken = True
    bad = over(harness.submit({"n": 2}, inference_retry_config=ONCE))
    failed = visitor.look(f"{REQUESTS}?status=FAILED")
    assert bad in failed
    assert good not in failed
    text = visitor.look(f"{REQUESTS}?id={good[:8]}")
    assert visitor.page.url.path == f"{REQUESTS}/{good}"
    assert "left the queue after" in text


def test_requests_whose_ids_begin_alike_are_listed(
    harness: Harness, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = iter([f"abcdef{number:026}" for number in range(2)])
    with monkeypatch.context() as patch:
        patch.setattr(app, "new_request_id", lambda: next(ids, new_request_id()))
        alike = {harness.submit(1).request_id for _ in range(2)}
    text = visitor.look(f"{REQUESTS}?id=abcdef")
    assert str(visitor.page.url).endswith("?id_prefix=abcdef")
    assert set(re.findall(r'id="r-([0-9a-f]+)"', text)) == alike
    assert "all that" not in text


def test_a_page_of_the_list_leads_to_the_next(harness: Harness, visitor: Visitor) -> None:
    handles = [harness.submit(number) for number in range(101)]
    visitor.look(REQUESTS)
    assert handles[0].request_id not in visitor.page.text
    (older,) = re.findall(r'<a href="([^"]+)" rel="next">', visitor.page.text)
    assert handles[0].request_id in visitor.look(older)
    assert 'rel="next"' not in visitor.page.text


def test_what_a_model_says_plays_no_tricks(harness: Harness, visitor: Visitor, model: Model) -> None:
    model.is_broken, model.error = True, TRICKS
    request_id = over(harness.submit(1, inference_retry_config=ONCE))
    text = visitor.look(f"{REQUESTS}/{request_id}")
    assert "&lt;script&gt;alert(1)" in text
    assert not re.search("<script>alert|\x1b|\u202e|\x00", text)
    assert "red" in text
    assert len(text) < 400_000
    assert "<script>alert" not in visitor.look(REQUESTS)


def test_the_queue_is_paused_a_request_cancelled_and_the_queue_goes_on(
    harness: Harness, visitor: Visitor
) -> None:
    visitor.look(HOME)
    assert "The queue is paused" in visitor.send("/_harness/page/queue", paused="true")
    handle = harness.submit(1)
    visitor.look(f"{REQUESTS}/{handle.request_id}")
    said = visitor.send(f"{REQUESTS}/cancel", request_id=handle.request_id)
    assert "The request was canceled." in said
    assert handle.wait().value == "CANCELED"
    visitor.look(HOME)
    assert "The queue was resumed." in visitor.send("/_harness/page/queue", paused="false")
    assert "The queue was resumed." not in visitor.look(HOME)
    assert harness.submit(1).wait().value == "SUCCEEDED"


def test_deliveries_endpoints_and_secrets_are_shown(
    harness: Harness, visitor: Visitor, receiver: WebhookReceiver
) -> None:
    request_id = over(harness.submit(1, webhook_endpoint=receiver.url))
    text = visitor.look("/_harness/page/webhooks")
    assert receiver.url in text
    assert request_id in text
    assert "100 %" in text
    created = visitor.send("/_harness/page/webhooks/secrets/create")
    (secret,) = re.findall(r"whsec_[A-Za-z0-9]{30,}", created)
    listed = visitor.look("/_harness/page/webhooks")
    assert secret not in listed
    (secret_id,) = re.findall(r'aria-label="Rotate ([^"]+)"', listed)[:1]
    assert "whsec_" in visitor.send("/_harness/page/webhooks/secrets/rotate", id=secret_id)
    visitor.look("/_harness/page/webhooks")
    assert "The secret was removed" in visitor.send("/_harness/page/webhooks/secrets/remove", id=secret_id)


def test_a_fault_is_added_strikes_and_is_removed(harness: Harness, visitor: Visitor) -> None:
    add = "/_harness/page/faults/add"
    visitor.look("/_harness/page/faults")
    assert "Fault 1 is set: model_500" in visitor.send(add, kind="model_500", times="1")
    assert "struck by fault 1" in visitor.look(
        f"{REQUESTS}/{over(harness.submit(1, inference_retry_config=ONCE))}"
    )
    visitor.look("/_harness/page/faults")
    assert "give a number" in visitor.send(add, times="many")
    assert visitor.page.status_code == 400
    visitor.look("/_harness/page/faults")
    assert "Fault 1 was removed" in visitor.send("/_harness/page/faults/remove", id="1")


def test_a_virtual_clock_is_moved(serve: Callable[..., Harness]) -> None:
    harness = serve(virtual_clock=True)
    with Visitor(harness) as visitor:
        visitor.look(HOME)
        before = harness.clock.now()
        assert "was moved by 1h" in visitor.send("/_harness/page/clock", by="1h")
        assert (harness.clock.now() - before).total_seconds() == pytest.approx(3600, abs=60)
        visitor.look(HOME)
        visitor.send("/_harness/page/clock", by="soon")
        assert visitor.page.status_code == 400


def test_saved_results_are_listed(
    serve: Callable[..., Harness], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "outputs"
    monkeypatch.setenv("TRUSS_ASYNC_OUTPUT_URL", folder.as_uri())
    with Visitor(serve()) as visitor:
        assert "Nothing was saved there" in visitor.look("/_harness/page/results")
        folder.mkdir()
        (folder / f"{'a1' * 16}.json").write_text("{}")
        assert "a1" * 16 in visitor.look("/_harness/page/results")


def test_a_form_without_its_token_or_of_another_session_does_nothing(
    harness: Harness, visitor: Visitor
) -> None:
    visitor.look(HOME)
    form = visitor.form("/_harness/page/queue")
    with Visitor(harness) as stranger:
        for fields in ({}, {"token": ""}, {"token": form["token"]}):
            sent = stranger.http.post("/_harness/page/queue", data={**fields, "paused": "true"})
            assert sent.status_code == 403
            stranger.look(HOME)
    assert not harness._is_paused


@pytest.mark.parametrize("path", ["/", HOME, REQUESTS, "/_harness/page/static/page.css"])
def test_a_page_of_another_name_or_origin_gets_nothing(harness: Harness, path: str) -> None:
    for headers in ({"Host": "evil.example.com"}, {"Origin": "https://evil.example.com"}):
        answer = httpx.get(f"{harness.url}{path}", headers={"Accept": "text/html", **headers})
        assert answer.status_code == 403


def test_the_key_is_asked_for_once_and_its_cookie_opens_the_pages_alone(
    serve: Callable[..., Harness],
) -> None:
    harness = serve(api_key="the-key")
    with Visitor(harness) as visitor:
        for path in PAGES:
            assert "API key" in visitor.look(path)
            assert visitor.page.status_code == 401
        visitor.look(f"{REQUESTS}?status=FAILED")
        assert "this is not the key" in visitor.send("/_harness/page/key", key="guessed")
        visitor.look(f"{REQUESTS}?status=FAILED")
        visitor.send("/_harness/page/key", key="the-key")
        assert str(visitor.page.url).endswith(f"{REQUESTS}?status=FAILED")
        assert visitor.page.status_code == 200
        (kept,) = [each for each in visitor.page.history if "set-cookie" in each.headers]
        assert re.search("HttpOnly.*Path=/_harness.*SameSite=strict", kept.headers["set-cookie"])
        assert "the-key" not in kept.headers["set-cookie"]
        assert visitor.http.get("/_harness/queue").status_code == 401
        visitor.look(HOME)
        visitor.send("/_harness/page/queue", paused="true")
        assert harness._is_paused


@pytest.mark.parametrize("options", [{"page_readonly": True}, {"host": EVERYWHERE}])
def test_read_only_pages_have_no_actions_and_refuse_them(
    serve: Callable[..., Harness], options: dict[str, object]
) -> None:
    harness = serve(**options)
    with Visitor(harness) as visitor:
        visitor.http.base_url = httpx.URL(harness.url.replace(EVERYWHERE, "127.0.0.1"))
        for path in PAGES:
            text = visitor.look(path)
            assert "Read only: " in text
            assert set(re.findall(r'method="post" action="([^"]+)"', text)) == {"/_harness/page/theme"}
            assert 'form="act"' not in text
            assert 'id="act"' not in text
        sent = visitor.http.post("/_harness/page/queue", data={"paused": "true", "token": "x"})
        assert sent.status_code == 403
        assert not harness._is_paused


def test_the_theme_is_kept_and_what_is_no_path_of_these_pages_leads_home(visitor: Visitor) -> None:
    visitor.look(REQUESTS)
    assert 'data-theme="dark"' in visitor.send("/_harness/page/theme", theme="dark")
    assert visitor.page.url.path == REQUESTS
    for back in (
        "https://evil.example.com/_harness/",
        "//evil.example.com/_harness/",
        "/\\evil",
        "/v1",
        "//[x",
    ):
        sent = visitor.http.post(
            "/_harness/page/theme", data={"theme": "light", "back": back}, follow_redirects=False
        )
        assert sent.headers["location"] == HOME


def test_what_there_is_not_and_what_is_no_form_are_told_as_pages(visitor: Visitor) -> None:
    assert "there is no page" in visitor.look("/_harness/page/nope")
    assert visitor.page.status_code == 404
    visitor.look(f"{REQUESTS}/{'f' * 32}")
    assert visitor.page.status_code == 404
    visitor.look(f"{REQUESTS}?status=NONE")
    assert visitor.page.status_code == 400
    visitor.look("/_harness/page/results?since=soon")
    assert visitor.page.status_code == 400
    assert visitor.http.post("/_harness/page/theme", json={}).status_code == 400
    assert visitor.http.post("/_harness/page/theme", data={"x": "y" * 4_100_000}).status_code == 400
    assert visitor.http.get("/_harness/page/static/app.py").status_code == 404


def test_a_request_is_submitted_again_as_it_was(
    harness: Harness, visitor: Visitor, receiver: WebhookReceiver
) -> None:
    old = over(harness.submit({"n": 4}, webhook_endpoint=receiver.url, priority=1))
    visitor.look(f"{REQUESTS}/{old}")
    assert "was submitted again" in visitor.send(f"{REQUESTS}/again", request_id=old)
    new = visitor.page.url.path.rpartition("/")[2]
    with HarnessClient(harness.url, api_key="any") as client:
        first, second = client.submission(old), client.submission(new[:10])
        third = client.submit_again(old)
        with pytest.raises(ApiError, match="is no longer kept"):
            client.submit_again("0" * 32)
    assert first.model_input == {"n": 4}
    assert second == first.model_copy(update={"request_id": new})
    assert third not in (old, new)


def test_inputs_and_outputs_are_shown_to_who_asked_for_them_alone(
    serve: Callable[..., Harness], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUSS_ASYNC_OUTPUT_URL", tmp_path.as_uri())
    for shows in (True, False):
        harness = serve(page_payloads=shows)
        request_id = over(harness.submit({"secret": "in-4711"}))
        with Visitor(harness) as visitor:
            assert ("in-4711" in visitor.look(f"{REQUESTS}/{request_id}")) is shows
            assert visitor.page.status_code == 200  # where nothing is saved, too
            result: dict[str, object] = {
                "request_id": request_id,
                "model_id": "local",
                "deployment_id": "local1",
            }
            result |= {"type": "async_request_completed", "time": "2026-01-01T00:00:00Z", "errors": []}
            result["data"] = {"secret": "out-4711"}
            (tmp_path / f"{request_id}.json").write_text(json.dumps(result))
            text = visitor.look(f"{REQUESTS}/{request_id}")
            assert ("in-4711" in text, "out-4711" in text) == (shows, shows)
            assert "truss-async submit" in text


def test_what_was_not_delivered_is_sent_again_one_by_one_or_all(serve: Callable[..., Harness]) -> None:
    harness = serve(keep_results=timedelta(hours=1), virtual_clock=True)
    with WebhookReceiver(secrets=(SECRET,)) as receiver:
        receiver.answer_next(*[500] * 4)
        ids = [over(harness.submit(number, webhook_endpoint=receiver.url)) for number in range(2)]
        with Visitor(harness) as visitor:
            text = visitor.look(f"{REQUESTS}?webhook_status=FAILED&priority=0")
            assert all(each in text for each in ids)
            visitor.look(f"{REQUESTS}/{ids[0]}")
            assert "The result was sent again: answered 200" in visitor.send(
                f"{REQUESTS}/redeliver", request_id=ids[0]
            )
            text = visitor.look(f"{REQUESTS}?webhook_status=FAILED")
            assert [each in text for each in ids] == [False, True]
            visitor.look("/_harness/page/webhooks")
            sent = visitor.send("/_harness/page/webhooks/redeliver")
            assert "Results sent again: 1. Accepted: 1." in sent


def test_a_stream_tells_of_changes_and_is_let_go_when_the_harness_ends(
    serve: Callable[..., Harness],
) -> None:
    harness = serve()
    with Visitor(harness) as visitor:
        visitor.look(HOME)
        with visitor.http.stream("GET", visitor.stream()) as stream:
            lines = stream.iter_lines()
            assert next(lines) == "retry: 2000"
            assert "event: second" in lines  # from here on it counts
            harness.submit(1).wait()
            assert "event: changed" in lines
            points = (json.loads(each[6:]) for each in lines if each.startswith("data: ["))
            point = next(each for each in points if each[1])
            assert len(point) == len(Point._fields)
            history = visitor.http.get("/_harness/page/history").json()
            assert history["columns"] == list(Point._fields)
            assert sum(row[1] for row in history["rows"]) == 1
            last = history["rows"][-1][0]
            later = visitor.http.get("/_harness/page/history", params={"after": last}).json()["rows"]
            assert all(row[0] > last for row in later)
            harness.close()
            assert not [each for each in lines if each == "event: never"]


def test_dispatch_is_halted_by_a_call_and_by_the_client(harness: Harness) -> None:
    with HarnessClient(harness.url, api_key="any") as client:
        assert client.pause_queue().is_paused
        assert not client.resume_queue().is_paused
        (deployment,) = client.queue().deployments
        assert deployment.path == "/model/local/deployment/local1"
    wrong = httpx.post(
        f"{harness.url}/_harness/dispatch", json={"paused": "yes"}, headers={"Authorization": "Api-Key any"}
    )
    assert wrong.status_code == 400

"""The part of a page that goes on by itself: made once for all who look, and told of as seldom as it is expensive."""

import asyncio
import gzip
from contextlib import ExitStack

import pytest
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from truss_async.page.asking import HarnessCalls
from truss_async.page.history import SECTIONS, History
from truss_async.page.measures import read
from truss_async.page.panels import Panels, rest_of

LONG = "x" * 2000
PLACE = "/_harness/page/requests?status=FAILED"


def request(*, accepts: str = "") -> Request:
    path, _, query = PLACE.partition("?")
    headers = [(b"host", b"localhost"), (b"hx-request", b"true"), (b"accept-encoding", accepts.encode())]
    return Request(
        {"type": "http", "path": path, "query_string": query.encode(), "headers": headers, "method": "GET"}
    )


class Harness:
    """What a harness answers when it is asked, and what changes of it."""

    def __init__(self) -> None:
        self.faults: list[dict[str, object]] = []
        self.is_paused = False

    async def __call__(self, method: str, path: str, body: object = None, *, query: str = "") -> object:
        deployment = {
            "deployment_id": "d1", "path": "/d1", "model": "ready", "replicas_ready": 1, "queued": 0, "in_progress": 0,
        }  # fmt: skip
        healthy: dict[str, object] = {
            "error": None,
            "damaged_requests": {},
            "lost_log_pages": 0,
            "kept_aside": [],
        }
        return {
            "/_harness/logs": {"lines": [], "next": 0},
            "/_harness/queue": {"is_paused": self.is_paused, "deployments": [deployment]},
            "/healthz": {
                "model": "ready",
                "replicas_ready": 1,
                "error": None,
                "deployments": {},
                "queue": healthy,
            },
            "/_harness/faults": {"faults": self.faults},
        }[path]


@pytest.fixture
def history() -> History:
    return History(HarnessCalls(Harness()))


@pytest.mark.parametrize(
    ("took", "all_took", "seconds"),
    [(0, 0, 1), (0.005, 0.02, 1), (0.03, 0.06, 2), (0.5, 0.5, 10), (0.01, 0.2, 4), (5, 5, 100)],
)
def test_what_takes_long_to_make_rests_long(took: float, all_took: float, seconds: int) -> None:
    assert rest_of(took, all_took) == seconds


def test_all_who_watch_get_what_was_made_once_until_a_change_is_told(history: History) -> None:
    made = 0

    async def make() -> Response:
        nonlocal made
        made += 1
        await asyncio.sleep(0)
        return HTMLResponse(f"{made} {LONG}")

    async def look() -> None:
        panels = Panels(history)
        with ExitStack() as watching:
            for _ in range(3):
                panel = watching.enter_context(panels.watching(PLACE, section="requests"))
            assert panels.watched(request()) is panel
            first = await asyncio.gather(
                *(panel.answer(request(accepts=each), make) for each in ("gzip", "", "br"))
            )
            bodies = [bytes(each.body) for each in first]
            assert {gzip.decompress(bodies[0]), *bodies[1:]} == {f"1 {LONG}".encode()}
            assert [each.headers.get("content-encoding") for each in first] == ["gzip", None, None]
            panels.tell(1)
            assert bytes((await panel.answer(request(), make)).body).startswith(b"1 ")
            history._note(dict.fromkeys(SECTIONS, "new"))
            panels.tell(2)
            assert bytes((await panel.answer(request(), make)).body).startswith(b"2 ")
        assert panels.watched(request()) is None

    asyncio.run(look())


def test_a_panel_that_could_not_be_made_is_made_by_the_next_who_asks(history: History) -> None:
    async def fail() -> Response:
        raise ValueError("no luck")

    async def make() -> Response:
        return HTMLResponse("made")

    async def look() -> None:
        with Panels(history).watching(PLACE, section="requests") as panel:
            with pytest.raises(ValueError, match="no luck"):
                await panel.answer(request(), fail)
            assert bytes((await panel.answer(request(), make)).body) == b"made"

    asyncio.run(look())


def test_a_change_is_told_once_it_has_rested_and_not_lost(history: History) -> None:
    panels = Panels(history)
    with panels.watching(PLACE, section="requests") as panel:
        panel.took_seconds = 0.15
        told = []
        for tick in range(1, 6):
            history._note(dict.fromkeys(SECTIONS, tick))
            panels.tell(tick)
            told.append(panel.told == history.version("requests"))
        assert told == [True, False, False, True, False]
        panels.tell(7)
        assert panel.told == history.version("requests")


def test_who_comes_while_a_panel_rests_sees_nothing_older_than_the_page(history: History) -> None:
    panels = Panels(history)
    with panels.watching(PLACE, section="requests") as panel:
        panel.took_seconds = 1
        for change in (1, 2):
            history._note(dict.fromkeys(SECTIONS, change))
            panels.tell(change)
        assert panel.told != history.version("requests")
        with panels.watching(PLACE, section="requests"):
            assert panel.told == history.version("requests")


def test_only_pages_that_show_it_hear_of_a_change() -> None:
    harness = Harness()
    history = History(HarnessCalls(harness))

    def changed() -> set[str]:
        before = {each: history.version(each) for each in SECTIONS}
        history._note(asyncio.run(history._facts(read(""))))
        return {each for each in SECTIONS if history.version(each) != before[each]}

    assert changed() == set(SECTIONS)
    assert changed() == set()
    harness.faults.append({"id": 1, "kind": "model_500", "struck": 0})
    assert changed() == {"faults"}
    harness.is_paused = True
    assert changed() == set(SECTIONS)

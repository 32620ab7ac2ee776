"""docs/limits.md says what passes, at which depth and size: here it is tried, and the table compared."""

from __future__ import annotations

import asyncio
import itertools
import re
import threading
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeAlias

from tests.nesting import nest, nested
from tests.outputs import saver_of
from truss_async.contract import AsyncPredictResult
from truss_async.contract.limits import MAX_ASYNC_BODY_BYTES, MAX_BODY_BYTES
from truss_async.errors import TrussAsyncError
from truss_async.harness.api.bodies import check_size, declared_size, parse_async_request
from truss_async.harness.api.refusals import CallRefusedError
from truss_async.harness.decisions import ModelAnswer, Succeeded, judge_answer
from truss_async.stores import OutputStore, object_store
from truss_async.webhooks import on_result, signature_header, verify_webhook
from truss_async.webhooks.verification import parse_result
from truss_async.webhooks.verifier import WebhookVerifier

PAGE: Final = Path(__file__).parents[2] / "docs" / "limits.md"
SECRET: Final = "whsec_" + "a1B2" * 9
MOST_LEVELS: Final = 20_000
MOST_BYTES: Final = 1 << 40
_NUMBERS = itertools.count()

Try: TypeAlias = Callable[[int], object]


def result_of(depth: int) -> bytes:
    shallow = AsyncPredictResult.model_validate({"request_id": "r", "time": 0}).model_dump_json().encode()
    return shallow.replace(b'"data":null', b'"data":' + nested(depth))


def submit(depth: int) -> None:
    body = b'{"model_input": ' + nested(depth) + b', "priority": 1}'
    _, model_input = asyncio.run(parse_async_request(body))
    assert model_input == nested(depth)


def declare(limit: int) -> Try:
    def declared(size: int) -> None:
        check_size(declared_size({b"content-length": str(size).encode()}), limit=limit)

    return declared


def save(depth: int) -> None:
    objects = object_store(f"memory://limits-{next(_NUMBERS)}")
    saver_of(objects).save("r", nest(1, depth))
    OutputStore(objects).get("r")


def carry(depth: int) -> None:
    outcome = judge_answer(ModelAnswer(200, {}, nested(depth)))
    if not isinstance(outcome, Succeeded):
        raise ValueError(outcome)


def verify(depth: int) -> None:
    body = result_of(depth)
    headers = {"X-BASETEN-SIGNATURE": signature_header(body, [SECRET])}
    verify_webhook(body, headers, SECRET, tolerance=float("inf"))


def receive(depth: int) -> None:
    body = result_of(depth)
    headers = {"X-BASETEN-SIGNATURE": signature_header(body, [SECRET])}
    WebhookVerifier(SECRET, tolerance_seconds=float("inf")).verify(body, headers)


def keep(depth: int) -> None:
    result, handled = parse_result(result_of(depth)), threading.Event()
    with (
        TemporaryDirectory() as folder,
        on_result(lambda _: handled.set(), path=Path(folder, "inbox.sqlite")) as inbox,
    ):
        inbox.accept(result)
        assert handled.wait(30)


def read_back(depth: int) -> None:
    objects = object_store(f"memory://limits-{next(_NUMBERS)}")
    objects.put("r.json", result_of(depth), content_type="application/json")
    OutputStore(objects).get("r")


ROWS: Final[dict[str, tuple[Try | None, Try | None]]] = {
    "a `model_input` of an async call, and the body it comes in": (submit, declare(MAX_ASYNC_BODY_BYTES)),
    "the body of a sync call, which is passed on unread": (None, declare(MAX_BODY_BYTES)),
    "a model's output that is saved by the plugin": (save, None),
    "a model's output that is carried in a webhook": (carry, None),
    "a webhook that is verified by `verify_webhook`": (verify, None),
    "a webhook that comes to a ready-made receiver, or to `listen`": (
        receive,
        WebhookVerifier(SECRET).check_size,
    ),
    "a result that is kept in an inbox (`on_result`), and handled": (keep, None),
    "a result that is read back from a store": (read_back, None),
}


def passes(attempt: Try, size: int) -> bool:
    try:
        attempt(size)
    except (ValueError, TrussAsyncError, CallRefusedError):
        return False
    return True


def most(attempt: Try | None, *, up_to: int) -> str:
    """The largest that passes, which the next one does not."""
    if attempt is None:
        return "any"
    least, beyond = 1, up_to
    assert passes(attempt, least)
    assert not passes(attempt, beyond)
    while beyond - least > 1:
        middle = (least + beyond) // 2
        least, beyond = (middle, beyond) if passes(attempt, middle) else (least, middle)
    return f"{least:,}"


def written() -> str:
    """The page with its table as it is now."""
    rows = [
        f"| {what} | {most(depth, up_to=MOST_LEVELS)} | {most(size, up_to=MOST_BYTES)} |\n"
        for what, (depth, size) in ROWS.items()
    ]
    page, count = re.subn(r"(?<=\| --- \| --- \| --- \|\n)(\|.*\n)+", "".join(rows), PAGE.read_text("utf-8"))
    assert count == 1
    return page


def test_the_page_says_what_passes_and_what_does_not() -> None:
    assert PAGE.read_text("utf-8") == written(), "run: python -m tests.unit.test_limits_page"


if __name__ == "__main__":
    PAGE.write_text(written(), encoding="utf-8")

"""What the ready-made receivers for FastAPI, ASGI and Flask let through, and how they refuse."""

import asyncio
import hashlib
import hmac
import io
import json
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import flask
import httpx
import pytest
from fastapi import Depends, FastAPI
from hypothesis import given
from hypothesis import strategies as st

from truss_async.clock import SYSTEM_CLOCK
from truss_async.contract import AsyncPredictResult
from truss_async.errors import SettingsError, WebhookVerificationError
from truss_async.webhooks import WebhookMiddleware, flask_webhook, starlette_webhook, verify_wsgi

NEW, OLD = "whsec_new", "whsec_old"
SECRETS = [NEW, OLD]
MAX_BODY_BYTES = 1000

Post = Callable[..., tuple[int, Any]]


def make_body(**fields: Any) -> bytes:
    content = {"request_id": "r1", "time": SYSTEM_CLOCK.now().isoformat(), "data": {"text": "é"}, **fields}
    return json.dumps(content).encode()


def sign(body: bytes, secret: str = NEW) -> dict[str, str]:
    return {"X-BASETEN-SIGNATURE": "v1=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


BODY = make_body(time="2024-01-01T00:00:00Z")


def post_asgi(app: Any, path: str, body: Any, headers: dict[str, str]) -> tuple[int, Any]:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.post(path, content=body, headers=headers)

    answer = asyncio.run(send())
    return answer.status_code, answer.json()


def fastapi_receiver() -> Post:
    app = FastAPI()
    verified = Depends(starlette_webhook(SECRETS, max_body_bytes=MAX_BODY_BYTES))

    @app.post("/hook")
    def webhook(result: Annotated[AsyncPredictResult, verified]) -> dict[str, Any]:
        return {"data": result.data}

    return lambda body, headers: post_asgi(app, "/hook", body, headers)


async def tell_result(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application that reads the body, too."""
    body = (await receive())["body"]
    result = scope["truss_async.result"]
    assert result == AsyncPredictResult.model_validate_json(body)
    content = json.dumps({"data": result.data}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": content})


def asgi_receiver() -> Post:
    app = WebhookMiddleware(tell_result, SECRETS, max_body_bytes=MAX_BODY_BYTES)
    return lambda body, headers: post_asgi(app, "/any/path", body, headers)


def flask_app() -> flask.Flask:
    app = flask.Flask("test")

    @app.post("/hook/<name>")
    @flask_webhook(SECRETS, max_body_bytes=MAX_BODY_BYTES)
    def webhook(result: AsyncPredictResult, name: str) -> dict[str, Any]:
        assert name == "a"
        return {"data": result.data}

    return app


def flask_receiver() -> Post:
    app = flask_app()

    def post(body: bytes | Iterator[bytes], headers: dict[str, str]) -> tuple[int, Any]:
        if isinstance(body, bytes):
            answer = app.test_client().post("/hook/a", data=body, headers=headers)
        else:
            terminated: dict[str, Any] = {"wsgi.input_terminated": True}
            answer = app.test_client().post(
                "/hook/a",
                input_stream=io.BytesIO(b"".join(body)),
                headers=headers,
                environ_overrides=terminated,
            )
        return answer.status_code, answer.get_json()

    return post


@pytest.fixture(params=[fastapi_receiver, asgi_receiver, flask_receiver], ids=lambda make: make.__name__)
def post(request: pytest.FixtureRequest) -> Post:
    """Posts to each receiver in turn: the status of its answer and the JSON of it."""
    made: Post = request.param()
    return made


@pytest.mark.parametrize("secret", SECRETS)
def test_what_any_secret_signed_gets_through(post: Post, secret: str) -> None:
    body = make_body()
    assert post(body, sign(body, secret)) == (200, {"data": {"text": "é"}})


def test_a_body_in_pieces_gets_through(post: Post) -> None:
    body = make_body()
    assert post(in_pieces(post, body), sign(body)) == (200, {"data": {"text": "é"}})


def in_pieces(post: Post, body: bytes) -> Any:
    pieces = [body[:9], body[9:20], body[20:]]
    if "flask" in post.__qualname__:
        return iter(pieces)

    async def send() -> Any:
        for piece in pieces:
            yield piece

    return send()


@pytest.mark.parametrize(
    ("body", "headers", "status_code", "reason"),
    [
        (BODY, {}, 401, "is missing"),
        (BODY, sign(b"another"), 401, "does not match"),
        (BODY, sign(BODY, "whsec_wrong"), 401, "does not match"),
        (BODY, {"X-BASETEN-SIGNATURE": "v1=\xff"}, 401, "does not match"),
        (b"", {}, 401, "is missing"),
        (b"{}", sign(b"{}"), 400, "not an async predict result"),
        (b"\xff", sign(b"\xff"), 400, "not an async predict result"),
        (b"x" * 1001, sign(b"x" * 1001), 413, "exceeds 1000 bytes"),
    ],
    ids=["unsigned", "another body", "another secret", "no ASCII", "empty", "no result", "no text", "large"],
)
def test_anything_else_is_refused_with_the_reason(
    post: Post,
    body: bytes,
    headers: dict[str, str],
    status_code: int,
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    raw: Any = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = post(body, headers if "flask" in post.__qualname__ else raw)
    assert answer[0] == status_code
    assert reason in (answer[1].get("error") or answer[1]["detail"])
    (record,) = caplog.records
    assert reason in record.message


def test_a_stale_one_is_refused(post: Post) -> None:
    status_code, answer = post(BODY, sign(BODY))
    assert (status_code, "too old" in str(answer)) == (401, True)


def test_a_body_in_pieces_is_not_read_beyond_the_limit(post: Post) -> None:
    body = b"x" * 5000
    assert post(in_pieces(post, body), sign(body))[0] == 413


@pytest.mark.parametrize("make", [starlette_webhook, flask_webhook, lambda: WebhookMiddleware(tell_result)])
def test_without_a_secret_a_receiver_is_not_made(
    make: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRUSS_ASYNC_WEBHOOK_SECRET", raising=False)
    monkeypatch.setenv("TRUSS_ASYNC_WEBHOOK_SECRETS", "")
    with pytest.raises(SettingsError, match="set TRUSS_ASYNC_WEBHOOK_SECRETS"):
        make()
    monkeypatch.setenv("TRUSS_ASYNC_WEBHOOK_SECRETS", NEW)
    assert make()


def test_the_middleware_leaves_other_paths_alone_and_shows_no_result_there() -> None:
    async def show(scope: Any, receive: Any, send: Any) -> None:
        content = json.dumps("truss_async.result" in scope).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": content})

    app = WebhookMiddleware(show, SECRETS, path="/hook")
    body = make_body()
    assert post_asgi(app, "/hook", body, sign(body)) == (200, True)
    assert post_asgi(app, "/hook", body, {})[0] == 401
    for path in ("/hook/", "//hook", "/HOOK", "/other"):
        assert post_asgi(app, path, body, sign(body)) == (200, False)


def test_the_middleware_passes_on_what_is_no_request_and_drops_who_has_gone() -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    async def gone() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        seen.append(message["type"])

    middleware = WebhookMiddleware(app, SECRETS)
    asyncio.run(middleware({"type": "lifespan"}, gone, send))
    asyncio.run(middleware({"type": "http", "path": "/", "headers": []}, gone, send))
    assert seen == ["lifespan"]


def test_flask_may_have_read_the_body_before_and_may_read_it_after() -> None:
    app = flask.Flask("test")
    app.before_request(lambda: flask.request.get_data() and None)

    @app.post("/")
    @flask_webhook(SECRETS)
    def webhook(result: AsyncPredictResult) -> dict[str, Any]:
        return {"size": len(flask.request.get_data())}

    body = make_body()
    assert app.test_client().post("/", data=body, headers=sign(body)).get_json() == {"size": len(body)}


def environ(body: bytes, **changes: Any) -> dict[str, Any]:
    signature = sign(body)["X-BASETEN-SIGNATURE"]
    return {
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_X_BASETEN_SIGNATURE": signature,
        "wsgi.input": io.BytesIO(body),
        **changes,
    }


def test_a_plain_wsgi_request_is_verified_and_can_be_read_again() -> None:
    body = make_body()
    request = environ(body)
    assert verify_wsgi(request, SECRETS).request_id == "r1"
    assert request["wsgi.input"].read() == body
    assert verify_wsgi(environ(body, CONTENT_LENGTH="", **{"wsgi.input_terminated": True}), SECRETS)


@pytest.mark.parametrize(
    ("changes", "status_code"),
    [
        ({"CONTENT_LENGTH": "-1"}, 400),
        ({"CONTENT_LENGTH": "\xb2"}, 400),
        ({"CONTENT_LENGTH": "9" * 5000}, 400),
        ({"CONTENT_LENGTH": "9" * 12}, 413),
        ({"CONTENT_LENGTH": ""}, 401),
        ({"CONTENT_LENGTH": "5"}, 401),
        ({"HTTP_X_BASETEN_SIGNATURE": "v1=\xff"}, 401),
        ({"HTTP_X_BASETEN_SIGNATURE": ""}, 401),
    ],
)
def test_a_plain_wsgi_request_that_is_not_proven_is_refused(
    changes: dict[str, Any], status_code: int
) -> None:
    with pytest.raises(WebhookVerificationError) as caught:
        verify_wsgi(environ(make_body(), **changes), SECRETS)
    assert caught.value.status_code == status_code


parts = st.one_of(st.binary(max_size=20), st.sampled_from([b"x-baseten-signature", b"v1=", b","]))


@given(body=st.binary(), headers=st.lists(st.tuples(parts, parts), max_size=4))
def test_whatever_comes_over_asgi_is_answered(body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        sent.append(message)

    middleware = WebhookMiddleware(tell_result, SECRETS)
    asyncio.run(middleware({"type": "http", "path": "/", "headers": headers}, receive, send))
    assert [message.get("status") for message in sent] == [401, None]


@given(body=st.binary(), length=st.text(max_size=8), signature=st.text(st.characters(max_codepoint=255)))
def test_whatever_comes_over_wsgi_gets_a_verdict(body: bytes, length: str, signature: str) -> None:
    with pytest.raises(WebhookVerificationError):
        verify_wsgi(environ(body, CONTENT_LENGTH=length, HTTP_X_BASETEN_SIGNATURE=signature), SECRETS)

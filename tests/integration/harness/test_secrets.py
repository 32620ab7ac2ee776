from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import httpx
import pytest

from tests.integration.harness.conftest import SECRET
from truss_async.client import HarnessClient, PlatformClient
from truss_async.clock import ManualClock
from truss_async.errors import ApiError, WebhookVerificationError
from truss_async.harness.harness import Harness
from truss_async.webhooks import verify_webhook
from truss_async.webhooks.receiver import WebhookReceiver


@pytest.fixture
def caller(harness: Harness) -> Iterator[HarnessClient]:
    with HarnessClient(harness.url, api_key="any") as caller:
        yield caller


def verifying(client: PlatformClient, secrets: list[str]) -> list[str]:
    """Those that the webhook of a new request verifies with, in the order of its signatures."""
    with WebhookReceiver() as receiver:
        request_id = client.submit(model_input=1, webhook_endpoint=receiver.url).request_id
        delivery = receiver.wait_for(request_id)
    header = delivery.headers.get("x-baseten-signature", "")
    found = []
    for signature in header.split(","):
        for secret in secrets:
            try:
                verify_webhook(delivery.body, {"x-baseten-signature": signature}, [secret])
            except WebhookVerificationError:
                continue
            found.append(secret)
    assert len(found) == len([part for part in header.split(",") if part])
    return found


def test_a_webhook_is_signed_with_what_is_active_at_that_moment(caller: HarnessClient) -> None:
    first = caller.create_webhook_secret()
    known = [SECRET, first.secret]
    assert verifying(caller, known) == [first.secret, SECRET]
    second = caller.rotate_webhook_secret(first.id)
    known.append(second.secret)
    assert verifying(caller, known) == [second.secret, first.secret, SECRET]
    caller.remove_webhook_secret(first.id)
    caller.remove_webhook_secret("given-1")
    assert verifying(caller, known) == [second.secret]
    caller.remove_webhook_secret(second.id)
    assert verifying(caller, known) == []


def test_the_list_is_masked(caller: HarnessClient, http: httpx.Client) -> None:
    created = caller.create_webhook_secret()
    shown, given = caller.webhook_secrets()
    assert (shown.id, shown.ends_at, shown.is_persisted) == (created.id, None, True)
    assert shown.masked == f"whsec_…{created.secret[-4:]}"
    assert (given.id, given.is_persisted) == ("given-1", False)
    text = http.get("/_harness/secrets").text
    assert created.secret not in text
    assert SECRET not in text


def test_created_secrets_sign_after_a_restart(serve: Callable[..., Harness], tmp_path: Path) -> None:
    first = serve()
    with HarnessClient(first.url, api_key="any") as caller:
        created = caller.create_webhook_secret()
    first.close()
    second = serve(webhook_secrets=())
    with HarnessClient(second.url, api_key="any") as caller:
        assert verifying(caller, [created.secret, SECRET]) == [created.secret]
    assert (tmp_path / "state" / "webhook-secrets.json").stat().st_mode & 0o777 == 0o600


def test_a_rotated_secret_ends_24_hours_later(serve: Callable[..., Harness]) -> None:
    clock = ManualClock(datetime.now(timezone.utc))
    with HarnessClient(serve(clock=clock).url, api_key="any") as caller:
        rotated = caller.rotate_webhook_secret("given-1")
        assert rotated.replaces is not None
        assert rotated.replaces.ends_at == clock.advance(hours=24)
        assert [secret.id for secret in caller.webhook_secrets()] == [rotated.id]


@pytest.mark.parametrize(
    ("method", "path", "status_code"),
    [
        ("DELETE", "/_harness/secrets/unknown", 404),
        ("POST", "/_harness/secrets/unknown/rotate", 404),
        ("DELETE", "/_harness/secrets", 405),
        ("GET", "/_harness/secrets/given-1", 405),
        ("GET", "/_harness/secrets/given-1/rotate", 405),
    ],
)
def test_what_cannot_be_done_is_refused(http: httpx.Client, method: str, path: str, status_code: int) -> None:
    assert http.request(method, path).status_code == status_code


def test_rotating_twice_is_refused(caller: HarnessClient) -> None:
    created = caller.create_webhook_secret()
    caller.rotate_webhook_secret(created.id)
    with pytest.raises(ApiError, match="rotated already") as caught:
        caller.rotate_webhook_secret(created.id)
    assert caught.value.status_code == 400

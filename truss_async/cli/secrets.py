"""``truss-async secrets``"""

from collections.abc import Sequence
from typing import Annotated, Literal

from cyclopts import Parameter

from ..client import HarnessClient
from ..contract.harness_calls import (
    NewWebhookSecret,
    RemovedWebhookSecret,
    WebhookSecretInfo,
    WebhookSecretList,
)
from ..errors import SettingsError
from .connection import HARNESS_HERE, Connection
from .options import AsJson, print_json


def secrets(
    action: Annotated[
        Literal["list", "create", "rotate", "remove"], Parameter(name="ACTION", help="What to do.")
    ],
    secret_id: Annotated[
        str | None, Parameter(name="SECRET_ID", help="The secret to rotate or remove, as `list` shows it.")
    ] = None,
    /,
    *,
    connection: Connection = HARNESS_HERE,
    as_json: AsJson = False,
) -> None:
    """Create, list, rotate and remove the webhook secrets of a harness.

    Webhooks are signed with every active secret. A new secret is shown only once. `rotate` creates a new secret and
    keeps the old one active for 24 hours; `remove` deletes a secret at once.

    Example:
        truss-async secrets create
        truss-async secrets list
        truss-async secrets rotate 0123456789ab
        truss-async secrets remove 0123456789ab
    """
    if action in ("rotate", "remove") and secret_id is None:
        raise SettingsError(f"give the secret's id: truss-async secrets {action} SECRET_ID")
    if action in ("list", "create") and secret_id is not None:
        raise SettingsError(f"{action} takes no secret id")
    with connection.to_harness() as client:
        match action:
            case "list":
                _print_all(client.webhook_secrets(), as_json=as_json)
            case "create":
                _print_new(client.create_webhook_secret(), as_json=as_json)
            case "rotate":
                _print_new(client.rotate_webhook_secret(secret_id or ""), as_json=as_json)
            case "remove":
                _remove(client, secret_id or "", as_json=as_json)


def _print_all(active: Sequence[WebhookSecretInfo], *, as_json: bool) -> None:
    if as_json:
        print_json(WebhookSecretList(secrets=list(active)).model_dump_json())
        return
    if not active:
        print("no webhook secrets: webhooks are not signed")
        return
    print(f"{'id':<14}{'secret':<14}{'created (UTC)':<21}ends (UTC)")
    for secret in active:
        ends = "-" if secret.ends_at is None else f"{secret.ends_at:%Y-%m-%d %H:%M:%S}"
        print(f"{secret.id:<14}{secret.masked:<14}{secret.created_at:%Y-%m-%d %H:%M:%S}  {ends}")


def _print_new(created: NewWebhookSecret, *, as_json: bool) -> None:
    if as_json:
        print_json(created.model_dump_json(exclude_none=True))
        return
    print(f"id      {created.id}")
    print(f"secret  {created.secret}")
    print("shown only once; give it to the code that verifies your webhooks")
    if created.replaces is not None and created.replaces.ends_at is not None:
        print(f"{created.replaces.id} signs until {created.replaces.ends_at:%Y-%m-%d %H:%M:%S} UTC")


def _remove(client: HarnessClient, secret_id: str, *, as_json: bool) -> None:
    client.remove_webhook_secret(secret_id)
    removed = RemovedWebhookSecret(id=secret_id)
    print(removed.model_dump_json() if as_json else f"removed {secret_id}")

"""What a harness offers beyond the platform, for callers."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from ..contract.faults import SetFault, SetFaults
from ..contract.harness_calls import (
    DeliveryAttempts,
    Health,
    NewWebhookSecret,
    RemovedWebhookSecret,
    RequestRecord,
    WebhookSecretList,
)
from .platform import PlatformClient

if TYPE_CHECKING:
    from ..contract.faults import FaultRule
    from ..contract.harness_calls import DeliveryAttemptRecord, WebhookSecretInfo


_FAULTS = "/_harness/faults"


class HarnessClient(PlatformClient):
    """A client of a harness; the platform answers 404 to what is added here."""

    def health(self) -> Health:
        """How the model is, and each deployment's."""
        return self._call("GET", "/healthz", Health)

    def request_record(self, request_id: str) -> RequestRecord:
        """Where a request stands, its times, its attempts, and the faults that struck it."""
        return self._call("GET", f"/_harness/requests/{_quoted(request_id)}", RequestRecord)

    def deliveries(self, request_id: str) -> list[DeliveryAttemptRecord]:
        """Every delivery attempt of a request, in their order."""
        path = f"/_harness/deliveries?request_id={_quoted(request_id)}"
        return self._call("GET", path, DeliveryAttempts).deliveries

    def webhook_secrets(self) -> list[WebhookSecretInfo]:
        """The active webhook secrets, masked, newest first."""
        return self._call("GET", "/_harness/secrets", WebhookSecretList).secrets

    def create_webhook_secret(self) -> NewWebhookSecret:
        """A new webhook secret, beside those that are active."""
        return self._call("POST", "/_harness/secrets", NewWebhookSecret)

    def rotate_webhook_secret(self, secret_id: str) -> NewWebhookSecret:
        """A new webhook secret; the old one ends 24 hours later."""
        return self._call("POST", f"/_harness/secrets/{_quoted(secret_id)}/rotate", NewWebhookSecret)

    def remove_webhook_secret(self, secret_id: str) -> None:
        """End a webhook secret at once."""
        self._call("DELETE", f"/_harness/secrets/{_quoted(secret_id)}", RemovedWebhookSecret)

    def faults(self) -> list[SetFault]:
        """The faults that are set, and how often each has struck."""
        return self._call("GET", _FAULTS, SetFaults).faults

    def add_fault(self, rule: FaultRule) -> SetFault:
        """Set a fault, after those that are set already."""
        return self._call("POST", _FAULTS, SetFault, content=rule.model_dump_json(exclude_none=True))

    def remove_fault(self, fault_id: int) -> None:
        """Let a fault strike no more."""
        self._call("DELETE", f"{_FAULTS}/{fault_id}", SetFault)

    def clear_faults(self) -> None:
        """Let no fault strike any more."""
        self._call("DELETE", _FAULTS, SetFaults)


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="replace")

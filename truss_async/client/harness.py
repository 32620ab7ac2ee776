"""What a harness offers beyond the platform, for callers."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from ..contract.harness_calls import DeliveryAttempts
from .platform import PlatformClient

if TYPE_CHECKING:
    from ..contract.harness_calls import DeliveryAttemptRecord


class HarnessClient(PlatformClient):
    """A client of a harness; the platform answers 404 to what is added here."""

    def deliveries(self, request_id: str) -> list[DeliveryAttemptRecord]:
        """Every delivery attempt of a request, in their order."""
        path = f"/_harness/deliveries?request_id={_quoted(request_id)}"
        return self._call("GET", path, DeliveryAttempts).deliveries


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="replace")

"""Why a request still waits, as far as a harness tells."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ..client.refusals import one_line
from ..contract import RequestStatus
from ..errors import ApiError
from ..printable import print_line

if TYPE_CHECKING:
    from ..client import HarnessClient
    from ..contract import AsyncRequestStatus


def why_it_waits(client: HarnessClient, status: AsyncRequestStatus) -> str | None:
    """In a few words; None when it does not wait for its model.

    Raises:
        ApiError: there is no harness that tells.
    """
    if status.status is not RequestStatus.QUEUED:
        return None
    deployment = client.health().deployments.get(status.deployment_id or "")
    if deployment is None:
        return None
    if deployment.model == "failed":
        return f"the model does not load: {one_line(deployment.error or 'no reason given')}"
    if deployment.model != "starting":
        return None
    return "the model is being loaded" if deployment.error is None else one_line(deployment.error)


class Watch:
    """Says on standard error, once for each reason, why a request that is awaited still waits."""

    def __init__(self, client: HarnessClient) -> None:
        self._client = client
        self._told: str | None = None
        self._is_told = True

    def look(self, status: AsyncRequestStatus) -> None:
        """Look at one more status of it."""
        if not self._is_told:
            return
        try:
            reason = why_it_waits(self._client, status)
        except ApiError:
            self._is_told = False  # by the platform, nobody is
            return
        if reason is not None and reason != self._told:
            self._told = reason
            print_line(f"request {one_line(status.request_id)} waits: {reason}", file=sys.stderr)

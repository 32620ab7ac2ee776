"""What the model server is told about a request, beside its input."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ..contract.headers import CHAIN_REQUEST_ID, REQUEST_ID, TRACEPARENT


@dataclass(frozen=True, slots=True)
class RequestHeaders:
    """The request id, which is the trace id too; the entry point of a chain gets it once more, as the chain's."""

    is_chain: bool = False

    def of(self, request_id: str) -> list[tuple[str, str]]:
        """The headers of one call of the model server, a span of its own in the request's trace."""
        headers = [(REQUEST_ID, request_id), (TRACEPARENT, f"00-{request_id}-{os.urandom(8).hex()}-01")]
        if self.is_chain:
            headers.append((CHAIN_REQUEST_ID, request_id))
        return headers

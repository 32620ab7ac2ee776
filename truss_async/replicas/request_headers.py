"""What the model server is told about a request, beside its input."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ..contract.headers import CHAIN_REQUEST_ID, REQUEST_ID, TRACEPARENT, TRACESTATE

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True, slots=True)
class RequestHeaders:
    """The request id, which is the trace id too; the entry point of a chain gets it once more, as the chain's."""

    is_chain: bool = False

    def of(
        self,
        request_id: str,
        *,
        carried: Mapping[str, str] = MappingProxyType({}),
        span_id: str | None = None,
    ) -> list[tuple[str, str]]:
        """The headers of one call of the model server, a span of its own in the request's trace, of that id or any.

        What a chainlet has ``carried`` along, for it calls another in work on a request, stays as it is.
        """
        headers = {REQUEST_ID: request_id}
        if TRACEPARENT in carried:
            headers |= {name: carried[name] for name in (TRACEPARENT, TRACESTATE) if name in carried}
        else:
            headers[TRACEPARENT] = f"00-{request_id}-{span_id or new_span_id()}-01"
        if self.is_chain:
            headers[CHAIN_REQUEST_ID] = carried.get(CHAIN_REQUEST_ID, request_id)
        return list(headers.items())


def new_span_id() -> str:
    """One that nobody else has."""
    return os.urandom(8).hex()


def carried_request_id(headers: Mapping[str, str]) -> str | None:
    """The id of the request in work on which a chainlet makes a call with these headers, if it says so."""
    request_id = headers.get(REQUEST_ID, "")
    return request_id if _REQUEST_ID.fullmatch(request_id) else None

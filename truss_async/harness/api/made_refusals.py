"""Calls that a fault refuses, as the platform refuses them where it has reasons that a harness never has."""

from __future__ import annotations

from collections.abc import Mapping, Set
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from ...contract.faults import FaultKind
from ..faults import Occasion
from .deployments import SERVED_BY_ALL
from .refusals import ApiErrorCode, CallRefusedError

if TYPE_CHECKING:
    from ..deployment import Deployment
    from .calls import ApiParts, IncomingCall

_OF_ALL_CALLS: Final = frozenset({FaultKind.PAYMENT_REQUIRED, FaultKind.FORBIDDEN})
OF_SYNC_CALLS: Final = frozenset({FaultKind.SYNC_FULL})
OF_ASYNC_CALLS: Final = frozenset({FaultKind.CAPACITY_EXCEEDED, FaultKind.NOT_SET_UP})
_OF_DEVELOPMENT: Final = frozenset({FaultKind.DEVELOPMENT_SCALED_TO_ZERO})

_REFUSALS: Final[Mapping[FaultKind, tuple[int, ApiErrorCode, str]]] = MappingProxyType(
    {
        FaultKind.SYNC_FULL: (529, ApiErrorCode.MODEL_UNAVAILABLE, "no replica has room"),
        FaultKind.CAPACITY_EXCEEDED: (
            429,
            ApiErrorCode.RATE_LIMITED,
            "CAPACITY_EXCEEDED: no replica runs, and another request waits for one",
        ),
        FaultKind.PAYMENT_REQUIRED: (402, ApiErrorCode.CLIENT_ERROR, "payment is required"),
        FaultKind.FORBIDDEN: (403, ApiErrorCode.UNAUTHORIZED, "the API key may not call this model"),
        FaultKind.DEVELOPMENT_SCALED_TO_ZERO: (
            404,
            ApiErrorCode.MODEL_NOT_READY,
            "the development deployment is scaled to zero",
        ),
        FaultKind.NOT_SET_UP: (503, ApiErrorCode.MODEL_UNAVAILABLE, "async inference is not set up"),
    }
)


def refuse_by_fault(
    parts: ApiParts, call: IncomingCall, deployment: Deployment, *, kinds: Set[FaultKind] = frozenset()
) -> None:
    """Let a call pass that no fault strikes, of those for all calls and of ``kinds``.

    Raises:
        CallRefusedError: as the fault says.
    """
    faults = parts.faults
    if not faults.is_armed:
        return
    at_stake = _OF_ALL_CALLS | kinds
    if call.named.target.name == SERVED_BY_ALL:
        at_stake |= _OF_DEVELOPMENT
    if not faults.knows_any(at_stake):
        return
    occasion = Occasion(call.request_id, deployment.id, faults.next_sync_call(), is_sync=True)
    rule = faults.strike(occasion, at_stake)
    if rule is not None:
        status, code, message = _REFUSALS[rule.kind]
        headers = {"Retry-After": "1"} if status == 429 else None
        detail = f"fault: {rule.kind.value}"
        raise CallRefusedError(status, code, message, detail=detail, headers=headers)

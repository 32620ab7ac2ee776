"""What a call is: as it is described, as it was understood, and in the hands of whoever answers it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ...contract import limits

if TYPE_CHECKING:
    from pydantic import BaseModel
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

    from ...clock import Clock
    from ..faults import Faults
    from ..inspection import AnsweredCall, KeptInputs, LineKeeper
    from ..metrics import Metrics
    from ..redelivery import Redelivery
    from ..request_queue import RequestQueue
    from ..sent_headers import SentHeaders
    from ..webhook_secrets import WebhookSecrets
    from .asking import ModelCalls
    from .browsers import Browsers
    from .call_limiters import CallLimiters
    from .deployments import Deployments
    from .passing_on import OtherNodes
    from .targets import Kind, Named

Schema: TypeAlias = Mapping[str, Any]
Content: TypeAlias = "type[BaseModel] | Schema"
Answer: TypeAlias = "BaseModel | Response | None"
Handler: TypeAlias = "Callable[[ApiParts, IncomingCall], Awaitable[Answer]]"

ANY: Final[Schema] = {}
"""The model's own: of any type, and answered with any status."""
ANY_METHOD: Final = "*"
REST: Final = "{route}"
"""The end of a path that may be of several parts; they are passed on as they were sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiParts:
    """What calls are answered from."""

    deployments: Deployments
    metrics: Metrics
    queue: RequestQueue
    limiters: CallLimiters
    model_calls: ModelCalls
    other_nodes: OtherNodes
    secrets: WebhookSecrets
    sent: SentHeaders
    faults: Faults
    clock: Clock
    on_expiry: Callable[[datetime], None]
    api_key: str | None
    inner_key: str
    browsers: Browsers | None
    guards_webhooks: bool
    report: Callable[[str], None]
    lines: LineKeeper
    redelivery: Redelivery
    inputs: KeptInputs
    on_call: Callable[[AnsweredCall], None] | None


@dataclass(slots=True)
class IncomingCall:
    """One call, in hand. ``values`` are those of the path's placeholders; ``measured`` wraps what sends its answer.

    ``is_inner``: one chainlet of a chain calls another.
    """

    request: Request
    request_id: str
    operation: Operation
    named: Named
    values: Mapping[str, str]
    is_inner: bool = False
    measured: Callable[[ASGIApp], ASGIApp] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """What can be called, said once: routes, ``Allow`` and the OpenAPI document all come from here.

    ``answer`` is the content of a success, None for an empty one; ``is_sparse`` leaves out what is None in it.
    ``refusals`` are those beyond 401 without a key, and 400 and 413 of a body. ``words`` is whose word the path has for it.
    ``takes_websocket``: the handshake of one, which is a GET, is passed on to the model.
    """

    method: str
    path: str
    handler: Handler
    answer: Content | None = None
    body: Content | None = None
    query: Mapping[str, Schema] = field(default_factory=dict)
    status: int = 200
    refusals: tuple[int, ...] = ()
    words: Kind | None = None
    is_open: bool = False
    is_own: bool = False
    is_sparse: bool = False
    takes_websocket: bool = False
    max_body_bytes: int = limits.MAX_BODY_BYTES
    media_type: str = "application/json"

    @property
    def summary(self) -> str:
        """The first line that its handler says of itself."""
        return (self.handler.__doc__ or "").partition("\n")[0]

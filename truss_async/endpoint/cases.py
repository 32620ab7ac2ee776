"""The webhooks that an endpoint is tried with: what each one is, and what a good endpoint does about it."""

from __future__ import annotations

import secrets as randomness
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from ..contract import AsyncPredictResult, ErrorCode, ErrorDetail
from ..contract.headers import SIGNATURE, WEBHOOK_REQUEST_ID
from ..webhooks import signature_header

if TYPE_CHECKING:
    from typing import TypeAlias

    Signing: TypeAlias = Literal["newest", "newer too", "oldest", "unknown", "another body", "none"]

LARGE_ROW: Final = "large result"
LARGE_CHARACTERS: Final = 2_000_000
STALE: Final = timedelta(hours=1)
# Of the model and the deployment, so that nobody takes it for a real result.
TEST_ID: Final = "truss_async_test"

_RAW = "compute the HMAC over the raw body, not over JSON that was parsed and serialized again"
_ANY = (
    "the header has one signature for each active secret, newest first; accept the webhook if any of them "
    "matches any of your secrets. After a rotation, the first may belong to a secret that you do not have yet"
)
_AGAIN = "acknowledge duplicates, too: any other answer counts as a failed delivery"
_PROVE = "answer 401 unless the header contains an HMAC-SHA256 of the raw body, made with one of your secrets"


@dataclass(frozen=True)
class Webhook:
    """One POST, ready to be sent."""

    body: bytes
    headers: dict[str, str]


@dataclass(frozen=True)
class Case:
    """What is sent, once for each of ``signings``; and what to do when the endpoint does not do what it ought to.

    ``repeats``: how it comes again afterwards: the very same bytes, or as the platform's retry, with a new time and
    signature. ``needs_secrets``: how many must be known for it to make sense. ``note``: what the answers leave open.
    """

    name: str
    advice: str
    is_genuine: bool = True
    data: Any = field(default_factory=lambda: {"text": "hello"})
    errors: tuple[ErrorDetail, ...] = ()
    age: timedelta = timedelta()
    signings: tuple[Signing, ...] = ("newest",)
    repeats: Literal["never", "same", "retry"] = "never"
    needs_secrets: int = 1
    note: str = ""

    def webhook(self, signing: Signing, *, request_id: str, secrets: Sequence[str], now: datetime) -> Webhook:
        """The POST as the platform would send it at that moment, or a forger."""
        result = AsyncPredictResult(
            request_id=request_id,
            model_id=TEST_ID,
            deployment_id=TEST_ID,
            time=now - self.age,
            data=None if self.errors else self.data,
            errors=list(self.errors),
        )
        body = result.model_dump_json().encode()
        headers = {"Content-Type": "application/json", WEBHOOK_REQUEST_ID: request_id}
        if signing != "none":
            signed = body + b" " if signing == "another body" else body
            headers[SIGNATURE] = signature_header(signed, _keys(signing, secrets))
        return Webhook(body, headers)


def _keys(signing: Signing, secrets: Sequence[str]) -> list[str]:
    unknown = "whsec_" + randomness.token_hex(19)
    match signing:
        case "newer too":
            return [unknown, *secrets]
        case "oldest":
            return [secrets[-1]]
        case "unknown":
            return [unknown]
        case _:
            return [secrets[0]]


CASES: Final = (
    Case("good result", _RAW),
    Case(
        "error result",
        "failed requests are sent as webhooks, too: data is null, and errors has the reason",
        errors=(ErrorDetail(code=ErrorCode.MODEL_PREDICT_ERROR.value, message="a test: “no” model"),),
    ),
    Case(
        LARGE_ROW,
        "raise the request body limit of your server and its proxy: this body has 2 MB",
        data={"text": "x" * LARGE_CHARACTERS},
    ),
    Case(
        "unicode", _RAW, data={"Straße": 'naïve 日本 🙂 \u2028 "\\/', "numbers": [0.1, 3.0, 1e-7, 2**53 + 1]}
    ),
    Case("both signatures during rotation", _ANY, signings=("newer too",)),
    Case("old secret only", _ANY, signings=("oldest",), needs_secrets=2),
    Case("wrong signature", _PROVE, is_genuine=False, signings=("unknown", "another body")),
    Case("no signature", _PROVE, is_genuine=False, signings=("none",)),
    Case(
        "old timestamp",
        "compare `time` in the body with the current time, and answer 401 if it differs by more than 300 s; this one is an hour old",
        is_genuine=False,
        age=STALE,
    ),
    Case(
        "same result twice",
        _AGAIN,
        repeats="same",
        note="both were acknowledged; this test cannot see whether the result was handled only once",
    ),
    Case(
        "retry after a 500",
        _AGAIN,
        repeats="retry",
        note="the endpoint did not answer 500; a webhook like the platform's retry was acknowledged",
    ),
)

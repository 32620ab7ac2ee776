"""What the ready-made receivers share: the secrets, the limits, and one verdict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..contract.limits import MAX_BODY_BYTES, WEBHOOK_AGE_TOLERANCE_SECONDS
from ..errors import SettingsError, WebhookVerificationError
from ..printable import printable_logger
from .secrets import REMEDY, as_secrets, configured_secrets
from .verification import verify_webhook

if TYPE_CHECKING:
    from ..contract import AsyncPredictResult
    from .verification import Headers, Now

logger = printable_logger(__name__)


@dataclass(frozen=True)
class WebhookVerifier:
    """How a receiver verifies. ``secrets`` are read once, when it is made; None: those of the environment.

    Raises:
        SettingsError: there is no secret, or one that is none. A receiver without one could only refuse, and so lose,
            every result.
    """

    secrets: Iterable[str] | str | None = None
    tolerance_seconds: float = WEBHOOK_AGE_TOLERANCE_SECONDS
    max_body_bytes: int = MAX_BODY_BYTES
    now: Now = None

    def __post_init__(self) -> None:
        usable = configured_secrets() if self.secrets is None else as_secrets(self.secrets)
        if not usable:
            raise SettingsError(f"there is no webhook secret to check against: {REMEDY}")
        object.__setattr__(self, "secrets", usable)

    def verify(self, body: bytes, headers: Headers) -> AsyncPredictResult:
        """The result, or a ``WebhookVerificationError``."""
        try:
            return verify_webhook(body, headers, self.secrets, now=self.now, tolerance=self.tolerance_seconds)
        except WebhookVerificationError as error:
            _log(error)
            raise

    def check_size(self, size_bytes: int) -> None:
        """Refuse a body that is larger than allowed, before it is in memory as a whole."""
        if size_bytes > self.max_body_bytes:
            error = WebhookVerificationError(f"the body exceeds {self.max_body_bytes} bytes", status_code=413)
            _log(error)
            raise error


def _log(error: WebhookVerificationError) -> None:
    """So that the receiver's operator sees the reason, too."""
    logger.warning("a webhook was refused (%d): %s", error.status_code, error)

"""The webhook secrets: created, rotated, removed; kept where the harness alone can read them."""

from __future__ import annotations

import asyncio
import secrets
import string
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, ValidationError

from ..contract import limits
from ..errors import HarnessError

if TYPE_CHECKING:
    from ..clock import Clock
    from .documents import Document

PREFIX = "whsec_"
RANDOM_CHARACTERS = 38
OVERLAP = timedelta(seconds=limits.WEBHOOK_SECRET_OVERLAP_SECONDS)

_ALPHABET = string.ascii_letters + string.digits
_SHOWN_CHARACTERS = 4
_SHORTEST_SHOWN = 20


class UnknownSecretError(HarnessError):
    """No active webhook secret has this id."""


class SecretRotatedError(HarnessError):
    """The webhook secret was rotated before; it ends by itself."""


class WebhookSecret(BaseModel):
    """A key that webhooks are signed with, until it ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    secret: str
    created_at: datetime
    ends_at: datetime | None = None

    def is_active(self, now: datetime) -> bool:
        """Whether it signs at that moment."""
        return self.ends_at is None or self.ends_at > now

    @property
    def masked(self) -> str:
        """Enough of it to tell it from others, and too little to sign with."""
        prefix = PREFIX if self.secret.startswith(PREFIX) else ""
        end = self.secret[-_SHOWN_CHARACTERS:] if len(self.secret) >= _SHORTEST_SHOWN else ""
        return f"{prefix}…{end}"


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    secrets: list[WebhookSecret]


class WebhookSecrets:
    """All webhook secrets of a harness: those of the document, and those given at its start, which are not kept.

    Newest first: what was made here comes before what was given. Every change is durable when the method returns, for
    which it may wait; what others who share the document change is known after ``take_over``.
    """

    def __init__(self, document: Document, *, given: Sequence[str], clock: Clock) -> None:
        """Read the document, if it was ever written.

        Raises:
            HarnessError: it cannot be read, or is not what this version writes.
        """
        self._document = document
        self._clock = clock
        self._kept = self._parsed(document.read())
        started_at = clock.now()
        self._given = [
            WebhookSecret(id=f"given-{number}", secret=secret, created_at=started_at)
            for number, secret in enumerate(given, start=1)
        ]

    def active(self) -> list[WebhookSecret]:
        """What signs now, newest first."""
        now = self._clock.now()
        return [secret for secret in (*self._kept, *self._given) if secret.is_active(now)]

    def signing(self) -> list[str]:
        """The keys that sign now, newest first, each once."""
        return list(dict.fromkeys(secret.secret for secret in self.active()))

    def is_persisted(self, secret: WebhookSecret) -> bool:
        """Whether it outlives the harness."""
        return secret in self._kept

    def create(self) -> WebhookSecret:
        """Make a new one; those that are active stay so."""
        created = self._new()
        self._change(lambda kept: [created, *kept])
        return created

    def rotate(self, secret_id: str) -> tuple[WebhookSecret, WebhookSecret]:
        """Make a new one and let the old one sign for 24 hours more; return both.

        Raises:
            UnknownSecretError: there is no such active one.
            SecretRotatedError: it was rotated already.
        """
        old = self._find(secret_id)
        if old.ends_at is not None:
            raise SecretRotatedError(f"the webhook secret {secret_id} was rotated already")
        ending = old.model_copy(update={"ends_at": self._clock.now() + OVERLAP})
        created = self._new()
        self._change(lambda kept: [created, *(ending if each.id == old.id else each for each in kept)])
        self._given = [ending if secret is old else secret for secret in self._given]
        return created, ending

    def remove(self, secret_id: str) -> None:
        """Let it sign nothing any more.

        Raises:
            UnknownSecretError: there is no such active one.
        """
        old = self._find(secret_id)
        if old in self._kept:
            self._change(lambda kept: [each for each in kept if each.id != old.id])
        self._given = [secret for secret in self._given if secret is not old]

    async def take_over(self) -> None:
        """Sign with what others have made, rotated or removed, too."""
        self._kept = self._parsed(await asyncio.to_thread(self._document.read))

    def drop(self) -> None:
        """Of the secrets, none is anybody's own."""

    def _find(self, secret_id: str) -> WebhookSecret:
        for secret in self.active():
            if secret.id == secret_id:
                return secret
        raise UnknownSecretError(f"there is no active webhook secret {secret_id}")

    def _new(self) -> WebhookSecret:
        return WebhookSecret(id=uuid4().hex[:12], secret=new_secret(), created_at=self._clock.now())

    def _change(self, change: Callable[[list[WebhookSecret]], list[WebhookSecret]]) -> None:
        now = self._clock.now()

        def changed(content: bytes | None) -> bytes:
            lasting = [each for each in change(self._parsed(content)) if each.is_active(now)]
            return _Kept(secrets=lasting).model_dump_json(indent=2).encode()

        self._kept = self._parsed(self._document.change(changed))

    def _parsed(self, content: bytes | None) -> list[WebhookSecret]:
        if content is None:
            return []
        try:
            return _Kept.model_validate_json(content).secrets
        except ValidationError:
            raise HarnessError(
                f"{self._document} was not written by this version of truss-async; use the version that wrote "
                "it, or remove it"
            ) from None


def new_secret() -> str:
    """A webhook secret as the platform makes them."""
    return PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(RANDOM_CHARACTERS))

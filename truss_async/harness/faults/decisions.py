"""Which attempts a rule strikes, as pure functions: no I/O, no clock, no state."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...contract.limits import WEBHOOK_AGE_TOLERANCE_SECONDS

if TYPE_CHECKING:
    from ...contract.faults import FaultKind, FaultRule
    from ...contract.harness_calls import SignatureVerdict

_DRAWS = 2**64


@dataclass(frozen=True, slots=True)
class Occasion:
    """An attempt that a fault may strike.

    ``order`` is the request's number in the order of acceptance, from 1; sync calls are numbered by themselves.
    ``attempt`` counts from 1, for inference and for delivery.
    """

    request_id: str
    deployment_id: str
    order: int
    attempt: int = 1
    is_sync: bool = False


def fits(rule: FaultRule, occasion: Occasion) -> bool:
    """Whether the rule strikes there, as far as it does not depend on what it has struck before."""
    return (
        rule.request_id in (None, occasion.request_id)
        and rule.deployment_id in (None, occasion.deployment_id)
        and rule.attempt in (None, occasion.attempt)
        and (rule.nth is None or (rule.nth == occasion.order and not occasion.is_sync))
        and (rule.rate is None or draw(rule.seed, rule.kind, occasion) < rule.rate)
    )


def draw(seed: int, kind: FaultKind, occasion: Occasion) -> float:
    """A number from 0 to 1, 1 excluded: the same for the same seed, kind, order and attempt, in any run."""
    calls = "sync" if occasion.is_sync else "async"
    text = f"{seed} {kind.value} {calls} {occasion.order} {occasion.attempt}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") / _DRAWS


@dataclass(frozen=True, slots=True)
class Tampering:
    """What is wrong with a webhook that is sent."""

    age_seconds: float = 0
    is_signed_wrongly: bool = False

    def secrets(self, active: Sequence[str]) -> Sequence[str]:
        """What to sign with, in place of the webhook secrets that are active."""
        if not self.is_signed_wrongly:
            return active
        return [f"not {secret}" for secret in active] or ["not a webhook secret"]

    def verdict(self, active: Sequence[str]) -> SignatureVerdict:
        """What a receiver that has the secrets must think of its signature."""
        if self.is_signed_wrongly:
            return "wrong"
        if not active:
            return "unsigned"
        return "too old" if self.age_seconds > WEBHOOK_AGE_TOLERANCE_SECONDS else "valid"

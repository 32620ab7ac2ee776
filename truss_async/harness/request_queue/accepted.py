"""An async request as it was accepted, less its input: what a queue keeps of it as one JSON, whatever it holds."""

from dataclasses import dataclass
from functools import lru_cache

from pydantic import TypeAdapter

from ...contract import AsyncPredictRequest, InferenceRetryConfig


@dataclass(frozen=True, slots=True)
class AcceptedRequest:
    """What was asked for, and of what. A field that comes later has a default: older requests lack it."""

    model_id: str
    chain_id: str | None
    webhook_endpoint: str | None
    retry_config: InferenceRetryConfig

    @staticmethod
    def of(asked: AsyncPredictRequest, *, model_id: str, chain_id: str | None) -> "AcceptedRequest":
        """What the caller asked of a model, or of a chain."""
        return AcceptedRequest(model_id, chain_id, asked.webhook_endpoint, asked.inference_retry_config)

    @staticmethod
    @lru_cache(maxsize=256)  # most requests of a caller are made alike
    def from_json(text: str) -> "AcceptedRequest":
        """What ``to_json`` wrote.

        Raises:
            ValueError: it did not.
        """
        return _JSON.validate_json(text)

    def to_json(self) -> str:
        """All of it."""
        return _JSON.dump_json(self).decode()


_JSON = TypeAdapter(AcceptedRequest)

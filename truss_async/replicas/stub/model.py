"""A stub as a model: served as any other model in this process is, and so with its errors, slots and logs."""

import hashlib
import itertools
from collections.abc import Awaitable, Callable
from typing import Any, Final

from ..in_process import UntracedError
from .answers import StubAnswers, UnknownInputError

_DRAWS: Final = 2**64
_UNPROCESSABLE: Final = 422


class StubFailureError(UntracedError):
    """A call that was drawn to fail."""


class StubBehaviour:
    """How all replicas of a stub answer. ``sleep`` waits on the clock of the requests."""

    def __init__(
        self,
        answers: StubAnswers,
        *,
        latency_seconds: float,
        fail_rate: float,
        fail_seed: int,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._answers = answers
        self._latency_seconds = latency_seconds
        self._fail_rate = fail_rate
        self._fail_seed = fail_seed
        self._sleep = sleep
        self._numbers = itertools.count(1)

    @property
    def described(self) -> str:
        """In words: ``a stub: it always answers the same after 2 s``."""
        parts = [f"a stub: it {self._answers.described}"]
        if self._latency_seconds:
            parts.append(f"after {self._latency_seconds:g} s")
        if self._fail_rate:
            parts.append(
                f"and fails {self._fail_rate:.4g} of its calls, drawn from the seed {self._fail_seed}"
            )
        return " ".join(parts)

    async def answer(self, model_input: Any) -> Any:
        """The output; StubFailureError for a call that was drawn to fail, FastAPI's 422 for an unknown input."""
        number = next(self._numbers)
        if self._latency_seconds:
            await self._sleep(self._latency_seconds)
        if is_drawn(self._fail_seed, number, rate=self._fail_rate):
            raise StubFailureError(
                f"call {number} of the stub fails: a rate of {self._fail_rate:.4g}, seed {self._fail_seed}"
            )
        try:
            return self._answers.output_for(model_input)
        except UnknownInputError as error:
            from fastapi import HTTPException

            raise HTTPException(_UNPROCESSABLE, str(error)) from None


def is_drawn(seed: int, number: int, *, rate: float) -> bool:
    """Whether the call of this number fails: the same for the same seed, in any run."""
    drawn = hashlib.blake2b(f"{seed} stub {number}".encode(), digest_size=8).digest()
    return int.from_bytes(drawn, "big") / _DRAWS < rate


def stub_model(behaviour: StubBehaviour, *, base: type) -> type:
    """A model's class, derived from ``base``."""

    async def predict(self: object, model_input: Any) -> Any:
        return await behaviour.answer(model_input)

    return type("Stub", (base,), {"predict": predict, "__module__": __name__})

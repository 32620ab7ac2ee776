"""Signed webhooks that the openssl command made, not the code under test."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

VECTORS = Path(__file__).parents[2] / "vectors" / "webhooks.json"


@dataclass(frozen=True)
class Vector:
    """A body and the signature header that belongs to it."""

    name: str
    time: datetime
    secrets: list[str]
    body: bytes
    signature_header: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Content-Type": "application/json", "X-BASETEN-SIGNATURE": self.signature_header}


def load_vectors() -> list[Vector]:
    return [
        Vector(
            name=each["name"],
            time=datetime.fromisoformat(each["time"].replace("Z", "+00:00")),
            secrets=each["secrets"],
            body=each["body"].encode(),
            signature_header=each["signature_header"],
        )
        for each in json.loads(VECTORS.read_text(encoding="utf-8"))
    ]


@pytest.fixture(params=load_vectors(), ids=lambda vector: vector.name)
def vector(request: pytest.FixtureRequest) -> Vector:
    """Each vector in turn."""
    found = request.param
    assert isinstance(found, Vector)
    return found


@pytest.fixture
def signed() -> Vector:
    """The vector with one secret."""
    return load_vectors()[0]


@pytest.fixture
def rotated() -> Vector:
    """The vector that two secrets signed, the new one first."""
    return load_vectors()[1]

"""How a call names what it is for: a model or a chain, and which deployment of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Literal

TARGETS = ("/production", "/development", "/environments/{environment}", "/deployment/{deployment_id}", "")
"""What stands in a path before the operation, if it is one on a target."""
CHAINLET = "/deployment/{deployment_id}/chainlet/{chainlet_id}"
"""What stands there where one chainlet of a chain is meant, in the platform's own addresses of them."""

_HOST = re.compile(r"^(model|chain)-([A-Za-z0-9_]+)(?:-([A-Za-z0-9_-]+))?\.", re.ASCII)


class Kind(Enum):
    """What is served."""

    MODEL = "model"
    CHAIN = "chain"

    @property
    def word(self) -> str:
        """By which it is called, with ``async_`` before it for an async request."""
        return "predict" if self is Kind.MODEL else "run_remote"


@dataclass(frozen=True, slots=True)
class Served:
    """The model or the chain that a host or a path prefix names."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind.value} {self.name}"


@dataclass(frozen=True, slots=True)
class Target:
    """The deployment that a call names: the host's own, that of an environment, or one by its id."""

    kind: Literal["host", "environment", "deployment"] = "host"
    name: str = ""


@dataclass(frozen=True, slots=True)
class Named:
    """What a call says of the deployment that it is for. ``words`` is whose word for the operation it used.

    ``chainlet`` is the id of the one that is meant, of those of the chain that the target is a deployment of.
    """

    served: Served | None = None
    target: Target = Target()
    words: Kind | None = None
    chainlet: str | None = None


def named_by_host(host: str) -> tuple[Served | None, Target]:
    """What the host ``model-{id}.…`` or ``chain-{id}.…`` names, with the environment in ``model-{id}-{environment}.…``."""
    found = _HOST.match(host)
    if found is None:
        return None, Target()
    return Served(Kind(found[1]), found[2]), Target("environment", found[3]) if found[3] else Target()


def named_by_path(parts: list[str]) -> tuple[Target, str | None, list[str]]:
    """The target that the path names, the chainlet of it, if one is named, and what is left of the path."""
    target, rest = _target_of(parts)
    match rest:
        case ["chainlet", chainlet_id, *operation]:
            return target, chainlet_id, operation
        case _:
            return target, None, rest


def _target_of(parts: list[str]) -> tuple[Target, list[str]]:
    match parts:
        case [("production" | "development") as environment, *rest] | ["environments", environment, *rest]:
            return Target("environment", environment), rest
        case ["deployment", deployment_id, *rest]:
            return Target("deployment", deployment_id), rest
        case _:
            return Target(), parts

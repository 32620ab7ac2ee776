"""Which call a host, a path and a method name: a pure function."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from urllib.parse import unquote

from .refusals import ApiErrorCode, CallRefusedError, no_such_model


class Operation(Enum):
    """What can be called."""

    PREDICT = "predict"
    ASYNC_PREDICT = "async_predict"
    QUEUE_STATUS = "async_queue_status"
    WAKE = "wake"
    ROUTE = "sync"
    STATUS = "status"
    CANCEL = "cancel"
    HEALTH = "healthz"
    METRICS = "metrics"
    REQUEST_RECORD = "request record"
    OWN = "one of the harness's own calls"


class TargetKind(Enum):
    """How a call names the deployment."""

    HOST = "host"
    ENVIRONMENT = "environment"
    DEPLOYMENT = "deployment"


@dataclass(frozen=True, slots=True)
class Target:
    """The deployment that a call names: the host's own, that of an environment, or one by its id."""

    kind: TargetKind = TargetKind.HOST
    name: str = ""


class Kind(Enum):
    """What is served. A model is asked to predict, a chain to run remote."""

    MODEL = "model"
    CHAIN = "chain"


@dataclass(frozen=True, slots=True)
class Served:
    """The model or the chain that a host or a path prefix names."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind.value} {self.name}"


@dataclass(frozen=True, slots=True)
class Call:
    """One call, understood. ``words`` is whose word for the operation it used; ``route`` is as it was sent."""

    operation: Operation
    served: Served | None = None
    target: Target = Target()
    request_id: str = ""
    words: Kind | None = None
    route: str = ""
    own_path: tuple[str, ...] = ()


_HOST = re.compile(r"^(model|chain)-([A-Za-z0-9_]+)(?:-([A-Za-z0-9_-]+))?\.", re.ASCII)

_TARGET_OPERATIONS = {
    ("POST", "predict"): Operation.PREDICT,
    ("POST", "async_predict"): Operation.ASYNC_PREDICT,
    ("POST", "run_remote"): Operation.PREDICT,
    ("POST", "async_run_remote"): Operation.ASYNC_PREDICT,
    ("GET", "async_queue_status"): Operation.QUEUE_STATUS,
    ("POST", "wake"): Operation.WAKE,
}
_TARGET_NAMES = {name: method for method, name in _TARGET_OPERATIONS}
_WORDS = {
    "predict": Kind.MODEL,
    "async_predict": Kind.MODEL,
    "run_remote": Kind.CHAIN,
    "async_run_remote": Kind.CHAIN,
}
_REQUEST_OPERATIONS = {"GET": Operation.STATUS, "DELETE": Operation.CANCEL}


@lru_cache(maxsize=1024)
def find_call(method: str, host: str, path: str) -> Call:
    """Understand a call; the path is still percent-encoded.

    What is served is named by the host ``model-{id}.…`` or ``chain-{id}.…``, or by the path prefix ``/model/{id}`` or
    ``/chain/{id}``; with neither, it is the one that is served. The host ``model-{id}-{environment}.…`` names the
    environment too, and then the path does not.

    Raises:
        CallRefusedError: there is no such path, or not with this method.
    """
    raw = path.split("/")[1:]
    parts = [unquote(part) for part in raw]
    served, target = None, Target()
    if found := _HOST.match(host):
        served = Served(Kind(found[1]), found[2])
        target = Target() if found[3] is None else Target(TargetKind.ENVIRONMENT, found[3])
    if len(parts) > 2 and parts[0] in ("model", "chain"):
        served, target, parts = Served(Kind(parts[0]), parts[1]), Target(), parts[2:]
    match parts:
        case ["healthz"]:
            return _only("GET", method, Call(Operation.HEALTH))
        case ["metrics"]:
            return _only("GET", method, Call(Operation.METRICS))
        case ["_harness", "requests", request_id]:
            return _only("GET", method, Call(Operation.REQUEST_RECORD, request_id=request_id))
        case ["_harness", *own_path]:
            return Call(Operation.OWN, own_path=tuple(own_path))
        case ["async_request", request_id]:
            if method not in _REQUEST_OPERATIONS:
                raise wrong_method(method, *_REQUEST_OPERATIONS)
            return Call(_REQUEST_OPERATIONS[method], served=served, request_id=request_id)
    named, rest = _target(parts)
    if named is not None and target != Target():
        raise no_such_model(
            f"the host names the environment {target.name}; there the path is /{'/'.join(rest)}, not {path}"
        )
    route = "/".join(raw[len(raw) - len(rest) + 1 :])
    return _target_call(method, rest, served, named or target, route=route, path=path)


def words_of(kind: Kind) -> str:
    """By which words it is called."""
    return " and ".join(word for word, whose in _WORDS.items() if whose is kind)


def _target(parts: list[str]) -> tuple[Target | None, list[str]]:
    """The target that the path names, and what is left of the path."""
    match parts:
        case [("production" | "development") as environment, *rest]:
            return Target(TargetKind.ENVIRONMENT, environment), rest
        case ["environments", environment, *rest]:
            return Target(TargetKind.ENVIRONMENT, environment), rest
        case ["deployment", deployment_id, *rest]:
            return Target(TargetKind.DEPLOYMENT, deployment_id), rest
        case _:
            return None, parts


def _target_call(
    method: str, parts: list[str], served: Served | None, target: Target, *, route: str, path: str
) -> Call:
    match parts:
        case ["sync", _, *_]:
            return Call(Operation.ROUTE, served=served, target=target, route=route)
        case [name] if (method, name) in _TARGET_OPERATIONS:
            operation = _TARGET_OPERATIONS[method, name]
            return Call(operation, served=served, target=target, words=_WORDS.get(name))
        case [name] if name in _TARGET_NAMES:
            raise wrong_method(method, _TARGET_NAMES[name])
        case _:
            raise no_such_model(f"there is no path {path}")


def _only(allowed: str, method: str, call: Call) -> Call:
    if method not in (allowed, "HEAD"):
        raise wrong_method(method, allowed)
    return call


def wrong_method(method: str, *allowed: str) -> CallRefusedError:
    names = ", ".join(allowed)
    return CallRefusedError(
        405, ApiErrorCode.CLIENT_ERROR, f"{method} is not allowed here; use {names}", headers={"Allow": names}
    )

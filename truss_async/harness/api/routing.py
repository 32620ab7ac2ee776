"""Which call a host, a path and a method name: a pure function."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from .refusals import ApiErrorCode, CallRefusedError, no_such_model


class Operation(Enum):
    """What can be called."""

    PREDICT = "predict"
    ASYNC_PREDICT = "async_predict"
    QUEUE_STATUS = "async_queue_status"
    WAKE = "wake"
    STATUS = "status"
    CANCEL = "cancel"
    HEALTH = "healthz"
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


@dataclass(frozen=True, slots=True)
class Call:
    """One call, understood."""

    operation: Operation
    model_id: str | None = None
    target: Target = Target()
    request_id: str = ""
    own_path: tuple[str, ...] = ()


_MODEL_HOST = re.compile(r"^model-([A-Za-z0-9_]+)\.", re.ASCII)

_TARGET_OPERATIONS = {
    ("POST", "predict"): Operation.PREDICT,
    ("POST", "async_predict"): Operation.ASYNC_PREDICT,
    ("GET", "async_queue_status"): Operation.QUEUE_STATUS,
    ("POST", "wake"): Operation.WAKE,
}
_TARGET_NAMES = {name: method for method, name in _TARGET_OPERATIONS}
_REQUEST_OPERATIONS = {"GET": Operation.STATUS, "DELETE": Operation.CANCEL}


def find_call(method: str, host: str, path: str) -> Call:
    """Understand a call.

    A model is named by the host ``model-{id}.…`` or the path prefix ``/model/{id}``; with neither, it is the one
    that is served.

    Raises:
        CallRefusedError: there is no such path, or not with this method.
    """
    parts = path.split("/")[1:]
    model_id = None
    if found := _MODEL_HOST.match(host):
        model_id = found[1]
    if len(parts) > 2 and parts[0] == "model":
        model_id, parts = parts[1], parts[2:]
    match parts:
        case ["healthz"]:
            return _only("GET", method, Call(Operation.HEALTH))
        case ["_harness", "requests", request_id]:
            return _only("GET", method, Call(Operation.REQUEST_RECORD, request_id=request_id))
        case ["_harness", *own_path]:
            return Call(Operation.OWN, own_path=tuple(own_path))
        case ["async_request", request_id]:
            if method not in _REQUEST_OPERATIONS:
                raise wrong_method(method, *_REQUEST_OPERATIONS)
            return Call(_REQUEST_OPERATIONS[method], model_id=model_id, request_id=request_id)
        case [("production" | "development") as environment, *rest]:
            return _target_call(method, rest, model_id, Target(TargetKind.ENVIRONMENT, environment), path)
        case ["environments", environment, *rest]:
            return _target_call(method, rest, model_id, Target(TargetKind.ENVIRONMENT, environment), path)
        case ["deployment", deployment_id, *rest]:
            return _target_call(method, rest, model_id, Target(TargetKind.DEPLOYMENT, deployment_id), path)
        case _:
            return _target_call(method, parts, model_id, Target(), path)


def _target_call(method: str, parts: list[str], model_id: str | None, target: Target, path: str) -> Call:
    match parts:
        case [name] if (method, name) in _TARGET_OPERATIONS:
            return Call(_TARGET_OPERATIONS[method, name], model_id=model_id, target=target)
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

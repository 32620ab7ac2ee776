"""Which operation a method, a host and a path name: a pure function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, TypeAlias
from urllib.parse import unquote

from .calls import ANY_METHOD, REST, Operation
from .operations import ON_REQUEST, ON_TARGET, OWN, every_path
from .refusals import ApiErrorCode, CallRefusedError, no_such_model
from .targets import Kind, Named, Served, Target, named_by_host, named_by_path

if TYPE_CHECKING:
    from .calls import ApiParts, IncomingCall

    _Paths: TypeAlias = dict[str, list[tuple[list[str], dict[str, Operation]]]]


@dataclass(frozen=True, slots=True)
class Call:
    """One call, understood. ``values`` are those of the path's placeholders."""

    operation: Operation
    named: Named
    values: Mapping[str, str]


def find_call(method: str, host: str, path: str) -> Call:
    """Understand a call; the path is still percent-encoded.

    What is served is named by the host ``model-{id}.…`` or ``chain-{id}.…``, or by the path prefix ``/model/{id}`` or
    ``/chain/{id}``; with neither, it is the one that is served. The host ``model-{id}-{environment}.…`` names the
    environment too, and then the path does not.

    Raises:
        CallRefusedError: there is no such path, or not with this method.
    """
    served, target = named_by_host(host)
    if served is None and (usual := _USUAL.get((method, path))) is not None:
        return usual
    return _understand(method, path, served, target)


def _understand(method: str, path: str, served: Served | None, target: Target) -> Call:
    raw = path.split("/")[1:]
    parts = [unquote(part) for part in raw]
    if len(parts) > 2 and parts[0] in ("model", "chain"):
        served, target, parts = Served(Kind(parts[0]), parts[1]), Target(), parts[2:]
    root = parts[0] if parts else ""
    if method == "HEAD" and root in _OWN_ROOTS:
        method = "GET"
    chainlet = None
    by_method, values = _find(_ANYWHERE, parts, raw)
    if root == "_harness":
        return Call(by_method.get(method) or _refusing(method, by_method), Named(), values)
    if not by_method:
        named, chainlet, parts = named_by_path(parts)
        if Target() not in (named, target):
            raise no_such_model(
                f"the host names the environment {target.name}; there the path is /{'/'.join(parts)}, not {path}"
            )
        target = target if named == Target() else named
        by_method, values = _find(_ON_TARGET, parts, raw)
    if not by_method:
        raise no_such_model(f"there is no path {path}")
    operation = by_method.get(method) or by_method.get(ANY_METHOD)
    if operation is None:
        raise _wrong_method(method, by_method)
    return Call(operation, Named(served, target, operation.words, chainlet), values)


def _by_first_part(operations: Iterable[Operation]) -> _Paths:
    by_path: dict[str, dict[str, Operation]] = {}
    for each in operations:
        by_path.setdefault(each.path, {})[each.method] = each
    paths: _Paths = {}
    for path, by_method in by_path.items():
        _, *segments = path.split("/")
        paths.setdefault(segments[0], []).append((segments, by_method))
    return paths


_ON_TARGET, _ANYWHERE = _by_first_part(ON_TARGET), _by_first_part((*ON_REQUEST, *OWN))
_OWN_ROOTS = frozenset(_by_first_part(OWN))


def _find(paths: _Paths, parts: list[str], raw: list[str]) -> tuple[dict[str, Operation], dict[str, str]]:
    """What can be called at a path by which method, which is nothing at an unknown one; and the placeholders' values."""
    for segments, by_method in paths.get(parts[0], ()) if parts else ():
        values = _values(segments, parts, raw)
        if values is not None:
            return by_method, values
    return {}, {}


def _values(segments: list[str], parts: list[str], raw: list[str]) -> dict[str, str] | None:
    if segments[-1] == REST and len(parts) >= len(segments):
        before = len(segments) - 1
        parts = [*parts[:before], "/".join(raw[before - len(parts) :])]
    if len(segments) != len(parts):
        return None
    values = {}
    for segment, part in zip(segments, parts, strict=True):
        if segment[0] == "{":
            values[segment[1:-1]] = part
        elif segment != part:
            return None
    return values


def _refusing(method: str, allowed: Mapping[str, Operation]) -> Operation:
    """What answers for a call of the harness's own that there is not: who has no key learns of no path."""

    async def refuse(_: ApiParts, call: IncomingCall) -> NoReturn:
        if allowed:
            raise _wrong_method(method, allowed)
        raise no_such_model(f"there is no path {call.request.scope['path']}")

    return Operation(method, "", refuse, is_own=True)


def _wrong_method(method: str, allowed: Iterable[str]) -> CallRefusedError:
    names = ", ".join(allowed)
    return CallRefusedError(
        405, ApiErrorCode.CLIENT_ERROR, f"{method} is not allowed here; use {names}", headers={"Allow": names}
    )


# Understood once for all. What a caller writes is never a key of anything that is kept.
_USUAL = {
    (each.method, path): _understand(each.method, path, None, Target())
    for path, each in every_path()
    if "{" not in path and each.method != ANY_METHOD
}

"""Which texts may become part of an object key. A request id is a header that any caller may set."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from ..errors import UnsafeObjectKeyError

MAX_NAME_LENGTH: Final = 128
MAX_KEY_BYTES: Final = 900  # S3 and GCS allow 1024, the prefix included
RESERVED_ENDINGS: Final = (".json", ".error")

_ALLOWED = "letters, digits, '-', '_' and '.'"
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", re.ASCII)
_UNSAFE_RUN = re.compile(r"[^A-Za-z0-9_.-]+", re.ASCII)


def check_request_id(request_id: str) -> str:
    """Return the request id if it may become an object key; else say which rule it breaks."""
    _check_name(request_id, what="request id")
    # `x.json` would be both the result of x and the folder of the artifacts of x.json;
    # `x.error.json` both an error object of x and the result of x.error.
    if request_id.lower().endswith(RESERVED_ENDINGS):
        raise _unsafe("request id", request_id, f"it ends with one of {', '.join(RESERVED_ENDINGS)}")
    return request_id


def check_artifact_name(name: str) -> str:
    """Return the artifact name if it may become the last part of an object key; else say which rule it breaks."""
    _check_name(name, what="artifact name")
    return name


def is_artifact_name(name: str) -> bool:
    """Whether ``check_artifact_name`` accepts it."""
    try:
        check_artifact_name(name)
    except UnsafeObjectKeyError:
        return False
    return True


def safe_artifact_name(text: str, taken: set[str]) -> str:
    """Turn any text into an artifact name that differs from every one in ``taken``, in more than case.

    The new name is added to ``taken``.
    """
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    base = re.sub(r"\.{2,}", ".", _UNSAFE_RUN.sub("-", ascii_text)).rstrip(".-")
    stem, dot, extension = base.rpartition(".")
    # Of a name in another script only the extension may be left, which is no name.
    is_extension = dot and not stem.strip(".-") and not text.startswith(".")
    base = f"artifact.{extension}" if is_extension else base.lstrip(".-") or "artifact"
    taken_names = {name.lower() for name in taken}
    name = next(name for name in _numbered(base) if name.lower() not in taken_names)
    taken.add(name)
    return check_artifact_name(name)


def check_object_key(key: str) -> str:
    """Return the key if it stays below a store's prefix, on any kind of store; else say which rule it breaks."""
    if not key.isprintable() or "\\" in key:
        raise _unsafe("object key", key, "it contains a control character or a backslash")
    if len(key.encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES:
        raise _unsafe("object key", key, f"it is longer than {MAX_KEY_BYTES} bytes")
    if any(not part or part.startswith(".") for part in key.split("/")):
        raise _unsafe("object key", key, "a part of it is empty or starts with '.'")
    return key


def _check_name(name: str, *, what: str) -> None:
    if not 1 <= len(name) <= MAX_NAME_LENGTH:
        raise _unsafe(what, name, f"it must have 1 to {MAX_NAME_LENGTH} characters")
    if not _NAME.fullmatch(name):
        raise _unsafe(what, name, f"only {_ALLOWED} are allowed, and it must not start with '.'")
    if ".." in name or name.endswith("."):
        raise _unsafe(what, name, "it must not hold '..' or end with '.'")


def _numbered(base: str) -> Iterator[str]:
    """The name itself, then ``name-2.ext``, ``name-3.ext`` …, none longer than allowed."""
    stem, dot, extension = base.rpartition(".")
    if not stem or len(extension) > 16:
        stem, dot, extension = base, "", ""
    ending = dot + extension
    for number in itertools.count(1):
        tail = ending if number == 1 else f"-{number}{ending}"
        yield stem[: MAX_NAME_LENGTH - len(tail)].rstrip(".") + tail


def _unsafe(what: str, text: str, reason: str) -> UnsafeObjectKeyError:
    shown = ascii(text if len(text) <= 60 else f"{text[:60]}…")
    return UnsafeObjectKeyError(f"{what} {shown} cannot be part of an object key: {reason}")

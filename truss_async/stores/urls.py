"""From a URL to its store."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from ..errors import SettingsError
from .credentials import NO_CREDENTIALS, StoreCredentials
from .options import NO_OPTIONS, StoreOptions
from .schemes import ALIASES, EXAMPLES, SCHEMES, check_supported

if TYPE_CHECKING:
    from .protocol import ObjectStore

_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*", re.ASCII)
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", re.ASCII)


def object_store(
    url: str, *, credentials: StoreCredentials = NO_CREDENTIALS, options: StoreOptions = NO_OPTIONS
) -> ObjectStore:
    """The store at the URL.

    Raises SettingsError when the URL is wrong or such a store has not the options, MissingExtraError when a package
    is missing. Nothing is asked of the store itself yet. Stores of one kind and the same credentials share one client.
    """
    scheme, rest = _split(url)
    check_supported(options, scheme=scheme)
    authority, _, path = rest.rstrip("/").partition("/")
    if scheme == "file":
        return SCHEMES[scheme].open("", _folder(url, authority, path), credentials, options)
    user, _, host = authority.rpartition("@")
    _check_parts(url, path)
    if not host:
        raise _wrong(url, "no name after ://")
    if scheme not in SCHEMES:
        from .smart_open_store import SmartOpenStore, check_scheme

        check_scheme(scheme, known=tuple(SCHEMES))
        if "@" in path:  # perhaps the rest of a password with a slash in it
            raise _wrong(url, "a '/' in the password, or a '@' in the path, must be percent-encoded")
        return SmartOpenStore(scheme, user=user, location=f"{host}/{path}".rstrip("/"))
    if user:
        raise _wrong(url, "it must not contain credentials; use Truss secrets or the environment")
    if SCHEMES[scheme].cloud and not _BUCKET.fullmatch(host):
        raise _wrong(url, "what follows :// is not a bucket name")
    return SCHEMES[scheme].open(host, path, credentials, options)


def _split(url: str) -> tuple[str, str]:
    scheme, separator, rest = url.partition("://")
    scheme = ALIASES.get(scheme.lower(), scheme.lower())
    if not separator or not _SCHEME.fullmatch(scheme):
        raise _wrong(
            url, f"it must start with a scheme, as in {EXAMPLES}, or another one that smart_open opens"
        )
    if "?" in rest or "#" in rest:
        raise _wrong(url, "a query or fragment ('?', '#') is not allowed")
    if not rest.isprintable() or "\\" in rest or rest != rest.strip():
        raise _wrong(url, "it contains a control character, a backslash or a space at its end")
    return scheme, rest


def _folder(url: str, authority: str, path: str) -> str:
    if authority not in ("", "localhost"):
        raise _wrong(url, "a folder must be absolute, with three slashes: file:///absolute/folder")
    try:
        folder = unquote(path, errors="strict")
    except UnicodeDecodeError:
        raise _wrong(url, "its percent-encoding is not UTF-8") from None
    _check_parts(url, folder)
    if not folder or not folder.isprintable():
        raise _wrong(url, "it has no folder, or contains a control character")
    return folder


def _check_parts(url: str, path: str) -> None:
    if path and any(part in ("", ".", "..") for part in path.split("/")):
        raise _wrong(url, "a part of its path is empty, '.' or '..'")


def _wrong(url: str, reason: str) -> SettingsError:
    # What may hold a secret is not quoted: user and password, and a query.
    shown = re.sub(r"://.*@", "://", re.split(r"[?#]", url, maxsplit=1)[0])
    return SettingsError(f"{shown!a} is not the URL of an output store: {reason}")

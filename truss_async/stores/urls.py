"""From a URL to its store."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from ..errors import MissingExtraError, SettingsError
from .credentials import NO_CREDENTIALS, StoreCredentials
from .file_store import FileStore
from .memory_store import MemoryStore
from .options import NO_OPTIONS, StoreOptions

if TYPE_CHECKING:
    from .protocol import ObjectStore

__all__ = ["NO_CREDENTIALS", "StoreCredentials", "object_store"]

_KNOWN: Final = ("s3", "gs", "azure", "file", "memory")
_ALIASES: Final = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "az": "azure"}
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
    options.check_held_by(scheme)
    authority, _, path = rest.rstrip("/").partition("/")
    if scheme == "file":
        return FileStore(_folder(url, authority, path))
    user, _, host = authority.rpartition("@")
    _check_parts(url, path)
    if not host:
        raise _wrong(url, "there is no name after ://")
    if scheme not in _KNOWN:
        from .smart_open_store import SmartOpenStore, check_scheme

        check_scheme(scheme, known=_KNOWN)
        if "@" in path:  # perhaps the rest of a password with a slash in it
            raise _wrong(url, "a '/' in the password, or a '@' in the path, must be percent-encoded")
        return SmartOpenStore(scheme, user=user, place=f"{host}/{path}".rstrip("/"))
    if user:
        raise _wrong(url, "credentials do not belong in it; use Truss secrets or the environment")
    if scheme == "memory":
        return MemoryStore(host, prefix=path)
    if not _BUCKET.fullmatch(host):
        raise _wrong(url, "what follows :// is no bucket name")
    return _IN_CLOUDS[scheme](host, path, credentials, options)


def _s3_store(bucket: str, prefix: str, credentials: StoreCredentials, options: StoreOptions) -> ObjectStore:
    try:
        from .s3_store import S3_CLIENTS, S3Store
    except ModuleNotFoundError as error:
        raise MissingExtraError("boto3", extra="s3", purpose="an output store on s3://") from error
    return S3Store(bucket, prefix=prefix, client=S3_CLIENTS.get(credentials), options=options)


def _gcs_store(bucket: str, prefix: str, credentials: StoreCredentials, options: StoreOptions) -> ObjectStore:
    try:
        from .gcs_store import GCS_CLIENTS, GcsStore
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "google-cloud-storage", extra="gcs", purpose="an output store on gs://"
        ) from error
    return GcsStore(bucket, prefix=prefix, client=GCS_CLIENTS.get(credentials), options=options)


def _azure_store(
    container: str, prefix: str, credentials: StoreCredentials, options: StoreOptions
) -> ObjectStore:
    try:
        from .azure_store import AZURE_CLIENTS, AzureStore
    except ModuleNotFoundError as error:
        purpose = "an output store on azure://"
        raise MissingExtraError("azure-storage-blob", extra="azure", purpose=purpose) from error
    return AzureStore(container, prefix=prefix, client=AZURE_CLIENTS.get(credentials), options=options)


_IN_CLOUDS: Final = {"s3": _s3_store, "gs": _gcs_store, "azure": _azure_store}


def _split(url: str) -> tuple[str, str]:
    scheme, separator, rest = url.partition("://")
    scheme = _ALIASES.get(scheme.lower(), scheme.lower())
    if not separator or not _SCHEME.fullmatch(scheme):
        raise _wrong(
            url, "it must start with s3://, gs://, azure://, file:/// or another scheme of smart_open"
        )
    if "?" in rest or "#" in rest:
        raise _wrong(url, "a query or fragment ('?', '#') is not allowed")
    if not rest.isprintable() or "\\" in rest or rest != rest.strip():
        raise _wrong(url, "it holds a control character, a backslash or a space at its end")
    return scheme, rest


def _folder(url: str, authority: str, path: str) -> Path:
    if authority not in ("", "localhost"):
        raise _wrong(url, "a folder must be absolute, with three slashes: file:///absolute/folder")
    try:
        folder = unquote(path, errors="strict")
    except UnicodeDecodeError:
        raise _wrong(url, "its percent-encoding is not UTF-8") from None
    _check_parts(url, folder)
    if not folder or not folder.isprintable():
        raise _wrong(url, "it names no folder, or holds a control character")
    return Path("/") / folder


def _check_parts(url: str, path: str) -> None:
    if path and any(part in ("", ".", "..") for part in path.split("/")):
        raise _wrong(url, "a part of its path is empty, '.' or '..'")


def _wrong(url: str, reason: str) -> SettingsError:
    # What may hold a secret is not quoted: user and password, and a query.
    shown = re.sub(r"://.*@", "://", re.split(r"[?#]", url, maxsplit=1)[0])
    return SettingsError(f"{shown!a} is no URL of an output store: {reason}")

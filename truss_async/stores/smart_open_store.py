"""Every other URL that smart_open opens. Imported only when it is used.

Such a store writes and reads; it cannot describe, list or delete objects, and keeps no content type or metadata.
Whether a write is all or nothing is up to the protocol; the body is complete before its first byte goes. Of two that
write at once, none can know that it was first.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, BinaryIO, Final, NoReturn
from urllib.parse import unquote

import smart_open
from smart_open import transport

from ..errors import (
    ObjectExistsError,
    ObjectNotFoundError,
    OutputStoreError,
    SettingsError,
)
from .bodies import opened_body
from .keys import check_object_key
from .passing import passes
from .presigning import cannot_presign
from .protocol import NO_METADATA, ObjectInfo
from .readers import remote_file

if TYPE_CHECKING:
    from .protocol import Body


_EXTRAS: Final = {"sftp": "ssh", "scp": "ssh", "gs": "gcs"}


def check_scheme(scheme: str, *, known: tuple[str, ...]) -> None:
    """Raise SettingsError when smart_open does not open such URLs; ``known`` are the schemes that need no smart_open."""
    try:
        transport.get_transport(scheme)
    except ImportError:
        extra = _EXTRAS.get(scheme, scheme)
        raise SettingsError(f"{scheme}:// needs pip install 'smart_open[{extra}]'") from None
    except NotImplementedError:
        schemes = sorted({*known, *filter(None, transport.SUPPORTED_SCHEMES)})
        raise SettingsError(
            f"{scheme}:// is not a supported output store; supported are {', '.join(f'{each}://' for each in schemes)}"
        ) from None
    if scheme in ("ftp", "ftps") and int(smart_open.__version__.split(".")[0]) < 9:
        # Before, an upload counted as done that the server had not taken yet.
        raise SettingsError(
            f"{scheme}:// needs pip install 'smart-open>=9'; {smart_open.__version__} is installed"
        )


class SmartOpenStore:
    """Objects below one URL."""

    has_conditional_puts: Final = False

    def __init__(self, scheme: str, *, user: str, location: str) -> None:
        """``user`` is what stands before the ``@`` of the URL, or empty; ``location`` the rest, with no trailing slash."""
        self._scheme = scheme
        self._url = f"{scheme}://{location}"
        self._opened_url = f"{scheme}://{user}@{location}" if user else self._url
        self._password = user.partition(":")[2]

    @property
    def url(self) -> str:
        return self._url

    def put(
        self,
        key: str,
        body: Body,
        *,
        content_type: str,
        content_encoding: str | None = None,
        metadata: Mapping[str, str] = NO_METADATA,
        only_if_absent: bool = False,
    ) -> None:
        target_url = self._object_url(key)
        if only_if_absent and self._is_there(key):
            raise ObjectExistsError(f"there is an object {self._url}/{key} already")
        with (
            opened_body(body) as (source, _),
            self._translated("write", key),
            # A key that ends in .gz does not mean: compress. And without `with`, garbage collection would commit.
            smart_open.open(target_url, "wb", compression="disable") as target,
        ):
            shutil.copyfileobj(source, target)

    def open(self, key: str) -> BinaryIO:
        source_url = self._object_url(key)
        with self._translated("read", key):
            source = smart_open.open(source_url, "rb", compression="disable")
        return remote_file(source, lambda: self._translated("read", key))

    def head(self, key: str) -> ObjectInfo:
        self._cannot("describe", check_object_key(key))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        self._cannot("list", prefix)

    def delete(self, key: str) -> None:
        self._cannot("delete", check_object_key(key))

    def presign(self, key: str, *, expires_in: timedelta) -> str:
        cannot_presign(f"{self._url}/{check_object_key(key)}")

    def _is_there(self, key: str) -> bool:
        try:
            self.open(key).close()
        except ObjectNotFoundError:
            return False
        return True

    def _object_url(self, key: str) -> str:
        return f"{self._opened_url}/{check_object_key(key)}"

    def _cannot(self, action: str, key: str) -> NoReturn:
        raise OutputStoreError(
            f"cannot {action} {self._url}/{key}: a store on {self._scheme}:// only supports writing and reading"
        )

    @contextmanager
    def _translated(self, action: str, key: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each protocol has errors of its own, with no common base
            url = f"{self._url}/{key}"
            if action == "read" and _says_absent(error):
                raise ObjectNotFoundError(f"there is no object {url}") from error
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
            for secret in filter(None, (self._password, unquote(self._password))):
                reason = reason.replace(secret, "***")
            is_passing = passes(_status(error)) and not isinstance(error, PermissionError)
            raise OutputStoreError(f"cannot {action} {url}: {reason}", passes=is_passing) from error


def _says_absent(error: Exception) -> bool:
    return isinstance(error, FileNotFoundError) or _status(error) == 404


def _status(error: Exception) -> int | None:
    """What an HTTP server answered, if it was one."""
    for answer in (error, getattr(error, "response", None)):
        if isinstance(status := getattr(answer, "status_code", None), int):
            return status
    return None

"""URLs that let anybody who has them read one object for a while."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, NoReturn

from ..errors import OutputStoreError, SettingsError
from .schemes import SCHEMES

DEFAULT_EXPIRY: Final = timedelta(hours=1)
LONGEST_EXPIRY: Final = timedelta(days=7)  # what S3 and GCS allow


def expiry_seconds(expires_in: timedelta) -> int:
    """The lifetime of a presigned URL in whole seconds; SettingsError when no store grants it."""
    if not timedelta(seconds=1) <= expires_in <= LONGEST_EXPIRY:
        raise SettingsError(
            f"a presigned URL is valid for 1 second to 7 days, not for {expires_in.total_seconds():g} s"
        )
    return int(expires_in.total_seconds())


def cannot_presign(url: str) -> NoReturn:
    """Say that the store of the object at the URL makes no presigned URLs."""
    able = ", ".join(f"{row.name}://" for row in SCHEMES.values() if row.presigns)
    raise OutputStoreError(f"cannot presign {url}: only stores on {able} make such URLs; read it with open")

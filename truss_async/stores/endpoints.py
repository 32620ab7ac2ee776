"""Where a cloud's API is. It names no bucket: the store's URL does, and both would be one within the other."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from ..errors import SettingsError

_WITHOUT_A_BUCKET: Final = re.compile(
    r"(s3|oss|cos|obs)[.-].+"
    r"|storage\.googleapis\.com"
    r"|[a-z0-9-]+\.(digitaloceanspaces|linodeobjects|vultrobjects)\.com"
    r"|[0-9a-f]{32}\.([a-z]+\.)?r2\.cloudflarestorage\.com"
)


def check_endpoint(endpoint: str, *, bucket: str, prefix: str, what: str, has_account: bool = False) -> None:
    """SettingsError, with what to write instead, when the endpoint names the bucket, too, in its path or its host.

    ``has_account``: the first part of a path is the name of an account.
    """
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    place = parts.netloc.rpartition("@")[2]
    path = [each for each in parts.path.split("/") if each]
    kept = 1 if has_account else 0
    is_named = False
    for named in ([bucket], [bucket, *filter(None, prefix.split("/"))]):
        before = len(path) - len(named)
        if before >= kept and path[before:] == named:
            path, is_named = path[:before], True
    if host.startswith(f"{bucket.lower()}.") and _WITHOUT_A_BUCKET.fullmatch(host[len(bucket) + 1 :]):
        place, is_named = place[len(bucket) + 1 :], True
    if is_named:
        instead = "/".join([f"{parts.scheme}://{place}", *path])
        raise SettingsError(
            f"{what} includes the bucket {bucket!a}, which the output store URL has, too; use {instead} instead"
        )

"""How a store is to keep the objects that it writes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Final

from ..errors import SettingsError

MAX_TAGS: Final = 10
MAX_TAG_NAME_LENGTH: Final = 128
MAX_TAG_VALUE_LENGTH: Final = 256

_STORAGE_CLASS: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)


def _no_entries() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True)
class StoreOptions:
    """For every object that is written to a store in a cloud; what is left out is up to the bucket.

    ``storage_class`` is the cloud's name of it, such as NEARLINE. ``kms_key_id`` names the key that the objects are
    encrypted with. ``tags`` are the objects' tags; on S3 they need the right s3:PutObjectTagging. ``headers`` are sent
    with each object, such as Cache-Control, and come back when it is read.
    """

    storage_class: str | None = None
    kms_key_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=_no_entries)
    headers: Mapping[str, str] = field(default_factory=_no_entries)

    def __post_init__(self) -> None:
        if self.storage_class is not None and not _STORAGE_CLASS.fullmatch(self.storage_class):
            raise SettingsError(
                f"storage_class {self.storage_class!a} is not valid: it is a word such as STANDARD_IA (S3), "
                "NEARLINE (GCS), Cool (Azure)"
            )
        if self.kms_key_id is not None and not (self.kms_key_id.isascii() and self.kms_key_id.isprintable()):
            raise SettingsError("kms_key_id is not an id, ARN or alias of a KMS key")
        if self.kms_key_id == "":
            raise SettingsError("kms_key_id is empty; leave it out to use the bucket's own encryption")
        _check_tags(self.tags)
        _check_headers(self.headers)

    def given(self) -> list[str]:
        """The names of the options that ask for anything."""
        return [each.name for each in fields(self) if getattr(self, each.name)]

    def headers_as(self, names: Mapping[str, str]) -> dict[str, Any]:
        """The headers by the names that a store's library has for them."""
        return {names[name.lower()]: value for name, value in self.headers.items()}


def _check_tags(tags: Mapping[str, str]) -> None:
    if len(tags) > MAX_TAGS:
        raise SettingsError(f"tags has {len(tags)} entries; {MAX_TAGS} are allowed")
    for name, value in tags.items():
        if not 1 <= len(name) <= MAX_TAG_NAME_LENGTH or len(value) > MAX_TAG_VALUE_LENGTH:
            raise SettingsError(
                f"the tag {name[:40]!a} is too long or has no name; {MAX_TAG_NAME_LENGTH} characters are allowed, "
                f"and {MAX_TAG_VALUE_LENGTH} for its value"
            )


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable()):
            raise SettingsError(f"the header {name[:40]!a} must have a value of printable ASCII characters")


NO_OPTIONS: Final = StoreOptions()

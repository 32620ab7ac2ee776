"""How a store is to keep the objects that it writes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from ..errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_TAGS: Final = 10
MAX_TAG_NAME_LENGTH: Final = 128
MAX_TAG_VALUE_LENGTH: Final = 256

_STORAGE_CLASS: Final = re.compile(r"[A-Z][A-Z0-9_]*", re.ASCII)


@dataclass(frozen=True)
class StoreOptions:
    """For every object that is written to a store on s3://; what is left out is up to the bucket.

    ``storage_class`` is S3's name of it, such as STANDARD_IA. ``kms_key_id`` is the id, ARN or alias of the key that
    the objects are encrypted with. ``tags`` are the objects' tags; they need the right s3:PutObjectTagging.
    """

    storage_class: str | None = None
    kms_key_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if self.storage_class is not None and not _STORAGE_CLASS.fullmatch(self.storage_class):
            raise SettingsError(
                f"storage_class {self.storage_class!a} is none of S3's, such as STANDARD_IA or INTELLIGENT_TIERING"
            )
        if self.kms_key_id is not None and not (self.kms_key_id.isascii() and self.kms_key_id.isprintable()):
            raise SettingsError("kms_key_id is no id, ARN or alias of a KMS key")
        if self.kms_key_id == "":
            raise SettingsError("kms_key_id is empty; leave it out to use the bucket's own encryption")
        if len(self.tags) > MAX_TAGS:
            raise SettingsError(f"tags has {len(self.tags)} entries; S3 allows {MAX_TAGS}")
        for name, value in self.tags.items():
            if not 1 <= len(name) <= MAX_TAG_NAME_LENGTH or len(value) > MAX_TAG_VALUE_LENGTH:
                raise SettingsError(
                    f"the tag {name[:40]!a} is too long or has no name; S3 allows {MAX_TAG_NAME_LENGTH} characters, "
                    f"and {MAX_TAG_VALUE_LENGTH} for its value"
                )

    def given(self) -> list[str]:
        """The names of the options that ask for anything."""
        return [each.name for each in fields(self) if getattr(self, each.name)]

    def s3_arguments(self) -> dict[str, str]:
        """The same as arguments of S3's PutObject."""
        arguments = {}
        if self.storage_class is not None:
            arguments["StorageClass"] = self.storage_class
        if self.kms_key_id is not None:
            arguments |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.kms_key_id}
        if self.tags:
            arguments["Tagging"] = urlencode(self.tags)
        return arguments


NO_OPTIONS: Final = StoreOptions()

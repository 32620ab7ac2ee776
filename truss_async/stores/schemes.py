"""The kinds of store: a row for each scheme says all that the rest of the package has to know of it.

A new kind is a module and a row here; if it signs in with Truss secrets, these are fields of ``StoreCredentials``.
What else smart_open opens needs no row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Final

from ..errors import MissingExtraError, SettingsError
from .renewal import RenewingStore

if TYPE_CHECKING:
    from .credentials import StoreCredentials
    from .options import StoreOptions
    from .protocol import ObjectStore


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """What stands before ``://``, and what a store on such a URL is.

    ``opener`` is a module, imported only when it is used, and what in it is called with host, path, credentials and
    options. A store in a ``cloud`` has a bucket for a host, and needs a ``library``, which the ``extra`` installs.
    ``options`` are those that it can be asked for; ``headers`` have their names in the library.
    """

    name: str
    opener: str
    example: str
    aliases: tuple[str, ...] = ()
    cloud: str = ""
    library: str = ""
    extra: str = ""
    secrets: tuple[str, ...] = ()
    endpoint_variables: tuple[str, ...] = ()
    presigns: bool = False
    options: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def open(self, host: str, path: str, credentials: StoreCredentials, options: StoreOptions) -> ObjectStore:
        """The store there; MissingExtraError when its library is not installed."""
        module, _, name = self.opener.partition(".")
        try:
            opener = getattr(import_module(f".{module}", __package__), name)
        except ModuleNotFoundError as error:
            purpose = f"an output store on {self.name}://"
            raise MissingExtraError(self.library, extra=self.extra, purpose=purpose) from error
        if self.cloud:
            return RenewingStore(lambda: opener(host, path, credentials, options))
        opened: ObjectStore = opener(host, path, credentials, options)
        return opened


_HEADERS: Final = {
    "cache-control": "cache_control",
    "content-disposition": "content_disposition",
    "content-language": "content_language",
}

S3: Final = Scheme(
    name="s3",
    opener="s3_store.S3Store",
    example="s3://BUCKET/PREFIX",
    aliases=("s3a", "s3n"),
    cloud="S3",
    library="boto3",
    extra="s3",
    secrets=(
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_session_token",
        "aws_region",
        "aws_endpoint_url",
    ),
    endpoint_variables=("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"),
    presigns=True,
    options=("storage_class", "kms_key_id", "tags", "headers"),
    headers={
        "cache-control": "CacheControl",
        "content-disposition": "ContentDisposition",
        "content-language": "ContentLanguage",
        "x-amz-acl": "ACL",
        "x-amz-expected-bucket-owner": "ExpectedBucketOwner",
        "x-amz-object-lock-legal-hold": "ObjectLockLegalHoldStatus",
        "x-amz-server-side-encryption": "ServerSideEncryption",
        "x-amz-server-side-encryption-context": "SSEKMSEncryptionContext",
        "x-amz-website-redirect-location": "WebsiteRedirectLocation",
    },
)
GCS: Final = Scheme(
    name="gs",
    opener="gcs_store.GcsStore",
    example="gs://BUCKET/PREFIX",
    aliases=("gcs",),
    cloud="GCS",
    library="google-cloud-storage",
    extra="gcs",
    secrets=("gcp_service_account_json",),
    endpoint_variables=("STORAGE_EMULATOR_HOST",),
    presigns=True,
    options=("storage_class", "kms_key_id", "headers"),
    headers=_HEADERS,
)
AZURE: Final = Scheme(
    name="azure",
    opener="azure_store.AzureStore",
    example="azure://CONTAINER/PREFIX",
    aliases=("az",),
    cloud="Azure",
    library="azure-storage-blob",
    extra="azure",
    secrets=("azure_storage_connection_string", "azure_storage_account"),
    presigns=True,
    options=("storage_class", "tags", "headers"),
    headers=_HEADERS,
)
FILE: Final = Scheme(name="file", opener="file_store.open_store", example="file:///FOLDER")
MEMORY: Final = Scheme(name="memory", opener="memory_store.open_store", example="memory://NAME")

SCHEMES: Final = {row.name: row for row in (S3, GCS, AZURE, FILE, MEMORY)}
ALIASES: Final = {alias: row.name for row in SCHEMES.values() for alias in row.aliases}
LIBRARIES: Final = {
    name: (row.library, row.extra)
    for row in SCHEMES.values()
    if row.cloud
    for name in (row.name, *row.aliases)
}
"""The library that a store needs, and the extra that installs it, by every name of its scheme."""
EXAMPLES: Final = ", ".join(row.example for row in SCHEMES.values())


def check_supported(options: StoreOptions, *, scheme: str) -> None:
    """SettingsError when a store on such a URL cannot be asked for all that the options give."""
    row = SCHEMES.get(scheme)
    supported = row.options if row else ()
    if refused := [name for name in options.given() if name not in supported]:
        able = ", ".join(f"{each.name}://" for each in SCHEMES.values() if {*refused} <= {*each.options})
        raise SettingsError(
            f"{', '.join(refused)}: a store on {scheme}:// does not support that, only {able}"
        )
    known = row.headers if row else ()
    if unknown := [name for name in options.headers if name.lower() not in known]:
        raise SettingsError(
            f"headers: {scheme}:// takes no {', '.join(unknown)}; it takes {', '.join(known)}"
        )

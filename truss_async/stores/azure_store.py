"""``azure://container/prefix``: Azure Blob Storage. Imported only when it is used.

The URLs are smart_open's; the work is done by Azure's own library, for smart_open makes two requests of a small write,
sends the parts of a large one after each other, and neither describes, lists nor deletes.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast
from urllib.parse import urlsplit

import requests
from azure.core import MatchConditions
from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import (
    BlobBlock,
    BlobClient,
    BlobProperties,
    BlobSasPermissions,
    BlobServiceClient,
    ContentSettings,
    LinearRetry,
    StandardBlobTier,
    generate_blob_sas,
)

from ..clock import SYSTEM_CLOCK
from ..errors import MissingExtraError, OutputStoreError, SettingsError
from ..pasted import as_meant, check_variables
from .azure_errors import NO_ACCOUNT, azure_failure, is_absent, is_answer_that_passes, is_conflict
from .bodies import DigestedFile, opened_body
from .clients import ClientCache
from .endpoints import check_endpoint
from .idempotency import is_own_write, with_attempt_id
from .keys import check_object_key
from .presigning import expiry_seconds
from .protocol import NO_METADATA, ObjectInfo
from .readers import VerifiedBytes, remote_file
from .schemes import AZURE
from .transfers import SINGLE_PUT_BYTES, part_size, upload_in_parts, whole_body

if TYPE_CHECKING:
    from .credentials import StoreCredentials
    from .options import StoreOptions
    from .protocol import Body
    from .readers import RemoteBytes

_CONNECTIONS: Final = 64
_VERIFIED: Final[dict[str, Any]] = {"validate_content": "md5"}
_CLOUD: Final = (".core.windows.net", ".core.usgovcloudapi.net", ".core.chinacloudapi.cn")


def make_azure_client(credentials: StoreCredentials) -> BlobServiceClient:
    """A client that is safe to share between threads."""
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=_CONNECTIONS))
    made_with: dict[str, Any] = {
        "transport": RequestsTransport(session=session, session_owner=False),
        "retry_policy": LinearRetry(backoff=1, retry_total=1, random_jitter_range=1),
        "connection_timeout": 5,
        "read_timeout": 20,
    }
    connection_string, account = _account(credentials)
    if connection_string:
        try:
            return BlobServiceClient.from_connection_string(connection_string, **made_with)
        except ValueError:
            # Not chained: nothing of it is to be quoted.
            raise SettingsError(
                "azure_storage_connection_string is not the connection string of an Azure storage account; copy it whole"
            ) from None
    url = account if "://" in account else f"https://{account}.blob.core.windows.net"
    return BlobServiceClient(url, credential=_own_chain(), **made_with)


AZURE_CLIENTS: Final = ClientCache(make_azure_client, environment=("AZURE_", "IDENTITY_", "MSI_"))


class AzureStore:
    """The blobs of one container below a prefix."""

    has_conditional_puts: Final = True

    def __init__(
        self, container: str, prefix: str, credentials: StoreCredentials, options: StoreOptions
    ) -> None:
        self._client = AZURE_CLIENTS.get(credentials)
        account, what = self._client.url, "the URL of the Azure storage account"
        # In the cloud the host names the account, and newer versions of the library leave out the path.
        in_path = not (urlsplit(account).hostname or "").endswith(_CLOUD)
        check_endpoint(account, bucket=container, prefix=prefix, what=what, has_account=in_path)
        self._container = self._client.get_container_client(container)
        self._root = f"{prefix}/" if prefix else ""
        self._url = f"azure://{container}/{prefix}".rstrip("/")
        self._options = options
        self._tier = _tier(options.storage_class)

    @property
    def url(self) -> str:
        return self._url

    def forget_client(self) -> None:
        AZURE_CLIENTS.forget(self._client)

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
        blob = self._blob(key)
        metadata = with_attempt_id(metadata) if only_if_absent else metadata
        settings = ContentSettings(
            content_type=content_type,
            content_encoding=content_encoding,
            **self._options.headers_as(AZURE.headers),
        )
        described: dict[str, Any] = {
            "content_settings": settings,
            "standard_blob_tier": self._tier,
            "tags": dict(self._options.tags) or None,
            "metadata": {_azure_name(name): value for name, value in metadata.items()},
        }
        with opened_body(body) as (file, size), self._translated("write", key):
            try:
                if size <= SINGLE_PUT_BYTES:
                    with whole_body(body, file, size) as content:
                        settings.content_md5 = bytearray(_md5(content).digest())
                        blob.upload_blob(
                            content, length=size, overwrite=not only_if_absent, **_VERIFIED, **described
                        )
                else:
                    condition = {"match_condition": MatchConditions.IfMissing} if only_if_absent else {}
                    _put_in_parts(blob, file, size, {**described, **condition})
            except HttpResponseError as error:
                # If the answer to our own success was lost, the client has asked again.
                if not (is_conflict(error) and is_own_write(self, key, metadata)):
                    raise

    def open(self, key: str) -> BinaryIO:
        blob = self._blob(key)
        with self._translated("read", key):
            # All parts are of the same blob, or are missing: the library names its ETag.
            download = blob.download_blob(decompress=False)
        content: RemoteBytes = _Download(download)
        if md5 := download.properties.content_settings.content_md5:
            content = VerifiedBytes(content, _md5(), expected=bytes(md5), url=f"{self._url}/{key}")
        return remote_file(content, lambda: self._translated("read", key))

    def head(self, key: str) -> ObjectInfo:
        blob = self._blob(key)
        with self._translated("read", key):
            properties = blob.get_blob_properties()
        return _info(key, properties)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        with self._translated("list", prefix):
            for properties in self._container.list_blobs(name_starts_with=self._root + prefix):
                yield _info(properties.name[len(self._root) :], properties)

    def delete(self, key: str) -> None:
        blob = self._blob(key)
        with self._translated("delete", key):
            try:
                blob.delete_blob(delete_snapshots="include")
            except ResourceNotFoundError as error:
                if not is_absent(error):
                    raise

    def presign(self, key: str, *, expires_in: timedelta) -> str:
        blob = self._blob(key)
        seconds = expiry_seconds(expires_in)
        account_key = getattr(self._client.credential, "account_key", None)
        if account_key is None:
            raise OutputStoreError(
                f"cannot presign {self._url}/{key}: only an account key can sign, and the credentials hold none; "
                "declare the Truss secret azure_storage_connection_string"
            )
        with self._translated("presign", key):
            signature = generate_blob_sas(
                str(self._client.account_name),
                blob.container_name,
                blob.blob_name,
                account_key=account_key,
                permission=BlobSasPermissions(read=True),
                expiry=SYSTEM_CLOCK.now() + timedelta(seconds=seconds),
            )
        return f"{blob.url}?{signature}"

    def _blob(self, key: str) -> BlobClient:
        return self._container.get_blob_client(self._root + check_object_key(key))

    @contextmanager
    def _translated(self, action: str, key: str) -> Iterator[None]:
        try:
            yield
        except AzureError as error:
            raise azure_failure(error, action=action, url=f"{self._url}/{key}") from error


def _md5(content: bytes = b"") -> hashlib._Hash:
    return hashlib.md5(content, usedforsecurity=False)


class _Download:
    """What the library gives to read from, with a ``close``."""

    def __init__(self, download: Any) -> None:
        self._download = download

    def read(self, size: int, /) -> bytes:
        return cast("bytes", self._download.read(size))

    def close(self) -> None:
        self._download = None


def _put_in_parts(blob: BlobClient, file: BinaryIO, size: int, described: Mapping[str, Any]) -> None:
    # Blocks that are not committed yet are the blob's, whoever sent them: ours have names of their own.
    upload_name = uuid.uuid4().hex

    def upload(number: int, content: bytes) -> BlobBlock:
        block_id = f"{upload_name}-{number:05}"
        blob.stage_block(block_id, content, length=len(content), **_VERIFIED)
        return BlobBlock(block_id)

    source = DigestedFile(file, _md5())
    blocks = upload_in_parts(
        source, part_bytes=part_size(size), upload=upload, is_worth_another=is_answer_that_passes
    )
    described["content_settings"].content_md5 = bytearray(source.digest.digest())
    blob.commit_block_list(blocks, **_VERIFIED, **described)


def _account(credentials: StoreCredentials) -> tuple[str | None, str]:
    """A connection string, or else the name or URL of the account: from the secrets, or else the environment."""
    given = credentials.azure_storage_connection_string, credentials.azure_storage_account
    if not any(given):
        given = _variable("AZURE_STORAGE_CONNECTION_STRING"), _variable("AZURE_STORAGE_ACCOUNT")
    connection_string, account = given
    if not connection_string and not account:
        raise SettingsError(f"no Azure storage account is set; {NO_ACCOUNT}")
    return connection_string, account or ""


def _variable(name: str) -> str:
    return as_meant(os.environ.get(name, ""), what=name)


def _tier(storage_class: str | None) -> StandardBlobTier | None:
    try:
        return StandardBlobTier(storage_class) if storage_class is not None else None
    except ValueError:
        known = ", ".join(each.value for each in StandardBlobTier)
        raise SettingsError(
            f"storage_class {storage_class!a} is not a tier of Azure; known are {known}"
        ) from None


def _own_chain() -> Any:
    try:
        from azure.identity import DefaultAzureCredential
    except ModuleNotFoundError as error:
        purpose = "azure:// without a connection string"
        raise MissingExtraError("azure-identity", extra="azure", purpose=purpose) from error
    check_variables(["AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID"])
    return DefaultAzureCredential()


def _info(key: str, properties: BlobProperties) -> ObjectInfo:
    return ObjectInfo(
        key,
        size_bytes=properties.size,
        content_type=properties.content_settings.content_type,
        metadata={_our_name(name): value for name, value in (properties.metadata or {}).items()},
        modified_at=properties.last_modified,
        content_encoding=properties.content_settings.content_encoding or None,
    )


def _azure_name(name: str) -> str:
    """Azure takes no hyphen in the name of metadata."""
    return name.replace("-", "_")


def _our_name(name: str) -> str:
    return name.replace("_", "-")

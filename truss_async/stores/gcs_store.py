"""``gs://bucket/prefix``: Google Cloud Storage. Imported only when it is used."""

from __future__ import annotations

import io
import json
import os
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from google.api_core.exceptions import NotFound, PreconditionFailed
from google.auth.credentials import Signing
from google.auth.exceptions import GoogleAuthError
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY
from google_crc32c import Checksum
from requests.adapters import HTTPAdapter

from ..errors import ObjectNotFoundError, OutputStoreError, SettingsError, StoreCredentialsError
from ..pasted import check_variables
from .bodies import opened_body
from .clients import ClientCache
from .endpoints import check_endpoint
from .gcs_errors import CREDENTIALS_REMEDY, FAILURES, gcs_failure
from .idempotency import is_own_write, with_attempt_id
from .keys import check_object_key
from .presigning import expiry_seconds
from .protocol import NO_METADATA, ObjectInfo
from .readers import VerifiedBytes, remote_file
from .schemes import GCS
from .transfers import one_of_few_uploads

if TYPE_CHECKING:
    from .credentials import StoreCredentials
    from .options import StoreOptions
    from .protocol import Body

_CONNECTIONS: Final = 64
_PART_BYTES: Final = 8 * 1024 * 1024
_CALL: Final[dict[str, Any]] = {"retry": DEFAULT_RETRY.with_timeout(30), "timeout": (5, 20)}


def make_gcs_client(credentials: StoreCredentials) -> storage.Client:
    """A client that is safe to share between threads; STORAGE_EMULATOR_HOST is honoured."""
    given = credentials.gcp_service_account_json
    if not given:
        check_variables(["GOOGLE_APPLICATION_CREDENTIALS"])
    try:
        client = _signed_in_client(given) if given else storage.Client(project=None)
    except GoogleAuthError as error:
        kind = type(error).__name__
        raise StoreCredentialsError(
            f"no Google credentials were found ({kind}); {CREDENTIALS_REMEDY}"
        ) from error
    session = client._http
    for scheme in ("http://", "https://"):
        # One with a client's certificate is left as it is.
        if type(session.get_adapter(scheme)) is HTTPAdapter:
            session.mount(scheme, HTTPAdapter(pool_maxsize=_CONNECTIONS))
    return client


GCS_CLIENTS: Final = ClientCache(
    make_gcs_client, environment=("GOOGLE_", "STORAGE_EMULATOR_", "GCE_METADATA_")
)


class GcsStore:
    """The objects of one bucket below a prefix."""

    has_conditional_puts: Final = True

    def __init__(
        self, bucket: str, prefix: str, credentials: StoreCredentials, options: StoreOptions
    ) -> None:
        self._client = GCS_CLIENTS.get(credentials)
        server = os.environ.get("STORAGE_EMULATOR_HOST", "")
        check_endpoint(server, bucket=bucket, prefix=prefix, what="STORAGE_EMULATOR_HOST")
        self._bucket = self._client.bucket(bucket)
        self._root = f"{prefix}/" if prefix else ""
        self._url = f"gs://{bucket}/{prefix}".rstrip("/")
        self._options = options

    @property
    def url(self) -> str:
        return self._url

    def forget_client(self) -> None:
        GCS_CLIENTS.forget(self._client)

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
        kms_key = self._options.kms_key_id
        blob = self._bucket.blob(self._path(key), chunk_size=_PART_BYTES, kms_key_name=kms_key)
        if self._options.storage_class is not None:
            blob.storage_class = self._options.storage_class
        for name, value in self._options.headers_as(GCS.headers).items():
            setattr(blob, name, value)
        blob.metadata = with_attempt_id(metadata) if only_if_absent else dict(metadata)
        blob.content_encoding = content_encoding
        condition = {"if_generation_match": 0} if only_if_absent else {}
        with opened_body(body) as (file, size), self._translated("write", key):
            try:
                with one_of_few_uploads() if size > _PART_BYTES else nullcontext():
                    blob.upload_from_file(file, size=size, content_type=content_type, **condition, **_CALL)
            except PreconditionFailed:
                # If the answer to our own success was lost, the client has asked again.
                if not is_own_write(self, key, blob.metadata):
                    raise

    def open(self, key: str) -> BinaryIO:
        blob = self._get(key)
        if blob.size <= _PART_BYTES:
            # One request, checked by its checksum; it does no harm if the object is replaced meanwhile.
            with self._translated("read", key):
                return io.BytesIO(self._bucket.blob(blob.name).download_as_bytes(raw_download=True, **_CALL))
        # With the generation named, all parts are of the same object, or are missing.
        generation = self._bucket.blob(blob.name, generation=blob.generation)
        reader = generation.open("rb", chunk_size=_PART_BYTES, raw_download=True, **_CALL)
        if blob.crc32c:
            expected = b64decode(blob.crc32c)
            reader = VerifiedBytes(reader, _crc32c(), expected=expected, url=f"{self._url}/{key}")
        return remote_file(reader, lambda: self._translated("read the rest of", key))

    def head(self, key: str) -> ObjectInfo:
        return _info(key, self._get(key))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        with self._translated("list", prefix):
            for blob in self._client.list_blobs(self._bucket, prefix=self._root + prefix, **_CALL):
                yield _info(blob.name[len(self._root) :], blob)

    def delete(self, key: str) -> None:
        blob = self._bucket.blob(self._path(key))
        with self._translated("delete", key):
            try:
                blob.delete(**_CALL)
            except NotFound:
                return

    def presign(self, key: str, *, expires_in: timedelta) -> str:
        blob = self._bucket.blob(self._path(key))
        lifetime = timedelta(seconds=expiry_seconds(expires_in))
        if not isinstance(self._client._credentials, Signing):
            raise OutputStoreError(
                f"cannot presign {self._url}/{key}: only a service account key can sign, and the credentials hold none; "
                "declare the Truss secret gcp_service_account_json"
            )
        with self._translated("presign", key):
            url: str = blob.generate_signed_url(version="v4", expiration=lifetime, method="GET")
        return url

    def _get(self, key: str) -> storage.Blob:
        path = self._path(key)
        with self._translated("read", key):
            blob = self._bucket.get_blob(path, **_CALL)
        if blob is None:
            raise ObjectNotFoundError(f"there is no object {self._url}/{key}")
        return blob

    def _path(self, key: str) -> str:
        return self._root + check_object_key(key)

    @contextmanager
    def _translated(self, action: str, key: str) -> Iterator[None]:
        try:
            yield
        except FAILURES as error:
            raise gcs_failure(error, action=action, url=f"{self._url}/{key}") from error


def _signed_in_client(service_account_json: str) -> storage.Client:
    try:
        return storage.Client.from_service_account_info(json.loads(service_account_json))
    except (ValueError, TypeError, AttributeError, OSError, GoogleAuthError):
        # Not chained: the library quotes parts of the key.
        raise SettingsError(
            "gcp_service_account_json is not the JSON of a service account key; paste the whole downloaded file"
        ) from None


def _info(key: str, blob: storage.Blob) -> ObjectInfo:
    return ObjectInfo(
        key,
        size_bytes=blob.size or 0,
        content_type=blob.content_type,
        metadata=blob.metadata or {},
        modified_at=blob.updated,
        content_encoding=blob.content_encoding,
    )


def _crc32c() -> Any:
    checksum: Any = Checksum
    return checksum()

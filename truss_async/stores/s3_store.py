"""``s3://bucket/prefix``: Amazon S3, and every server that speaks its protocol. Imported only when it is used."""

from __future__ import annotations

import zlib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast
from urllib.parse import urlencode

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.handlers import add_expect_header

from ..errors import SettingsError
from ..pasted import check_variables
from .bodies import Crc32, DigestedFile, opened_body
from .clients import ClientCache
from .endpoints import check_endpoint
from .idempotency import is_own_write, with_attempt_id
from .keys import check_object_key
from .presigning import expiry_seconds
from .protocol import NO_METADATA, ObjectInfo
from .readers import remote_file
from .s3_errors import is_answer_that_passes, is_conflict, s3_failure
from .s3_logs import hide_session_tokens
from .schemes import S3
from .transfers import SINGLE_PUT_BYTES, part_size, upload_in_parts, whole_body
from .unfinished import unfinished

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

    from .credentials import StoreCredentials
    from .options import StoreOptions
    from .protocol import Body

_KEY_VARIABLES: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_CLIENT: Final = Config(
    connect_timeout=5,
    # A server that hangs must not hold an output for long past its time; the plugin retries by itself.
    read_timeout=20,
    retries={"mode": "standard", "total_max_attempts": 2},
    max_pool_connections=64,
)


def make_s3_client(credentials: StoreCredentials) -> S3Client:
    """A client that is safe to share between threads."""
    if not credentials.aws_access_key_id:
        check_variables(_KEY_VARIABLES)
    session = boto3.session.Session(
        aws_access_key_id=credentials.aws_access_key_id,
        aws_secret_access_key=credentials.aws_secret_access_key,
        aws_session_token=credentials.aws_session_token,
        region_name=credentials.aws_region,
    )
    try:
        client = session.client("s3", endpoint_url=credentials.aws_endpoint_url, config=_CLIENT)
    except (BotoCoreError, ValueError) as error:
        raise SettingsError(
            f"the S3 client cannot be set up: {error}; check the AWS_… settings and secrets"
        ) from error
    hide_session_tokens()
    # `Expect: 100-continue` costs every PUT a round trip of its own.
    events: Any = client.meta.events  # its types know no handler that answers
    events.unregister("before-call.s3", add_expect_header)
    events.register("choose-signer.s3.GetObject", _presign_with_version_4)
    events.register("provide-client-params.s3.GetObject", _presign_for_the_region)
    return client


def _presign_with_version_4(signature_version: object, **_: object) -> str | None:
    # Left alone, boto3 signs URLs with version 2, which newer regions and most other servers refuse.
    return "s3v4-query" if signature_version in ("v4-query", "s3v4-query") else None


def _presign_for_the_region(context: dict[str, Any], **_: object) -> None:
    # Nor does it sign for the region's own host: a bucket elsewhere answers the global one with a redirect, which
    # spoils the signature.
    context["use_global_endpoint"] = False


S3_CLIENTS: Final = ClientCache(make_s3_client, environment=("AWS_", "BOTO_"))


class S3Store:
    """The objects of one bucket below a prefix."""

    has_conditional_puts: Final = True

    def __init__(
        self, bucket: str, prefix: str, credentials: StoreCredentials, options: StoreOptions
    ) -> None:
        self._bucket = bucket
        self._root = f"{prefix}/" if prefix else ""
        self._url = f"s3://{bucket}/{prefix}".rstrip("/")
        self._client = S3_CLIENTS.get(credentials)
        endpoint, what = self._client.meta.endpoint_url, "the endpoint URL of S3"
        check_endpoint(endpoint, bucket=bucket, prefix=prefix, what=what)
        self._put_arguments = put_arguments(options)
        # AWS_REQUEST_CHECKSUM_CALCULATION=when_required is for servers that know no checksums.
        self._sends_checksums = (
            getattr(self._client.meta.config, "request_checksum_calculation", None) != "when_required"
        )

    @property
    def url(self) -> str:
        return self._url

    def forget_client(self) -> None:
        S3_CLIENTS.forget(self._client)

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
        path = self._path(key)
        metadata = with_attempt_id(metadata) if only_if_absent else dict(metadata)
        described: dict[str, Any] = {**self._put_arguments, "ContentType": content_type, "Metadata": metadata}
        if content_encoding is not None:
            described["ContentEncoding"] = content_encoding
        condition = {"IfNoneMatch": "*"} if only_if_absent else {}
        with opened_body(body) as (file, size), self._translated("write", key):
            try:
                if size <= SINGLE_PUT_BYTES:
                    with whole_body(body, file, size) as content:
                        self._put_whole(path, content, {**described, **condition})
                else:
                    self._put_in_parts(path, file, size, described, condition)
            except ClientError as error:
                # If the answer to our own success was lost, the client has asked again.
                if not (is_conflict(error) and is_own_write(self, key, metadata)):
                    raise

    def open(self, key: str) -> BinaryIO:
        path = self._path(key)
        with self._translated("read", key):
            answer = self._client.get_object(Bucket=self._bucket, Key=path, ChecksumMode="ENABLED")
        return remote_file(answer["Body"], lambda: self._translated("read", key))

    def head(self, key: str) -> ObjectInfo:
        path = self._path(key)
        with self._translated("read", key):
            answer = self._client.head_object(Bucket=self._bucket, Key=path)
        return ObjectInfo(
            key,
            size_bytes=answer["ContentLength"],
            content_type=answer.get("ContentType"),
            metadata=answer.get("Metadata", {}),
            modified_at=answer.get("LastModified"),
            content_encoding=answer.get("ContentEncoding"),
        )

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        pages = self._client.get_paginator("list_objects_v2")
        with self._translated("list", prefix):
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._root + prefix):
                for entry in page.get("Contents", ()):
                    key = entry["Key"][len(self._root) :]
                    yield ObjectInfo(key, size_bytes=entry["Size"], modified_at=entry.get("LastModified"))

    def delete(self, key: str) -> None:
        path = self._path(key)
        with self._translated("delete", key):
            self._client.delete_object(Bucket=self._bucket, Key=path)

    def presign(self, key: str, *, expires_in: timedelta) -> str:
        path = self._path(key)
        seconds = expiry_seconds(expires_in)
        with self._translated("presign", key):
            return self._client.generate_presigned_url(
                "get_object", Params={"Bucket": self._bucket, "Key": path}, ExpiresIn=seconds
            )

    def _put_whole(self, path: str, content: bytes, described: Mapping[str, Any]) -> None:
        checksum = self._checksum(_crc32(content))
        self._client.put_object(Bucket=self._bucket, Key=path, Body=content, **checksum, **described)

    def _put_in_parts(
        self,
        path: str,
        file: BinaryIO,
        size: int,
        described: Mapping[str, Any],
        condition: Mapping[str, Any],
    ) -> None:
        target: dict[str, Any] = {"Bucket": self._bucket, "Key": path}
        # One checksum of the whole object, not of its parts' checksums, is one that a reader can verify.
        kind: dict[str, Any] = {"ChecksumType": "FULL_OBJECT"} if self._sends_checksums else {}
        algorithm: dict[str, Any] = {"ChecksumAlgorithm": "CRC32"} if self._sends_checksums else {}
        begun = self._client.create_multipart_upload(**target, **described, **algorithm, **kind)
        target["UploadId"] = begun["UploadId"]
        source = DigestedFile(file, Crc32())

        def upload(number: int, content: bytes) -> CompletedPartTypeDef:
            checksum = self._checksum(_crc32(content))
            sent = self._client.upload_part(**target, PartNumber=number, Body=content, **checksum)
            return cast("CompletedPartTypeDef", {"PartNumber": number, "ETag": sent["ETag"], **checksum})

        def abort() -> None:
            with suppress(BotoCoreError, ClientError):
                self._client.abort_multipart_upload(**target)

        with unfinished(abort):
            parts = upload_in_parts(
                source, part_bytes=part_size(size), upload=upload, is_worth_another=is_answer_that_passes
            )
            whole = self._checksum(source.digest.digest())
            self._client.complete_multipart_upload(
                **target, MultipartUpload={"Parts": parts}, **whole, **kind, **condition
            )

    def _checksum(self, crc32: bytes) -> dict[str, Any]:
        return {"ChecksumCRC32": b64encode(crc32).decode()} if self._sends_checksums else {}

    def _path(self, key: str) -> str:
        return self._root + check_object_key(key)

    @contextmanager
    def _translated(self, action: str, key: str) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError, Boto3Error) as error:
            endpoint = self._client.meta.endpoint_url
            raise s3_failure(error, action=action, url=f"{self._url}/{key}", endpoint=endpoint) from error


def put_arguments(options: StoreOptions) -> dict[str, str]:
    """The options as arguments of PutObject."""
    arguments = options.headers_as(S3.headers)
    if options.storage_class is not None:
        arguments["StorageClass"] = options.storage_class
    if options.kms_key_id is not None:
        arguments |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": options.kms_key_id}
    if options.tags:
        arguments["Tagging"] = urlencode(options.tags)
    return arguments


def _crc32(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(4, "big")

from __future__ import annotations

from datetime import timedelta

import pytest

from truss_async.errors import SettingsError
from truss_async.stores import StoreCredentials, object_store
from truss_async.stores.endpoints import check_endpoint

R2 = f"{'0123456789abcdef' * 2}.r2.cloudflarestorage.com"


@pytest.mark.parametrize(
    ("endpoint", "instead"),
    [
        ("https://minio.example.com:9000/outputs", "https://minio.example.com:9000"),
        ("https://minio.example.com:9000/outputs/", "https://minio.example.com:9000"),
        ("https://minio.example.com/outputs/a/b", "https://minio.example.com"),
        ("https://p.supabase.co/storage/v1/s3/outputs", "https://p.supabase.co/storage/v1/s3"),
        ("https://user:hunter2@minio.example.com/outputs", "https://minio.example.com"),
        ("https://outputs.s3.eu-west-1.amazonaws.com", "https://s3.eu-west-1.amazonaws.com"),
        ("https://outputs.s3-eu-west-1.amazonaws.com/", "https://s3-eu-west-1.amazonaws.com"),
        ("https://outputs.s3.eu-west-1.amazonaws.com/outputs", "https://s3.eu-west-1.amazonaws.com"),
        ("https://outputs.oss-cn-hangzhou.aliyuncs.com", "https://oss-cn-hangzhou.aliyuncs.com"),
        ("https://outputs.nyc3.digitaloceanspaces.com", "https://nyc3.digitaloceanspaces.com"),
        (f"https://outputs.{R2}", f"https://{R2}"),
        (f"https://{R2}/outputs", f"https://{R2}"),
    ],
)
def test_endpoint_that_names_the_bucket_is_refused_with_what_to_write(endpoint: str, instead: str) -> None:
    credentials = StoreCredentials(
        aws_access_key_id="a", aws_secret_access_key="b", aws_region="auto", aws_endpoint_url=endpoint
    )
    with pytest.raises(
        SettingsError, match="includes the bucket 'outputs', which the output store URL"
    ) as refused:
        object_store("s3://outputs/a/b", credentials=credentials)
    assert str(refused.value).endswith(f"; use {instead} instead")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("endpoint", "bucket"),
    [
        ("http://127.0.0.1:9000", "outputs"),
        ("https://minio.example.com/s3", "outputs"),
        ("https://minio.example.com/outputs-gateway", "outputs"),
        ("https://outputs.example.com", "outputs"),
        ("https://s3.us-east-1.amazonaws.com", "s3"),
        ("https://s3.us-east-1.amazonaws.com", "us-east-1"),
        ("https://nyc3.digitaloceanspaces.com", "nyc3"),
        (f"https://{R2}", "outputs"),
        (f"https://{R2}", R2.partition(".")[0]),
    ],
)
def test_endpoint_that_names_no_bucket_is_taken(endpoint: str, bucket: str) -> None:
    check_endpoint(endpoint, bucket=bucket, prefix="a/b", what="the endpoint")


@pytest.mark.parametrize("path", ["outputs", "outputs/a/b/"])
def test_azure_account_that_names_the_container_is_refused(path: str) -> None:
    credentials = StoreCredentials(
        azure_storage_connection_string=(
            f"BlobEndpoint=http://127.0.0.1:10000/me/{path};AccountName=me;AccountKey=a2V5"
        )
    )
    with pytest.raises(SettingsError, match=r"use http://127\.0\.0\.1:10000/me instead"):
        object_store("azure://outputs/a/b", credentials=credentials)


@pytest.mark.parametrize("path", ["outputs", "outputs/a/"])
def test_container_in_the_url_of_an_account_in_the_cloud_is_left_out_or_refused(path: str) -> None:
    """Newer versions of the cloud's library leave it out."""
    credentials = StoreCredentials(
        azure_storage_connection_string=(
            f"BlobEndpoint=https://me.blob.core.windows.net/{path};AccountName=me;AccountKey=a2V5"
        )
    )
    try:
        store = object_store("azure://outputs/a", credentials=credentials)
        outcome = store.presign("r1.json", expires_in=timedelta(hours=1)).partition("?")[0]
    except SettingsError as error:
        outcome = str(error)
    account = "https://me.blob.core.windows.net"
    assert outcome.endswith((f"{account}/outputs/a/r1.json", f"use {account} instead"))


def test_account_of_an_emulator_may_be_called_as_the_container() -> None:
    connection_string = (
        "DefaultEndpointsProtocol=http;AccountName=outputs;AccountKey=a2V5;"
        "BlobEndpoint=http://127.0.0.1:10000/outputs"
    )
    credentials = StoreCredentials(azure_storage_connection_string=connection_string)
    assert object_store("azure://outputs/a", credentials=credentials).url == "azure://outputs/a"


def test_gcs_emulator_that_names_the_bucket_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:4443/outputs")
    with pytest.raises(
        SettingsError, match=r"^STORAGE_EMULATOR_HOST includes .* use http://127\.0\.0\.1:4443 instead"
    ):
        object_store("gs://outputs/a")

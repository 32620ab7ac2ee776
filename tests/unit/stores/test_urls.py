from __future__ import annotations

import subprocess
import sys

import pytest
import smart_open

from truss_async.errors import SettingsError
from truss_async.stores import object_store

FTP_URLS = [
    ("ftp://host:2121/outputs/", "ftp://host:2121/outputs"),
    ("ftp://me:hunter2@host/outputs", "ftp://host/outputs"),
    ("ftp://me:hunter@2@host", "ftp://host"),
]
if int(smart_open.__version__.split(".")[0]) < 9:  # which are refused there
    FTP_URLS.clear()


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("memory://tests/urls/", "memory://tests/urls"),
        ("memory://tests", "memory://tests"),
        ("file:///srv/outputs/", "file:///srv/outputs"),
        ("file://localhost/srv/outputs", "file:///srv/outputs"),
        ("FILE:///srv/my%20outputs", "file:///srv/my%20outputs"),
        ("file:///srv/100%25", "file:///srv/100%25"),
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/a/b//", "s3://bucket/a/b"),
        ("s3a://bucket/a", "s3://bucket/a"),
        *FTP_URLS,
    ],
)
def test_url_of_a_store_has_no_trailing_slash_and_no_credentials(given: str, url: str) -> None:
    assert object_store(given).url == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "must start with"),
        ("/srv/outputs", "must start with"),
        ("file:/srv/outputs", "must start with"),
        ("s3:bucket", "must start with"),
        ("s3://", "no name"),
        ("s3:///prefix", "no name"),
        ("gs://", "no name"),
        ("memory://", "no name"),
        ("s3://b", "not a bucket name"),
        ("s3://bu cket/x", "not a bucket name"),
        ("s3://bucket/x?versionId=1", "query"),
        ("file:///srv/a#b", "query or fragment"),
        ("s3://bucket//x", "empty"),
        ("s3://bucket/a/../b", "'..'"),
        ("file:///srv/../etc", "'..'"),
        ("file:///srv/%2e%2e/etc", "'..'"),
        ("file:///srv/a%0ab", "control character"),
        ("file:///srv/%ff", "UTF-8"),
        ("file://relative/folder", "file:///absolute/folder"),
        ("file://me@localhost/srv", "file:///absolute/folder"),
        ("file://./folder", "file:///absolute/folder"),
        ("file:///", "no folder"),
        ("s3://bucket/a\nb", "control character"),
        ("s3://bucket/a\\b", "backslash"),
        ("s3://bucket/a ", "space"),
    ],
)
def test_wrong_url_is_refused_in_one_line_that_says_why(url: str, reason: str) -> None:
    with pytest.raises(SettingsError) as refused:
        object_store(url)
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "s3://AKIA:hunter2@bucket/x",
        "s3://AKIA:hun/hunter2@bucket/x",
        "s3://bucket/x?secret=hunter2",
        "gs://me:hunter2@bucket",
        "ftp://me:hun/hunter2@host/x",
        "ftp://me:hunter2@host/x@y",
    ],
)
def test_secret_in_a_refused_url_is_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        object_store(url)
    assert "hunter2" not in str(refused.value)


def test_unknown_scheme_is_refused_with_a_list_of_the_known_ones() -> None:
    with pytest.raises(SettingsError) as refused:
        object_store("dropbox://folder/x")
    message = str(refused.value)
    assert all(f"{scheme}://" in message for scheme in ("dropbox", "s3", "gs", "file", "memory", "ftp"))
    assert "\n" not in message


@pytest.mark.parametrize(
    ("package", "url", "install"),
    [
        ("boto3", "s3://bucket/x", "pip install 'truss-async[s3]'"),
        ("google.cloud.storage", "gs://bucket/x", "pip install 'truss-async[gcs]'"),
        ("azure.storage.blob", "azure://container/x", "pip install 'truss-async[azure]'"),
    ],
)
def test_missing_package_is_named_with_its_install_line(package: str, url: str, install: str) -> None:
    program = f"""
import sys
sys.modules[{package!r}] = None
from truss_async.errors import MissingExtraError
from truss_async.stores import object_store
try:
    object_store({url!r})
except MissingExtraError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert install in done.stdout


def test_local_stores_load_no_cloud_library() -> None:
    program = """
import sys
from truss_async.stores import object_store
object_store("memory://x"), object_store("file:///nowhere/x")
print(sorted({"boto3", "google.cloud.storage", "smart_open"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"

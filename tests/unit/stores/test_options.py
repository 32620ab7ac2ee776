from __future__ import annotations

from typing import Any

import pytest

from truss_async.errors import SettingsError
from truss_async.stores import StoreOptions, object_store
from truss_async.stores.s3_store import put_arguments


def test_nothing_is_asked_for_by_default() -> None:
    assert put_arguments(StoreOptions()) == {}
    assert StoreOptions().given() == []


def test_options_are_arguments_of_a_put() -> None:
    options = StoreOptions(
        storage_class="STANDARD_IA",
        kms_key_id="alias/outputs",
        tags={"team": "R&D = ä", "cost": ""},
        headers={"Cache-Control": "no-store", "x-amz-expected-bucket-owner": "1234"},
    )
    assert put_arguments(options) == {
        "CacheControl": "no-store",
        "ExpectedBucketOwner": "1234",
        "StorageClass": "STANDARD_IA",
        "ServerSideEncryption": "aws:kms",
        "SSEKMSKeyId": "alias/outputs",
        "Tagging": "team=R%26D+%3D+%C3%A4&cost=",
    }


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"storage_class": "standard ia"},
            "storage_class 'standard ia' is not valid: it is a word such as STANDARD_IA",
        ),
        ({"storage_class": ""}, "storage_class '' is not valid"),
        ({"kms_key_id": ""}, "kms_key_id is empty"),
        ({"kms_key_id": "a\r\nb"}, "kms_key_id is not an id, ARN or alias"),
        ({"tags": {str(number): "" for number in range(11)}}, "tags has 11 entries; 10 are allowed"),
        ({"tags": {"": "x"}}, "the tag '' is too long or has no name"),
        ({"tags": {"x": "y" * 257}}, "the tag 'x' is too long"),
        (
            {"headers": {"Cache-Control": "a\r\nb: c"}},
            "the header 'Cache-Control' must have a value of printable",
        ),
    ],
)
def test_wrong_option_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        StoreOptions(**wrong)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        (
            "file:///x",
            {"storage_class": "COLD", "tags": {"a": "b"}},
            "storage_class, tags: a store on file:// does not",
        ),
        ("memory://x", {"headers": {"Cache-Control": "b"}}, "support that, only s3://, gs://, azure://"),
        (
            "ftp://x/y",
            {"kms_key_id": "a"},
            "kms_key_id: a store on ftp:// does not support that, only s3://, gs://",
        ),
        (
            "gs://my-bucket/x",
            {"storage_class": "COLD", "tags": {"a": "b"}},
            "tags: a store on gs:// does not",
        ),
        ("azure://my-container/x", {"kms_key_id": "a"}, "kms_key_id: a store on azure:// does not"),
        (
            "gs://my-bucket/x",
            {"headers": {"x-amz-acl": "b"}},
            "headers: gs:// takes no x-amz-acl; it takes cache-",
        ),
        (
            "s3://my-bucket/x",
            {"headers": {"Content-Type": "b"}},
            "headers: s3:// takes no Content-Type; it takes ",
        ),
    ],
)
def test_store_that_cannot_do_what_the_options_ask_refuses_them(
    url: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        object_store(url, options=StoreOptions(**options))
    assert message in str(refused.value)

from __future__ import annotations

from typing import Any

import pytest

from truss_async.errors import SettingsError
from truss_async.stores import StoreOptions, object_store


def test_nothing_is_asked_for_by_default() -> None:
    assert StoreOptions().s3_arguments() == {}
    assert StoreOptions().given() == []


def test_options_are_arguments_of_a_put() -> None:
    options = StoreOptions(
        storage_class="STANDARD_IA", kms_key_id="alias/outputs", tags={"team": "R&D = ä", "cost": ""}
    )
    assert options.s3_arguments() == {
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
            "storage_class 'standard ia' is none of S3's, such as STANDARD_IA",
        ),
        ({"storage_class": ""}, "storage_class '' is none"),
        ({"kms_key_id": ""}, "kms_key_id is empty"),
        ({"kms_key_id": "a\r\nb"}, "kms_key_id is no id, ARN or alias"),
        ({"tags": {str(number): "" for number in range(11)}}, "tags has 11 entries; S3 allows 10"),
        ({"tags": {"": "x"}}, "the tag '' is too long or has no name"),
        ({"tags": {"x": "y" * 257}}, "the tag 'x' is too long"),
    ],
)
def test_wrong_option_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        StoreOptions(**wrong)
    assert message in str(refused.value)


@pytest.mark.parametrize("url", ["gs://my-bucket/x", "file:///x", "memory://x", "ftp://x/y"])
def test_store_that_has_no_such_options_refuses_them(url: str) -> None:
    with pytest.raises(SettingsError, match="storage_class, tags: only a store on s3://"):
        object_store(url, options=StoreOptions(storage_class="STANDARD_IA", tags={"team": "x"}))

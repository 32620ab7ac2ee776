import pytest

from truss_async.harness.api.access import check_authorization
from truss_async.harness.api.refusals import CallRefusedError


@pytest.mark.parametrize("header", ["Api-Key s3cret", "Bearer s3cret", "api-key s3cret", "BEARER  s3cret "])
def test_both_forms_of_the_header_pass(header: str) -> None:
    check_authorization(header, api_key="s3cret")


def test_without_a_configured_key_any_key_passes() -> None:
    check_authorization("Api-Key whatever", api_key=None)


@pytest.mark.parametrize(
    ("header", "api_key"),
    [
        (None, None),
        (None, "s3cret"),
        ("", None),
        ("Api-Key", None),
        ("Api-Key ", "s3cret"),
        ("s3cret", "s3cret"),
        ("Basic s3cret", "s3cret"),
        ("Api-Key wrong", "s3cret"),
        ("Api-Key s3cretx", "s3cret"),
        ("Api-Key schlüssel", "s3cret"),
    ],
)
def test_everything_else_is_401(header: str | None, api_key: str | None) -> None:
    with pytest.raises(CallRefusedError) as caught:
        check_authorization(header, api_key=api_key)
    assert caught.value.status_code == 401
    assert "s3cret" not in str(caught.value)

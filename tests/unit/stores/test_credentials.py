from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import pytest
from truss.templates.shared.secrets_resolver import SecretsResolver

from truss_async.errors import SettingsError
from truss_async.stores import NO_CREDENTIALS, StoreCredentials, object_store
from truss_async.stores.azure_store import make_azure_client

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Truss finds a file for each secret."""
    monkeypatch.setattr(SecretsResolver, "SECRETS_MOUNT_DIR", str(tmp_path))
    return tmp_path


def test_credentials_come_from_the_truss_secrets_of_their_names(mount: Path) -> None:
    (mount / "aws_access_key_id").write_text("AKIA\n")
    (mount / "aws_secret_access_key").write_text("hunter2")
    secrets = SecretsResolver.get_secrets(
        {"secrets": {"aws_access_key_id": None, "aws_secret_access_key": None, "aws_region": ""}}
    )
    assert StoreCredentials.from_secrets(secrets) == StoreCredentials(
        aws_access_key_id="AKIA", aws_secret_access_key="hunter2"
    )


def test_without_declared_secrets_there_are_no_credentials(mount: Path) -> None:
    assert StoreCredentials.from_secrets(SecretsResolver.get_secrets({})) == NO_CREDENTIALS
    assert StoreCredentials.from_secrets({}) == NO_CREDENTIALS


def test_secret_that_cannot_be_read_is_not_taken_for_absent(mount: Path) -> None:
    (mount / "aws_region").write_bytes(b"\xff")
    with pytest.raises(UnicodeDecodeError):
        StoreCredentials.from_secrets(SecretsResolver.get_secrets({"secrets": {"aws_region": None}}))


def test_half_a_key_pair_is_refused_naming_the_other_half() -> None:
    with pytest.raises(SettingsError, match="aws_access_key_id is given without aws_secret_access_key"):
        StoreCredentials(aws_access_key_id="AKIA")
    with pytest.raises(
        SettingsError, match="aws_secret_access_key is given without aws_access_key_id"
    ) as refused:
        StoreCredentials(aws_secret_access_key="hunter2")
    assert "hunter2" not in str(refused.value)


def test_repr_shows_no_secret() -> None:
    shown = repr(StoreCredentials(**{each.name: f"hunter2-{each.name}" for each in fields(StoreCredentials)}))
    assert "aws_region='hunter2-aws_region'" in shown
    for name in ("access_key", "session_token", "service_account"):
        assert name not in shown


@pytest.mark.parametrize("name", [each.name for each in fields(StoreCredentials)])
@pytest.mark.parametrize("pasted", ["{}\n", "{}\r\n", ' "{}" ', "'{}'", "\ufeff{}", "\u200b{}"])
def test_pasted_credential_is_what_was_meant(pasted: str, name: str) -> None:
    secrets = {"aws_access_key_id": "a", "aws_secret_access_key": "b", name: pasted.format("meant")}
    assert getattr(StoreCredentials.from_secrets(secrets), name) == "meant"


def test_credential_with_a_line_break_inside_is_named_and_not_quoted() -> None:
    with pytest.raises(
        SettingsError, match=r"^azure_storage_connection_string contains a line break"
    ) as refused:
        StoreCredentials(azure_storage_connection_string="AccountKey=hun\nter2")
    assert "ter2" not in str(refused.value)
    key = '{"type":\n "service_account"}'
    assert StoreCredentials(gcp_service_account_json=f"{key}\n").gcp_service_account_json == key


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("s3://bucket", "AWS_SECRET_ACCESS_KEY"),
        ("s3://bucket", "AWS_SESSION_TOKEN"),
        ("gs://bucket", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("azure://container", "AZURE_CLIENT_SECRET"),
    ],
)
def test_variable_that_a_library_reads_is_named_when_it_holds_more_than_was_meant(
    url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "account")
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING", raising=False)
    monkeypatch.setenv(name, "hunter2\n")
    with pytest.raises(SettingsError, match=f"^{name} has white space") as refused:
        object_store(url)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("pasted", ["{}\n", '"{}"', "\ufeff{}"])
def test_pasted_connection_string_in_the_environment_is_what_was_meant(
    pasted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    meant = "DefaultEndpointsProtocol=https;AccountName=name;AccountKey=a2V5;EndpointSuffix=core.windows.net"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", pasted.format(meant))
    client = make_azure_client(NO_CREDENTIALS)
    assert client.account_name == "name"
    assert client.credential.account_key == "a2V5"

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import pytest
from truss.templates.shared.secrets_resolver import SecretsResolver

from truss_async.errors import SettingsError
from truss_async.stores import NO_CREDENTIALS, StoreCredentials

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

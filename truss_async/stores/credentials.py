"""Credentials that are given to us. Without any, the cloud library's own chain finds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Final

from ..errors import SettingsError
from ..pasted import as_meant

_DOCUMENTS: Final = ("gcp_service_account_json",)


@dataclass(frozen=True)
class StoreCredentials:
    """What a store signs in with. The names are those of the Truss secrets that may hold them.

    What comes along when one of them is pasted is taken away; nothing but that is the same as none.
    """

    aws_access_key_id: str | None = field(default=None, repr=False)
    aws_secret_access_key: str | None = field(default=None, repr=False)
    aws_session_token: str | None = field(default=None, repr=False)
    aws_region: str | None = None
    aws_endpoint_url: str | None = None
    gcp_service_account_json: str | None = field(default=None, repr=False)
    azure_storage_connection_string: str | None = field(default=None, repr=False)
    azure_storage_account: str | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None:
                meant = as_meant(value, what=each.name, may_have_lines=each.name in _DOCUMENTS)
                object.__setattr__(self, each.name, meant or None)
        if bool(self.aws_access_key_id) != bool(self.aws_secret_access_key):
            given, missing = "aws_access_key_id", "aws_secret_access_key"
            if not self.aws_access_key_id:
                given, missing = missing, given
            raise SettingsError(f"{given} is given without {missing}: give both, or neither")

    @classmethod
    def from_secrets(cls, secrets: Mapping[str, str]) -> StoreCredentials:
        """Those of the Truss secrets that are declared and not empty."""
        return cls(**{each.name: secret_or_none(secrets, each.name) for each in fields(cls)})


NO_CREDENTIALS = StoreCredentials()


def secret_or_none(secrets: Mapping[str, str], name: str) -> str | None:
    """A Truss secret; None when it is not declared, or empty."""
    # Truss's mapping cannot be iterated, and for a secret that is undeclared or empty raises an exception of its own,
    # which is no KeyError and lives in a module whose name depends on the server's version. So the exception is known
    # by its name; anything else (a secret that cannot be read) is a fault that nobody should miss.
    try:
        return secrets[name]
    except KeyError:
        return None
    except Exception as error:
        if type(error).__name__ != "SecretNotFound":
            raise
        return None

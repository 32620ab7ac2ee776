"""HTTPS for a webhook endpoint on this machine: a certificate that was given, or one made here."""

from __future__ import annotations

import importlib.util
import ipaddress
import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..clock import SYSTEM_CLOCK, Clock
from ..errors import MissingExtraError, SettingsError
from ..whole_files import write_whole

if TYPE_CHECKING:
    from cryptography import x509

AUTHORITY_NAME: Final = "authority.pem"
SERVER_NAME: Final = "server.pem"
LIFETIME: Final = timedelta(days=90)
_RENEW_BEFORE: Final = timedelta(days=7)
_OWNER: Final = "truss-async listen"
_OWN_HOSTS: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Certificate:
    """``context`` holds it; ``authority_file`` is what a sender has to trust, None when it was given."""

    context: ssl.SSLContext
    authority_file: Path | None = None


def given_certificate(certificate_file: Path, key_file: Path | None) -> Certificate:
    """A certificate from PEM files; the key may be in the same file.

    Raises:
        SettingsError: they cannot be read, hold no certificate and key, or do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    files = [certificate_file] if key_file is None else [certificate_file, key_file]
    for file in files:
        if not file.is_file():
            raise SettingsError(f"the file {file} does not exist")
    try:
        # Without a password, an encrypted key would be asked for on the terminal.
        context.load_cert_chain(certificate_file, key_file, password="")
    except OSError:  # ssl.SSLError is one
        shown = " and ".join(map(str, files))
        raise SettingsError(
            f"cannot use the certificate in {shown}: it must be PEM, with its matching, unencrypted key"
        ) from None
    return Certificate(context)


def own_certificate(folder: Path, *, host: str, clock: Clock = SYSTEM_CLOCK) -> Certificate:
    """A certificate for this machine and ``host``, kept in the folder and used again while it is good.

    It is signed by an authority of its own, whose key is not kept: whoever trusts ``authority.pem`` trusts this one
    certificate, and nothing that anybody could make later.

    Raises:
        MissingExtraError: the package ``trustme`` is not installed.
        SettingsError: the folder cannot be written, or a certificate cannot be made for the host.
    """
    if importlib.util.find_spec("trustme") is None:
        raise MissingExtraError("trustme", extra="cli", purpose="making a certificate")
    host = host.lower()
    authority_file, server_file = folder / AUTHORITY_NAME, folder / SERVER_NAME
    try:
        if not _is_good(server_file, authority_file, host=host, now=clock.now()):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / ".gitignore").write_text("*\n")  # there is a key
            authority, server = _make(host, now=clock.now())
            write_whole(server_file, server, mode=0o600)
            write_whole(authority_file, authority, mode=0o600)
    except OSError as error:
        raise SettingsError(f"cannot store a certificate in {folder}: {error.strerror}") from None
    except UnicodeError:  # of the rules for host names
        raise SettingsError(
            f"a certificate cannot be made for the host {host}; give one with --tls-cert"
        ) from None
    return Certificate(given_certificate(server_file, None).context, authority_file)


def _is_good(server_file: Path, authority_file: Path, *, host: str, now: datetime) -> bool:
    """Whether what is kept serves that host for some days more, and belongs together."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    try:
        server = x509.load_pem_x509_certificate(server_file.read_bytes())
        server.verify_directly_issued_by(x509.load_pem_x509_certificate(authority_file.read_bytes()))
        names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (FileNotFoundError, ValueError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return _alternative_name(host) in names and server.not_valid_after_utc > now + _RENEW_BEFORE


def _make(host: str, *, now: datetime) -> tuple[bytes, bytes]:
    """The authority's certificate, and the server's with its key; both in PEM."""
    import trustme

    authority = trustme.CA(path_length=0, organization_name=_OWNER, organization_unit_name="authority")
    server = authority.issue_cert(
        *dict.fromkeys((*_OWN_HOSTS, host)),
        organization_name=_OWNER,
        organization_unit_name="server",
        not_before=now - timedelta(days=1),
        not_after=now + LIFETIME,
    )
    return authority.cert_pem.bytes(), server.private_key_and_cert_chain_pem.bytes()


def _alternative_name(host: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)

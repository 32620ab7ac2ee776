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
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

AUTHORITY_NAME: Final = "authority.pem"
SERVER_NAME: Final = "server.pem"
LIFETIME: Final = timedelta(days=90)
_RENEW_BEFORE: Final = timedelta(days=7)
_AUTHORITY: Final = "truss-async listen authority"
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
            raise SettingsError(f"there is no file {file}")
    try:
        # Without a password, an encrypted key would be asked for on the terminal.
        context.load_cert_chain(certificate_file, key_file, password="")
    except OSError:  # ssl.SSLError is one
        shown = " and ".join(map(str, files))
        raise SettingsError(
            f"cannot use the certificate in {shown}: it must be PEM, with the key that belongs to it, not encrypted"
        ) from None
    return Certificate(context)


def own_certificate(folder: Path, *, host: str, clock: Clock = SYSTEM_CLOCK) -> Certificate:
    """A certificate for this machine and ``host``, kept in the folder and used again while it is good.

    It is signed by an authority of its own, whose key is not kept: whoever trusts ``authority.pem`` trusts this one
    certificate, and nothing that anybody could make later.

    Raises:
        MissingExtraError: the package ``cryptography`` is not installed.
        SettingsError: the folder cannot be written.
    """
    if importlib.util.find_spec("cryptography") is None:
        raise MissingExtraError("cryptography", extra="tls", purpose="making a certificate")
    authority_file, server_file = folder / AUTHORITY_NAME, folder / SERVER_NAME
    try:
        if not _is_good(server_file, authority_file, host=host, now=clock.now()):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / ".gitignore").write_text("*\n")  # there is a key
            authority, server = _make(host, now=clock.now())
            write_whole(server_file, server, mode=0o600)
            write_whole(authority_file, authority, mode=0o600)
    except OSError as error:
        raise SettingsError(f"cannot keep a certificate in {folder}: {error.strerror}") from None
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
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    authority_key = ec.generate_private_key(ec.SECP256R1())
    server_key = ec.generate_private_key(ec.SECP256R1())
    hosts = dict.fromkeys((*_OWN_HOSTS, host))
    authority = _certificate(
        _AUTHORITY,
        now=now,
        key=authority_key.public_key(),
        signing_key=authority_key,
        extensions=[(x509.BasicConstraints(ca=True, path_length=0), True), (_signs_certificates(), True)],
    )
    server = _certificate(
        "truss-async listen",
        now=now,
        key=server_key.public_key(),
        signing_key=authority_key,
        extensions=[
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
            (x509.SubjectAlternativeName([_alternative_name(each) for each in hosts]), False),
        ],
    )
    key_pem = server_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = serialization.Encoding.PEM
    return authority.public_bytes(pem), server.public_bytes(pem) + key_pem


def _certificate(
    name: str,
    *,
    now: datetime,
    key: EllipticCurvePublicKey,
    signing_key: EllipticCurvePrivateKey,
    extensions: list[tuple[x509.ExtensionType, bool]],
) -> x509.Certificate:
    """With all that a strict verification asks for, which is the default from Python 3.13 on."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    builder = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(_AUTHORITY))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), critical=False
        )
    )
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, critical=is_critical)
    return builder.sign(signing_key, hashes.SHA256())


def _signs_certificates() -> x509.KeyUsage:
    from cryptography import x509

    others = dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"), False
    )
    return x509.KeyUsage(
        **others,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative_name(host: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)

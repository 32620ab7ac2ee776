"""The certificate that listen makes: trusted by its authority alone, kept, and made anew in time."""

import socket
import ssl
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from tests.full_disk import no_file_grows_beyond
from truss_async.clock import SYSTEM_CLOCK, ManualClock
from truss_async.endpoint.certificates import given_certificate, own_certificate
from truss_async.errors import MissingExtraError, SettingsError


def names_trusted(server: ssl.SSLContext, authority: Path, host: str) -> bool:
    """Whether a strict client accepts the server under that name."""
    client = ssl.create_default_context(cafile=authority)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            with server.wrap_socket(theirs, server_side=True):
                pass
        except ssl.SSLError:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(ours, server_hostname=host):
            return True
    except ssl.SSLCertVerificationError:
        return False
    finally:
        ours.close()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "made" / "tls"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "10.1.2.3", "My-Machine.example"])
def test_it_is_good_for_this_machine_and_the_host(folder: Path, host: str) -> None:
    made = own_certificate(folder, host=host)
    assert made.authority_file == folder / "authority.pem"
    for name in ("localhost", "127.0.0.1", host):
        assert names_trusted(made.context, made.authority_file, name)
    assert not names_trusted(made.context, made.authority_file, "other.example")


def test_it_is_used_again_while_it_is_good(folder: Path) -> None:
    own_certificate(folder, host="localhost")
    first = (folder / "authority.pem").read_bytes()
    own_certificate(folder, host="127.0.0.1")
    assert (folder / "authority.pem").read_bytes() == first
    own_certificate(folder, host="another.example")
    second = (folder / "authority.pem").read_bytes()
    assert second != first
    later = ManualClock(SYSTEM_CLOCK.now() + timedelta(days=84))
    own_certificate(folder, host="another.example", clock=later)
    assert (folder / "authority.pem").read_bytes() != second


@pytest.mark.parametrize("name", ["authority.pem", "server.pem"])
@pytest.mark.parametrize("damage", [b"", b"not PEM", None])
def test_what_is_damaged_is_made_anew(folder: Path, name: str, damage: bytes | None) -> None:
    own_certificate(folder, host="localhost")
    if damage is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(damage)
    made = own_certificate(folder, host="localhost")
    assert names_trusted(made.context, folder / "authority.pem", "localhost")


def test_the_key_is_its_owners_alone_and_not_committed(folder: Path) -> None:
    own_certificate(folder, host="localhost")
    assert (folder / "server.pem").stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE KEY" not in (folder / "authority.pem").read_bytes()
    assert (folder / ".gitignore").read_text() == "*\n"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"cannot store a certificate in .*file"):
        own_certificate(tmp_path / "file", host="localhost")


def test_a_host_that_no_certificate_can_name_is_refused(folder: Path) -> None:
    with pytest.raises(SettingsError, match="a certificate cannot be made for the host my_machine"):
        own_certificate(folder, host="my_machine")


def test_a_full_disk_leaves_no_cut_off_key_and_the_earlier_certificate_whole(folder: Path) -> None:
    with no_file_grows_beyond(100), pytest.raises(SettingsError, match="cannot store a certificate"):
        own_certificate(folder, host="localhost")
    assert [path.name for path in folder.iterdir()] == [".gitignore"]
    own_certificate(folder, host="localhost")
    earlier = {path.name: path.read_bytes() for path in folder.iterdir()}
    with no_file_grows_beyond(100), pytest.raises(SettingsError, match="cannot store a certificate"):
        own_certificate(folder, host="another.example")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == earlier


def test_a_missing_package_is_named_with_its_pip_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'truss-async\[cli\]'"):
        own_certificate(folder, host="localhost")


def test_a_given_certificate_is_used(folder: Path, tmp_path: Path) -> None:
    own_certificate(folder, host="localhost")
    together = folder / "server.pem"
    key, line, certificate = together.read_text().partition("-----BEGIN CERTIFICATE")
    (tmp_path / "cert.pem").write_text(line + certificate)
    (tmp_path / "key.pem").write_text(key)
    for given in (
        given_certificate(together, None),
        given_certificate(tmp_path / "cert.pem", tmp_path / "key.pem"),
    ):
        assert given.authority_file is None
        assert names_trusted(given.context, folder / "authority.pem", "localhost")


def test_a_given_certificate_of_no_use_is_explained(folder: Path, tmp_path: Path) -> None:
    own_certificate(folder, host="localhost")
    with pytest.raises(SettingsError, match=r"the file .*missing\.pem does not exist"):
        given_certificate(tmp_path / "missing.pem", None)
    with pytest.raises(SettingsError, match=r"the file .*missing\.key does not exist"):
        given_certificate(folder / "server.pem", tmp_path / "missing.key")
    with pytest.raises(SettingsError, match="it must be PEM, with its matching"):
        given_certificate(folder / "authority.pem", None)
    with pytest.raises(SettingsError, match=r"authority\.pem and .*server\.pem: it must be PEM"):
        given_certificate(folder / "authority.pem", folder / "server.pem")

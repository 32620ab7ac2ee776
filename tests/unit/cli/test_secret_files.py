"""Keys and webhook secrets out of files."""

import http.client
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.unit.cli.conftest import CommandLine
from tests.unit.client.scripted_platform import ScriptedPlatform
from truss_async.cli.secret_files import api_key_of, webhook_secrets_of
from truss_async.errors import SettingsError


@pytest.mark.parametrize(
    ("content", "secrets"),
    [
        (b"whsec_a", ("whsec_a",)),
        (b"whsec_a\nwhsec_b\n", ("whsec_a", "whsec_b")),
        (b"\xef\xbb\xbf# newest first\r\n whsec_a \r\n\r\n'whsec_b'\r\n", ("whsec_a", "whsec_b")),
    ],
)
def test_a_file_holds_a_secret_on_each_line(tmp_path: Path, content: bytes, secrets: tuple[str, ...]) -> None:
    (tmp_path / "secrets").write_bytes(content)
    assert webhook_secrets_of(tmp_path / "secrets") == secrets
    assert webhook_secrets_of(tmp_path / "secrets", given=("first",)) == ("first", *secrets)


def test_a_file_holds_the_one_key_and_goes_before_a_variable(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret-key\n")
    assert api_key_of(tmp_path / "key", given="other") == "secret-key"
    assert api_key_of(None, given="other") == "other"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "holds 0 lines"),
        (b"one\ntwo", "holds 2 lines"),
        (b"\xff", "is not UTF-8"),
        (b"a\x01b", "control character"),
    ],
)
def test_a_file_that_holds_no_key_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(SettingsError, match=reason) as caught:
        api_key_of(tmp_path / "key", given=None)
    assert str(tmp_path / "key") in str(caught.value)


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (("serve", "truss"), "--api-key-file"),
        (("serve", "truss"), "--webhook-secret-file"),
        (("listen", "--port", "0"), "--webhook-secret-file"),
        (("test-webhook", "http://127.0.0.1:9"), "--webhook-secret-file"),
        (("status", "f00"), "--api-key-file"),
    ],
)
def test_a_file_that_is_not_there_is_one_line(
    command_line: CommandLine, command: tuple[str, ...], option: str
) -> None:
    outcome = command_line.run(*command, option, "absent")
    assert (outcome.code, outcome.error_line) == (
        2,
        f"{option}: cannot read absent: No such file or directory",
    )


def test_the_harness_asks_for_the_key_of_its_file(
    platform: ScriptedPlatform, command_line: CommandLine
) -> None:
    (command_line.folder / "key").write_text("of-the-file\n")
    (command_line.folder / "secrets").write_text("whsec_of_the_file_of_secrets\n")
    command_line.set(TRUSS_ASYNC_WEBHOOK_SECRET_FILE="secrets")
    options = ["--port", "0", "--api-key-file", "key"]
    with command_line.started("serve", "--model-url", platform.url, *options) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
        answers = []
        for key in ("wrong", "of-the-file"):
            connection.request("GET", "/_harness/secrets", headers={"Authorization": f"Api-Key {key}"})
            answer = connection.getresponse()
            answers.append((answer.status, b"rets" in answer.read()))
        connection.close()
        assert [status for status, _ in answers] == [401, 200]
        listed = command_line.run("secrets", "list", "--url", url, "--api-key-file", "key")
    assert "given-1" in listed.stdout

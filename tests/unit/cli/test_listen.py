"""listen, as a process of its own that receives real signed webhooks."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import signal
import socket
import ssl
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.unit.endpoint.endpoints import answer, is_signed, serving
from truss_async.clock import SYSTEM_CLOCK
from truss_async.endpoint.certificates import own_certificate
from truss_async.stores import OutputStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import Popen

    from tests.unit.cli.conftest import CommandLine
    from truss_async.webhooks.http_server import Answer, Request

SECRET, OLD_SECRET = "whsec_new", "whsec_old"
REQUEST_ID = "ab" * 16


def make_body(request_id: str = REQUEST_ID, **fields: Any) -> bytes:
    content = {
        "request_id": request_id,
        "type": "async_request_completed",
        "time": SYSTEM_CLOCK.now().isoformat(),
        "data": {"text": "é"},
        "errors": [],
        **fields,
    }
    return json.dumps(content).encode()


def post(url: str, body: bytes, *, secret: str | None = SECRET, tls: ssl.SSLContext | None = None) -> int:
    headers = {"Content-Type": "application/json"}
    if secret is not None:
        headers["X-BASETEN-SIGNATURE"] = "v1=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    host = urlsplit(url).netloc
    connection = http.client.HTTPConnection(host, timeout=30)
    if tls is not None:
        connection = http.client.HTTPSConnection(host, timeout=30, context=tls)
    try:
        connection.request("POST", "/", body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


class Listening:
    """A running ``listen``."""

    def __init__(self, process: Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        self.stdout = process.stdout
        first = self.stdout.readline()
        self.url = json.loads(first)["url"] if first.startswith("{") else first.split()[-1]
        self.first_line = first.rstrip()

    def next_line(self) -> str:
        return self.stdout.readline().rstrip()

    def end(self) -> tuple[int, str]:
        _, stderr = self.process.communicate(timeout=60)
        return self.process.returncode, stderr


@contextmanager
def listening(command_line: CommandLine, *arguments: str) -> Iterator[Listening]:
    with command_line.started("listen", "--port", "0", *arguments) as process:
        yield Listening(process)


def test_a_signed_result_is_kept_and_told(command_line: CommandLine) -> None:
    with listening(command_line, "--webhook-secret", SECRET, "--exit-after", "1") as receiver:
        assert receiver.first_line == f"listening on {receiver.url}"
        body = make_body()
        assert post(receiver.url, body) == 200
        line = receiver.next_line()
        assert receiver.end() == (0, "")
    assert REQUEST_ID in line
    assert line.endswith(f"output, {len(body)} bytes, signature valid, kept in inbox/{REQUEST_ID}.json")
    assert (command_line.folder / "inbox" / f"{REQUEST_ID}.json").read_bytes() == body


def test_what_is_not_proven_is_refused_with_the_reason_and_not_kept(command_line: CommandLine) -> None:
    with listening(command_line, "--webhook-secret", SECRET) as receiver:
        assert post(receiver.url, make_body(), secret="whsec_wrong") == 401
        assert "  refused (401): the signature does not match" in receiver.next_line()
        assert post(receiver.url, make_body(), secret=None) == 401
        assert "is missing" in receiver.next_line()
        assert post(receiver.url, make_body(time="2024-01-01T00:00:00Z")) == 401
        assert "too old" in receiver.next_line()
        assert post(receiver.url, b"{}") == 400
        assert "not an async predict result" in receiver.next_line()
    assert list((command_line.folder / "inbox").iterdir()) == []


def test_a_result_that_comes_again_is_acknowledged_and_not_counted(command_line: CommandLine) -> None:
    arguments = ["--webhook-secret", SECRET, "--keep", "kept", "--exit-after", "2"]
    with listening(command_line, *arguments) as receiver:
        for _ in range(2):
            assert post(receiver.url, make_body()) == 200
        assert "kept in kept/" in receiver.next_line()
        assert receiver.next_line().endswith(f"again, kept already in kept/{REQUEST_ID}.json")
        assert post(receiver.url, make_body("cd" * 16)) == 200
        assert receiver.end()[0] == 0


@pytest.mark.parametrize("way", ["options", "plural", "singular"])
def test_every_secret_counts(command_line: CommandLine, way: str) -> None:
    arguments: list[str] = []
    if way == "options":
        arguments = ["--webhook-secret", SECRET, "--webhook-secret", OLD_SECRET]
    else:
        name = "TRUSS_ASYNC_WEBHOOK_SECRET" + "S" * (way == "plural")
        command_line.set(**{name: f"{SECRET}, {OLD_SECRET},"})
    with listening(command_line, *arguments) as receiver:
        assert post(receiver.url, make_body(), secret=OLD_SECRET) == 200
        assert post(receiver.url, make_body(), secret="whsec_other") == 401


@pytest.mark.parametrize("as_json", [False, True])
def test_outputs_are_printed_when_asked_for(command_line: CommandLine, as_json: bool) -> None:
    arguments = ["--print", "--exit-after", "1", *(["--json"] if as_json else [])]
    with listening(command_line, *arguments) as receiver:
        assert post(receiver.url, make_body(), secret=None) == 200
        line = receiver.next_line()
        output = json.loads(line)["output"] if as_json else json.loads(receiver.next_line())
        assert output == {"text": "é"}
        assert receiver.end()[0] == 0


def test_without_a_secret_it_says_that_nothing_is_checked(command_line: CommandLine) -> None:
    with listening(command_line, "--exit-after", "2") as receiver:
        assert post(receiver.url, make_body(), secret=None) == 200
        assert "signature unsigned" in receiver.next_line()
        assert post(receiver.url, make_body("../../escape\x1b[2J"), secret="any") == 200
        line = receiver.next_line()
        assert line.isprintable()
        assert "signature unchecked, kept in inbox/sha256-" in line
        assert receiver.end() == (0, "no --webhook-secret: signatures are not checked\n")
    assert not list(command_line.folder.glob("*.json"))


def test_without_a_secret_only_a_name_that_is_allowed_leads_in(command_line: CommandLine) -> None:
    with listening(command_line, "--allow-host", "tunnel.example") as receiver:
        for host, status in [("evil.example", 403), ("tunnel.example", 200)]:
            connection = http.client.HTTPConnection(urlsplit(receiver.url).netloc, timeout=30)
            connection.request("POST", "/", make_body(), {"Host": host})
            assert connection.getresponse().status == status
            connection.close()
        assert "refused (403): it calls this machine 'evil.example'" in receiver.next_line()
    assert [path.name for path in (command_line.folder / "inbox").iterdir()] == [f"{REQUEST_ID}.json"]


def test_an_allowed_host_that_would_allow_nothing_is_refused(command_line: CommandLine) -> None:
    ended = command_line.run("listen", "--allow-host", "https://tunnel.example")
    assert ended.code == 2
    assert "--allow-host: 'https://tunnel.example' is not a host name; give a name" in ended.stderr


def test_how_old_a_webhook_may_be_can_be_said(command_line: CommandLine) -> None:
    body = make_body(time=(SYSTEM_CLOCK.now() - timedelta(hours=1)).isoformat())
    with listening(command_line, "--webhook-secret", SECRET, "--tolerance", "4000") as receiver:
        assert post(receiver.url, body) == 200
    with listening(command_line, "--webhook-secret", SECRET, "--tolerance", "3000") as receiver:
        assert post(receiver.url, body) == 401


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_others_wrote_is_cut_and_escaped_before_it_is_shown(
    command_line: CommandLine, form: str
) -> None:
    errors = [{"code": "\x9b2J", "message": "\x1b[31m" + "x" * 2_000_000}]
    body = make_body("\u202e\x1b[2J" + "r" * 300_000, data=None, errors=errors)
    with listening(command_line, *(["--json"] if form == "json" else [])) as receiver:
        assert post(receiver.url, body, secret=None) == 200
        line = receiver.next_line()
    assert line.isprintable()
    assert len(line) < 30_000


def test_an_error_result_tells_its_errors(command_line: CommandLine) -> None:
    errors = [{"code": "MODEL_PREDICT_ERROR", "message": "Internal\nServer Error"}]
    with listening(command_line, "--webhook-secret", SECRET) as receiver:
        assert post(receiver.url, make_body(data=None, errors=errors)) == 200
        assert "failed with MODEL_PREDICT_ERROR: Internal Server Error, signature" in receiver.next_line()


def test_json_is_one_object_a_line(command_line: CommandLine) -> None:
    with listening(command_line, "--webhook-secret", SECRET, "--json", "--exit-after", "1") as receiver:
        assert json.loads(receiver.first_line) == {"event": "listening", "url": receiver.url}
        assert post(receiver.url, make_body(), secret="whsec_wrong") == 401
        refused = json.loads(receiver.next_line())
        assert post(receiver.url, make_body()) == 200
        accepted = json.loads(receiver.next_line())
        assert receiver.end() == (0, "")
    assert (refused["accepted"], refused["status_code"], refused["kept_in"]) == (False, 401, None)
    assert (accepted["accepted"], accepted["request_id"], accepted["verdict"]) == (True, REQUEST_ID, "valid")
    assert (command_line.folder / accepted["kept_in"]).is_file()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_quietly(command_line: CommandLine, number: signal.Signals) -> None:
    with listening(command_line, "--webhook-secret", SECRET) as receiver:
        receiver.process.send_signal(number)
        assert receiver.end() == (0, "")


def test_a_result_that_cannot_be_kept_is_not_acknowledged(command_line: CommandLine) -> None:
    folder = command_line.folder / "inbox"
    with listening(command_line, "--webhook-secret", SECRET) as receiver:
        folder.rmdir()
        folder.touch()
        assert post(receiver.url, make_body()) == 500
        folder.unlink()
        assert post(receiver.url, make_body()) == 200
        receiver.process.send_signal(signal.SIGTERM)
        code, stderr = receiver.end()
    assert code == 0
    assert stderr == (
        "truss-async: a webhook could not be handled: cannot store a result in inbox: File exists\n"
    )
    assert Path(folder, f"{REQUEST_ID}.json").is_file()


def test_a_port_in_use_is_one_line(command_line: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        outcome = command_line.run("listen", "--port", port)
    assert outcome.code == 1
    assert outcome.error_line.startswith(f"cannot listen on 127.0.0.1:{port}: ")
    assert outcome.error_line.endswith("choose another port (0 picks a free one)")


def test_it_forwards_and_answers_what_the_application_answers(command_line: CommandLine) -> None:
    answers = iter([500, 200, 200])
    requests: list[Request] = []

    def take(request: Request) -> Answer:
        requests.append(request)
        return answer(next(answers))

    with serving(take) as url:
        arguments = ["--webhook-secret", SECRET, "--forward", url, "--exit-after", "2"]
        with listening(command_line, *arguments) as receiver:
            body = make_body()
            assert post(receiver.url, body, secret="whsec_wrong") == 401
            assert "refused (401)" in receiver.next_line()
            assert post(receiver.url, body) == 500
            assert f"kept in inbox/{REQUEST_ID}.json, forwarded: 500 in " in receiver.next_line()
            assert post(receiver.url, body) == 200
            assert "again, kept already in inbox/" in (line := receiver.next_line())
            assert ", forwarded: 200 in " in line
            assert post(receiver.url, make_body("cd" * 16)) == 200
            assert receiver.end() == (0, "")
    assert [request.body for request in requests[:2]] == [body, body]
    assert is_signed(body, requests[0].headers["x-baseten-signature"])


def test_an_application_that_is_down_makes_the_sender_come_again(command_line: CommandLine) -> None:
    with serving(lambda request: answer(200)) as url:
        pass
    with listening(command_line, "--webhook-secret", SECRET, "--forward", url, "--json") as receiver:
        assert post(receiver.url, make_body()) == 502
        facts = json.loads(receiver.next_line())
    assert (facts["accepted"], facts["status_code"], facts["verdict"]) == (False, 502, "valid")
    assert (facts["forwarded"]["status_code"], "refused" in facts["forwarded"]["problem"]) == (None, True)
    assert (command_line.folder / facts["kept_in"]).is_file()


def test_an_output_store_keeps_what_arrives(command_line: CommandLine) -> None:
    url = (command_line.folder / "kept").as_uri()
    with listening(command_line, "--webhook-secret", SECRET, "--keep", url, "--exit-after", "2") as receiver:
        for _ in range(2):
            assert post(receiver.url, make_body()) == 200
        assert receiver.next_line().endswith(f"kept in {url}/{REQUEST_ID}.json")
        assert receiver.next_line().endswith(f"again, kept already in {url}/{REQUEST_ID}.json")
        assert post(receiver.url, make_body("../../escape")) == 200
        assert f"kept in {url}/sha256-" in receiver.next_line()
        assert receiver.end() == (0, "")
    assert OutputStore.from_url(url).get(REQUEST_ID).data == {"text": "é"}


def test_a_store_that_cannot_be_written_fails_at_once(command_line: CommandLine) -> None:
    (command_line.folder / "file").touch()
    outcome = command_line.run("listen", "--port", "0", "--keep", (command_line.folder / "file").as_uri())
    assert (outcome.code, outcome.error_line.startswith("cannot ")) == (1, True)


def test_https_with_a_certificate_of_its_own(command_line: CommandLine) -> None:
    with listening(command_line, "--webhook-secret", SECRET, "--tls", "--exit-after", "1") as receiver:
        assert receiver.url.startswith("https://127.0.0.1:")
        authority = command_line.folder / ".truss-async" / "tls" / "authority.pem"
        with socket.create_connection(("127.0.0.1", urlsplit(receiver.url).port or 0)) as slow:
            # Somebody who never says hello delays nobody else.
            assert post(receiver.url, make_body(), tls=ssl.create_default_context(cafile=authority)) == 200
            slow.close()
        code, stderr = receiver.end()
    assert code == 0
    assert stderr == (
        "to make the harness trust it, start it with: --webhook-ca .truss-async/tls/authority.pem\n"
    )


def test_https_with_a_given_certificate(command_line: CommandLine) -> None:
    made = own_certificate(command_line.folder / "made", host="127.0.0.1").authority_file
    arguments = ["--webhook-secret", SECRET, "--tls-cert", "made/server.pem", "--json"]
    with listening(command_line, *arguments) as receiver:
        assert json.loads(receiver.first_line) == {"event": "listening", "url": receiver.url}
        assert post(receiver.url, make_body(), tls=ssl.create_default_context(cafile=made)) == 200
        with pytest.raises((http.client.HTTPException, OSError)):
            post(receiver.url.replace("https", "http"), make_body())
        assert post(receiver.url, make_body(), tls=ssl.create_default_context(cafile=made)) == 200


def test_a_key_without_its_certificate_is_a_mistake(command_line: CommandLine) -> None:
    outcome = command_line.run("listen", "--port", "0", "--tls-key", "key.pem")
    assert (outcome.code, outcome.error_line) == (
        2,
        "--tls-key needs --tls-cert",
    )


def test_a_result_is_relayed_to_who_has_the_key(command_line: CommandLine) -> None:
    arguments = ["--webhook-secret", SECRET, "--relay", "--relay-key", "the-key", "--exit-after", "1"]
    with listening(command_line, *arguments) as receiver:
        host = urlsplit(receiver.url).netloc
        waiting = http.client.HTTPConnection(host, timeout=30)
        waiting.request("GET", f"/results/{REQUEST_ID}", headers={"Authorization": "Api-Key the-key"})
        answer = waiting.getresponse()
        assert (answer.status, answer.readline()) == (200, b"retry: 1000\n")
        body = make_body()
        assert post(receiver.url, body) == 200
        assert b"event: result\ndata: " + body + b"\n\n" in answer.read()
        waiting.close()
        assert receiver.end() == (0, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--relay-key", "k"], "--relay-key needs --relay"),
        (["--relay", "--host", "0.0.0.0"], "set a key with --relay-key"),  # noqa: S104
    ],
)
def test_a_relay_that_others_could_read_and_a_key_of_nothing_are_refused(
    command_line: CommandLine, arguments: list[str], said: str
) -> None:
    done = command_line.run("listen", "--port", "0", *arguments)
    assert done.code == 2
    assert said in done.stderr

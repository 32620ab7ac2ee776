"""What holds for every command: its help, its exit codes, pipes, colours, servers that are not there, keys, Ctrl-C."""

import io
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.unit.cli.conftest import CommandLine
from tests.unit.cli.parsed_commands import Command, commands, write_files
from truss_async.cli.running import run

ALL = list(commands())
CALLING = [each for each in ALL if "--url" in each.options]
WITHOUT_JSON = {"serve", "demo", "batch export", "completion"}
"""They print no facts: a log, a story for people, a file, a script."""
NOT_AT_ONCE = {"batch run", "batch retry", "redeliver"}
"""What calls until it succeeds, or is told to end; or needs a batch, or a result, first. They have tests of their own."""

each_command = pytest.mark.parametrize("command", ALL, ids=str)
each_caller = pytest.mark.parametrize(
    "command", [each for each in CALLING if str(each) not in NOT_AT_ONCE], ids=str
)


@pytest.fixture(autouse=True)
def new_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group, which lives as long as its module, keeps its console, and with it the width and what became of its reader."""
    for command in ALL:
        if len(command.path) > 1:
            monkeypatch.delitem(sys.modules, f"truss_async.cli.{command.path[0]}", raising=False)


@each_command
def test_help_fits_a_narrow_terminal_and_ends_with_an_example(
    command_line: CommandLine, command: Command
) -> None:
    command_line.set(COLUMNS="60")
    outcome = command_line.run(*command.path, "--help")
    assert (outcome.code, outcome.stderr) == (0, "")
    told, found, example = outcome.stdout.partition("\nExample:\n")
    assert found
    assert f"truss-async {command}" in example
    assert [line for line in told.splitlines() if len(line) > 60] == []
    assert not set("╭│─\x1b") & set(outcome.stdout)


@each_command
def test_no_colour_where_none_is_wanted(command_line: CommandLine, command: Command) -> None:
    command_line.set(NO_COLOR="1", FORCE_COLOR="1", TERM="xterm-256color")
    outcome = command_line.run(*command.path, "--help")
    assert re.findall(r"\x1b\[[0-9;]*3[0-9][0-9;]*m", outcome.stdout) == []


@each_command
def test_a_reader_that_has_enough_ends_it_without_a_word(
    command_line: CommandLine, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, write = os.pipe()
    os.close(read)
    with io.TextIOWrapper(os.fdopen(write, "wb"), write_through=True) as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        with suppress(SystemExit):  # as rich ends it
            assert run([*command.path, "--help"]) == 141
        monkeypatch.undo()
    assert command_line.capture.readouterr() == ("", "")


@each_command
def test_what_it_does_not_know_is_one_line(command_line: CommandLine, command: Command) -> None:
    outcome = command_line.run(*command.call(), "--no-such-option")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.error_line.startswith("Unknown option: --no-such-option.")


@each_command
def test_it_prints_json_for_scripts(command: Command) -> None:
    assert ("--json" in command.options) is (str(command) not in WITHOUT_JSON)


@each_caller
def test_no_server_is_one_line_with_the_remedy(command_line: CommandLine, command: Command) -> None:
    write_files(command_line.folder)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    outcome = command_line.run(*command.call(), "--url", url)
    assert (outcome.code, outcome.stdout) == (1, "")
    assert outcome.error_line == f"nothing listens on {url}; start it with: truss-async serve TRUSS_DIR"


@each_caller
def test_a_wrong_key_is_one_line_with_the_remedy(command_line: CommandLine, command: Command) -> None:
    write_files(command_line.folder)
    with answering(
        b'HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 21\r\n\r\n{"error":"wrong key"}'
    ) as url:
        outcome = command_line.run(*command.call(), "--url", url, "--api-key", "wrong")
    assert (outcome.code, outcome.stdout) == (1, "")
    assert "refused the API key (401: wrong key); check TRUSS_ASYNC_API_KEY" in outcome.error_line
    assert url in outcome.error_line


@each_caller
def test_ctrl_c_ends_it_with_one_line(command_line: CommandLine, command: Command) -> None:
    write_files(command_line.folder)
    with answering(None) as url:
        outcome = command_line.run(*command.call(), "--url", url)
    assert (outcome.code, outcome.stdout) == (130, "")
    assert outcome.error_line.startswith("interrupted")


@contextmanager
def answering(answer: bytes | None) -> Iterator[str]:
    """A server that gives this answer to all; None: it says nothing, and this process gets Ctrl-C instead."""
    is_over = threading.Event()

    def serve() -> None:
        while not is_over.is_set():
            with suppress(OSError):
                connection, _ = server.accept()
                taken.append(connection)
                connection.settimeout(10)
                connection.recv(1 << 16)
                if answer is None:
                    signal.pthread_kill(main.ident or 0, signal.SIGINT)
                else:
                    connection.sendall(answer)
                    connection.close()

    main = threading.main_thread()
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            is_over.set()
            thread.join()
            for connection in taken:
                connection.close()

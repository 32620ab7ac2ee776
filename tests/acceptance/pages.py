"""A page of the documentation, followed as a reader follows it: each block pasted where it belongs, in the page's order.

- ``sh`` is typed into one terminal. ``<!-- terminal: listening on -->`` above a block opens another one for it, and the
  reader goes on once that has been printed there. ``<!-- tried: listening on -->``: each line of the block is a command of
  that kind, left by Ctrl-C before the next line is typed.
- A block with a title is saved as the file of that name; other Python is run; ``yaml``, ``json`` and ``toml`` are parsed.
- ``text`` is what the block above it prints; ``…`` stands for anything.
- ``<!-- not run: why -->`` stands above what would need an account, say.
- ``<!-- test: NAME -->`` stands above what a test of its own runs, in the module that ``OWN_TESTS`` of test_site.py names.
- ``<!-- given: COMMAND -->``, on a line of its own, is what the reader has done before: made a truss, say. With
  ``<!-- given, listening on: COMMAND -->`` it runs beside the page in a terminal of its own.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.acceptance.serving import START_SECONDS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_BLOCK = re.compile(
    r"^<!-- given(?:, (?P<until>[^:\n]+))?: (?P<given>[^\n]+) -->$"
    r"|(?:^<!-- (?P<mark>terminal|tried|not run): (?P<said>[^\n]+) -->\n)?"
    r"(?:^<!-- test: (?P<test>\w+) -->\n)?"
    r"^```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?[^\n]*\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_PORTS = {
    "8090": "TRUSS_ASYNC_PORT",
    "8091": None,
    "8092": None,
    "8099": "TRUSS_ASYNC_LISTEN_PORT",
    "8000": None,
}
"""The ports that pages name, and the variables that give the commands others."""
_PARSERS: dict[str, Callable[[str], Any]] = {
    "yaml": yaml.safe_load,
    "json": json.loads,
    "toml": tomllib.loads,
}


@dataclass(frozen=True)
class Block:
    """One block of a page, with what the comments above it say of it."""

    language: str
    title: str | None
    mark: str | None
    said: str | None
    text: str
    test: str | None = None

    @property
    def is_followed(self) -> bool:
        """Whether the reader does it, rather than a test of its own, or nobody."""
        return self.mark != "not run" and (self.test is None or self.mark is not None)


def blocks(page: str) -> list[Block]:
    """The page's blocks, in order; what is given is a block, too, of ``sh``."""
    return [_block(each) for each in _BLOCK.finditer(page)]


def _block(found: re.Match[str]) -> Block:
    if found["given"] is not None:
        mark = None if found["until"] is None else "terminal"
        return Block("sh", None, mark, found["until"], found["given"] + "\n")
    return Block(
        found["language"], found["title"], found["mark"], found["said"], found["text"], found["test"]
    )


class Reader:
    """Follows a page in a folder of its own; leaving the block closes the terminals."""

    def __init__(self, folder: Path, *, environment: Mapping[str, str] | None = None) -> None:
        """``environment`` is the reader's own besides: the credentials of a bucket, say."""
        self._folder = folder
        self._printed = ""
        self._is_printed = False
        self._free = {port: str(_free_port()) for port in _PORTS}
        variables = {name: self._free[port] for port, name in _PORTS.items() if name is not None}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        url = f"http://127.0.0.1:{self._free['8090']}"
        self._environment = {
            **os.environ, **variables, "PATH": path, "TRUSS_ASYNC_URL": url, "NO_COLOR": "1", **(environment or {}),
        }  # fmt: skip
        self._shell = folder.parent / "shell"
        self._shell.write_text(f"cd '{folder}'\n")
        self._terminals = ExitStack()

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self._terminals.close()

    def follow(self, block: Block) -> None:
        """Do what the reader would; AssertionError where it does not end as the page has it."""
        text = re.sub("|".join(self._free), lambda port: self._free[port[0]], block.text)
        if block.language == "text":
            if block.is_followed and self._is_printed:
                _compare(self._printed, text)
        elif not block.is_followed:
            self._is_printed = False
        elif block.title is not None:
            file = self._folder / block.title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        elif block.language in _PARSERS:
            _PARSERS[block.language](text)
        elif block.mark in ("terminal", "tried"):
            self._open(text, block)
        elif block.language in ("sh", "python"):
            self._run(text if block.language == "sh" else f"python - <<'PYTHON'\n{text}PYTHON\n")

    def _open(self, text: str, block: Block) -> None:
        """In another terminal, or in one for each line, closed before the next."""
        assert block.said is not None
        if block.mark == "terminal":
            terminal = _Terminal(self._script(text), self._environment, until=block.said)
            self._printed = self._terminals.enter_context(terminal).printed
            self._is_printed = True
            return
        for line in text.splitlines():
            with _Terminal(self._script(f"{line}\n"), self._environment, until=block.said):
                pass

    def _run(self, text: str) -> None:
        done = subprocess.run(
            ["bash", "-c", self._script(text) + f"{{ export -p; echo cd \"'$PWD'\"; }} > {self._shell}\n"],
            env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=170,
        )  # fmt: skip
        assert done.returncode == 0, f"exit {done.returncode}: {text}\n{done.stdout}"
        self._printed = done.stdout
        self._is_printed = True

    def _script(self, text: str) -> str:
        return f". {self._shell}\nset -e\n{text}"


class _Terminal:
    """A command that goes on beside the others, until it is left by Ctrl-C."""

    def __init__(self, script: str, environment: dict[str, str], *, until: str) -> None:
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._process = subprocess.Popen(
            ["bash", "-c", script], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        with self._changed:
            said = self._changed.wait_for(lambda: until in "".join(self._lines), START_SECONDS)
        if not said:
            self.__exit__()
            raise AssertionError(f"not said: {until!r}\n{script}\n{''.join(self._lines)}")

    @property
    def printed(self) -> str:
        """All that it has printed."""
        with self._changed:
            return "".join(self._lines)

    def __enter__(self) -> "_Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)
        self._process.wait(30)
        self._reader.join(10)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()


def _compare(printed: str, told: str) -> None:
    """Each told line, in this order, is among what was printed; AssertionError names the one that is not."""
    rest = printed
    for line in told.splitlines():
        pattern = ".*".join(re.escape(part.strip()) for part in line.split("…"))
        found = re.search(pattern, rest) if pattern.strip(".*") else re.match("", rest)
        assert found is not None, f"not printed: {line!r}\nbut:\n{printed}"
        rest = rest[found.end() :]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])

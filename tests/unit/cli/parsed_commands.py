"""All commands, as the parser knows them: what is added there is tested with the rest."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cyclopts.argument import Argument

from truss_async.cli.app import COMMANDS, make_app, select_command

WORDS = {
    "INPUT": "1",
    "REQUEST_ID": "ab" * 16,
    "FILE": "faults.toml",
    "TIME": "1s",
    "ACTION": "list",
    "URL": "http://127.0.0.1:1",
    "LEDGER": "batch.ledger",
    "IDS": "ids.txt",
    "TRUSS_DIR": "truss",
    "--store": "memory://x",
    "--out": "out.jsonl",
    "--into": "memory://table",
}
"""What may be given where a command needs something; what a new command needs belongs here."""


@dataclass(frozen=True)
class Command:
    """A command that does something: its words, and what it takes."""

    path: tuple[str, ...]
    arguments: tuple[Argument, ...]

    def __str__(self) -> str:
        return " ".join(self.path)

    @property
    def options(self) -> list[str]:
        """The long names of its options."""
        return [name for each in self.arguments for name in each.names if name.startswith("--")]

    def call(self) -> list[str]:
        """The shortest call that has all it needs."""
        words = list(self.path)
        for each in self.arguments:
            name = each.name if each.names else ""
            if name in WORDS and (each.required or name in ("INPUT", "--store", "REQUEST_ID")):
                words += [name, WORDS[name]] if name.startswith("--") else [WORDS[name]]
        return words


def commands() -> Iterator[Command]:
    """Every command, those of groups included."""
    for name in COMMANDS:
        yield from _below((name,))


def _below(path: tuple[str, ...]) -> Iterator[Command]:
    command = make_app()
    select_command(command, path)
    for name in path:
        command = command[name]
    if command.default_command is not None:
        yield Command(path, tuple(command.assemble_argument_collection(parse_docstring=True)))
    for inner in command:
        if not inner.startswith("-"):
            yield from _below((*path, inner))


def write_files(folder: Path) -> None:
    """The files that the words name."""
    (folder / "faults.toml").write_text('[[fault]]\nkind = "model_500"\n')
    (folder / "ids.txt").write_text(f"{'ab' * 16}\n")

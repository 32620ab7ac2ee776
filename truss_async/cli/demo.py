"""``truss-async demo``"""

import signal
import sys
from pathlib import Path
from typing import Annotated

from ..harness.settings import HarnessSettings
from ..printable import printable
from .options import option, own_option


def demo(
    *,
    truss: Annotated[
        Path, own_option("truss", "Truss that reads page images, with samples in its pages/ folder.")
    ] = Path("example_truss"),
    output: Annotated[
        Path, own_option("demo_output", "Folder for the annotated pages and the results.")
    ] = Path("demo-output"),
    cache_dir: Annotated[Path | None, option(HarnessSettings, "cache_dir")] = None,
    nodes: Annotated[
        int | None,
        own_option(
            "demo_nodes",
            "Instead of reading pages: start this many nodes on one PostgreSQL database, kill one of them, and check "
            "that nothing is lost. The nodes serve a stub.",
        ),
    ] = None,
) -> int:
    """Run real async inference end to end on this machine, and check every step.

    Starts an S3 server, the harness and a webhook receiver; submits pages with mixed priorities; verifies each
    webhook, reads each output back from the bucket, and prints a table. Fails if any check fails. Stops everything
    that it started.

    Example:
        truss-async demo --output demo-output
        truss-async demo --nodes 3
    """
    from ..demo.run import run_demo
    from ..demo.several import run_nodes_demo

    # SIGTERM ends it as Ctrl-C does: everything is stopped in order.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if nodes is None:
        problems = run_demo(truss, output_dir=output, cache_dir=cache_dir)
    else:
        problems = run_nodes_demo(nodes)
    for problem in problems:
        print(f"truss-async: {printable(problem)}", file=sys.stderr)
    return 1 if problems else 0

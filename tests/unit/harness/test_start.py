"""What a start need not load, it does not: the first request is accepted the sooner."""

import subprocess
import sys

FOR_OTHERS = (
    "truss",
    "truss_async.client",
    "truss_async.replicas.truss_replica",
    "truss_async.shipping",
    "truss_async.stores.output_store",
    "yaml",
)


def test_serving_a_model_url_loads_nothing_that_only_trusses_or_clients_need() -> None:
    script = (
        "import sys, truss_async.cli.running, truss_async.cli.serve, truss_async.harness.harness; "
        f"print(*(name for name in {FOR_OTHERS!r} if name in sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == []

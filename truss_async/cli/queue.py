"""``truss-async queue``: what waits, and whether it goes on."""

from cyclopts import App

from ..contract.harness_calls import QueueState
from .connection import HARNESS_HERE, Connection
from .options import AsJson, print_json

queue = App(name="queue", help_epilogue="Example:\n    truss-async queue\n    truss-async queue pause")


@queue.default
def show_queue(*, connection: Connection = HARNESS_HERE, as_json: AsJson = False) -> None:
    """Show what waits and runs of each deployment.

    Example:
        truss-async queue
        truss-async queue pause
    """
    with connection.to_harness() as client:
        _print(client.queue(), as_json=as_json)


@queue.command(name="pause")
def pause_queue(*, connection: Connection = HARNESS_HERE, as_json: AsJson = False) -> None:
    """Let requests wait: they are accepted, and none is begun. What runs, runs on.

    Example:
        truss-async queue pause
    """
    with connection.to_harness() as client:
        _print(client.pause_queue(), as_json=as_json)


@queue.command(name="resume")
def resume_queue(*, connection: Connection = HARNESS_HERE, as_json: AsJson = False) -> None:
    """Let requests run again.

    Example:
        truss-async queue resume
    """
    with connection.to_harness() as client:
        _print(client.resume_queue(), as_json=as_json)


def _print(state: QueueState, *, as_json: bool) -> None:
    if as_json:
        print_json(state.model_dump_json())
        return
    if state.is_paused:
        print("the queue is paused; go on with: truss-async queue resume")
    print(f"{'deployment':<24}  {'queued':>8}  {'running':>8}  model")
    for each in state.deployments:
        print(f"{each.deployment_id:<24}  {each.queued:>8}  {each.in_progress:>8}  {each.model}")

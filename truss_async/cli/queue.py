"""``truss-async queue``: what waits, and whether it goes on."""

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App

from ..contract.harness_calls import BulkAction, BulkDone, QueueState
from .connection import HARNESS_HERE, Connection
from .options import AsJson, own_option, print_json

if TYPE_CHECKING:
    from ..client import HarnessClient

queue = App(name="queue", help_epilogue="Example:\n    truss-async queue\n    truss-async queue pause")


@queue.default
def show_queue(*, connection: Connection = HARNESS_HERE, as_json: AsJson = False) -> None:
    """Show the queued and running requests of each deployment.

    Example:
        truss-async queue
        truss-async queue pause
    """
    with connection.to_harness() as client:
        _print(client.queue(), as_json=as_json)


@queue.command(name="pause")
def pause_queue(*, connection: Connection = HARNESS_HERE, as_json: AsJson = False) -> None:
    """Pause the queue. Requests are still accepted but not started; running ones finish.

    Example:
        truss-async queue pause
    """
    with connection.to_harness() as client:
        _print(client.pause_queue(), as_json=as_json)


@queue.command(name="resume")
def resume_queue(*, connection: Connection = HARNESS_HERE, as_json: AsJson = False) -> None:
    """Resume the queue.

    Example:
        truss-async queue resume
    """
    with connection.to_harness() as client:
        _print(client.resume_queue(), as_json=as_json)


@queue.command(name="cancel")
def cancel_queued(
    *,
    deployment: Annotated[
        str | None, own_option("queue_cancel_deployment", "Only requests of this deployment id.")
    ] = None,
    priority: Annotated[
        Literal[0, 1, 2] | None, own_option("queue_cancel_priority", "Only requests with this priority.")
    ] = None,
    since: Annotated[
        str | None,
        own_option("queue_cancel_since", "Only requests accepted since then: an age such as 30m, 12h or 7d."),
    ] = None,
    connection: Connection = HARNESS_HERE,
    as_json: AsJson = False,
) -> None:
    """Cancel all queued requests, or those that match. Running requests and new ones are not affected.

    They are cancelled 10,000 at a time; requests are accepted meanwhile, and Ctrl-C ends it.

    Example:
        truss-async queue cancel
        truss-async queue cancel --priority 2 --since 1h
    """
    asked = BulkAction(action="cancel", deployment=deployment, priority=priority, since=since)
    with connection.to_harness() as client:
        done = _cancel_all(client, asked)
    if as_json:
        print_json(done.model_dump_json())
        return
    print(f"canceled {done.done:,} of {done.found:,} that were queued")
    if done.has_more:
        print("more remain: run the command again")


def _cancel_all(client: "HarnessClient", asked: BulkAction) -> BulkDone:
    """Call by call, until no more are left of those that were queued at first, or none is cancelled any more."""
    total = last = client.act_on_all(asked)
    rest = asked.model_copy(update={"accepted_until": total.at})
    while last.has_more and last.done:
        last = client.act_on_all(rest)
        told = {"found": total.found + last.found, "done": total.done + last.done, "has_more": last.has_more}
        total = total.model_copy(update={**told, "problem": last.problem})
    return total


def _print(state: QueueState, *, as_json: bool) -> None:
    if as_json:
        print_json(state.model_dump_json())
        return
    if state.is_paused:
        print("the queue is paused; to resume it: truss-async queue resume")
    print(f"{'deployment':<24}  {'queued':>8}  {'running':>8}  model")
    for each in state.deployments:
        print(f"{each.deployment_id:<24}  {each.queued:>8}  {each.in_progress:>8}  {each.model}")
    if (oldest := state.oldest_open) is not None:
        print(
            f"\noldest open request: {oldest.request_id}, {oldest.status.value}, for {oldest.age_seconds:,.0f} s"
        )
    if used := [f"{each.used:,} of {each.limit:,} {each.what}" for each in state.limits if each.used]:
        print(f"limits used: {', '.join(used)}")

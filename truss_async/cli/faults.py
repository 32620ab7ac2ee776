"""``truss-async faults``: what is to go wrong."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from ..client.refusals import one_line
from ..contract.faults import SetFault, SetFaults
from .connection import HARNESS_HERE, Connection
from .options import AsJson, print_json

faults = App(name="faults", help_epilogue="Example:\n    truss-async faults add faults.toml")


@faults.command(name="list")
def list_faults(*, connection: Connection = HARNESS_HERE, as_json: AsJson = False) -> None:
    """List the current faults and how often each was injected.

    Example:
        truss-async faults list
    """
    with connection.to_harness() as client:
        _print(client.faults(), as_json=as_json)


@faults.command(name="add")
def add_faults(
    file: Annotated[
        Path,
        Parameter(name="FILE", help="TOML file with a [[fault]] table for each fault; see docs/faults.md."),
    ],
    /,
    *,
    connection: Connection = HARNESS_HERE,
    as_json: AsJson = False,
) -> None:
    """Add the faults in a file to the current ones.

    Example:
        truss-async faults add faults.toml
    """
    from ..harness.faults import read_faults

    rules = read_faults(file)
    with connection.to_harness() as client:
        _print([client.add_fault(rule) for rule in rules], as_json=as_json)


@faults.command(name="clear")
def clear_faults(*, connection: Connection = HARNESS_HERE, as_json: AsJson = False) -> None:
    """Remove all faults.

    Example:
        truss-async faults clear
    """
    with connection.to_harness() as client:
        client.clear_faults()
    if as_json:
        print_json(SetFaults(faults=[]).model_dump_json())
    else:
        print("all faults removed")


def _print(found: Sequence[SetFault], *, as_json: bool) -> None:
    if as_json:
        print_json(SetFaults(faults=list(found)).model_dump_json(exclude_none=True))
        return
    if not found:
        print("no faults")
    for each in found:
        rule = each.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        shown = {name: value for name, value in rule.items() if name not in ("id", "kind", "struck")}
        terms = ", ".join(f"{name} {value}" for name, value in shown.items())
        print(one_line(f"{each.id:>4}  {each.kind.value:<24}  struck {each.struck} times  {terms}").rstrip())

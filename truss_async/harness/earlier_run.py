"""What earlier runs, or other nodes, left: what each deployment id belongs to, and what becomes of its requests.

A request runs on nothing but what it was accepted for, so another truss under the same id is not served while one waits there,
unless asked to.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from ..errors import HarnessError

if TYPE_CHECKING:
    from ..replicas.settings import DeploymentSettings
    from .documents import Document


class Subject(BaseModel):
    """What a deployment id stands for: the model or chain by its name, and where it comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    served: str
    source: str


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid")

    deployments: dict[str, Subject] = {}


@dataclass(frozen=True)
class Place:
    """Where it is noted what deployments are: in ``document``, beside their requests, which are in ``name``.

    Of a ``project`` that the state folder lies in, folders are noted by where they lie there, for it may be moved. Where
    several machines share the place (None), each has its folders elsewhere: only the names of models are compared.
    """

    document: Document
    name: str
    project: Path | None

    @property
    def is_shared(self) -> bool:
        return self.project is None


def settle_subjects(
    place: Place,
    deployments: Collection[DeploymentSettings],
    *,
    open_requests: Mapping[str, int],
    adopt: bool,
    report: Callable[[str], None],
) -> None:
    """Note there what each deployment is, from now on; with ``adopt``, also of an id that was something else.

    ``open_requests`` is how many are queued or in progress, by deployment id; of those that go on, and of those that are for
    what is not served, a line is reported.

    Raises:
        HarnessError: an id has requests for something else, or it cannot be read or written there.
    """
    lines: list[str | None] = []

    def settled(content: bytes | None) -> bytes:
        kept = _parsed(content, place).deployments
        lines[:] = [_claimed(each, kept, place, open_requests, adopt=adopt) for each in deployments]
        if not place.is_shared:  # others may serve the rest
            served = {each.deployment_id for each in deployments}
            lines.extend(_not_served(kept, open_requests, served=served, place=place))
        now = {each.deployment_id: _subject(each, place) for each in deployments}
        return _Kept(deployments={**kept, **now}).model_dump_json(indent=2).encode()

    place.document.change(settled)
    for line in filter(None, lines):
        report(line)


def _claimed(
    deployment: DeploymentSettings,
    kept: Mapping[str, Subject],
    place: Place,
    open_requests: Mapping[str, int],
    *,
    adopt: bool,
) -> str | None:
    """What is to be said of a deployment's requests."""
    name, now = deployment.deployment_id, _subject(deployment, place)
    before, count = kept.get(name), open_requests.get(name, 0)
    if not count:
        return None
    if before == now and place.is_shared:
        return f"{_requests(count)} {_are(count)} not over: nodes that serve {name} share them"
    if before == now:
        return f"{_requests(count)} of an earlier run {_go(count)} on"
    owner = "something that an earlier version did not note" if before is None else _words(before, place)
    if adopt:
        return f"{_requests(count)} of an earlier run, for {owner}, {_go(count)} on with {_words(now, place)}"
    raise HarnessError(
        f"the id {name} in {place.name} belongs to {owner}, with {_requests(count)} not over: "
        f"serve {_words(now, place)} under another id with --model-id, or run on it what is there with --adopt"
    )


def _not_served(
    kept: Mapping[str, Subject], open_requests: Mapping[str, int], *, served: Collection[str], place: Place
) -> list[str]:
    lines = []
    for name, count in open_requests.items():
        if name in served:
            continue
        subject = kept.get(name)
        remedy = f"--deployment-id {name} --adopt runs them on what is served then"
        what = f"the deployment {name}"
        if subject is not None:
            what, remedy = f"{what}, {_words(subject, place)}", "serve that to run them"
        lines.append(
            f"{_requests(count)} of an earlier run {_are(count)} for {what}, which is not served: they wait, or expire; {remedy}"
        )
    return lines


def _subject(deployment: DeploymentSettings, place: Place) -> Subject:
    if place.project is None:
        return Subject(served=deployment.served, source="")
    source = Path(deployment.known_by)
    if source.is_absolute() and source.is_relative_to(place.project):
        return Subject(served=deployment.served, source=f"./{source.relative_to(place.project)}")
    return Subject(served=deployment.served, source=deployment.known_by)


def _words(subject: Subject, place: Place) -> str:
    source = subject.source
    if not source:
        return f"the {subject.served}"
    if source.startswith("./") and place.project is not None:
        source = str(place.project / source)
    return f"the {subject.served} from {source}"


def _requests(count: int) -> str:
    return "1 request" if count == 1 else f"{count} requests"


def _go(count: int) -> str:
    return "goes" if count == 1 else "go"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _parsed(content: bytes | None, place: Place) -> _Kept:
    try:
        return _Kept() if content is None else _Kept.model_validate_json(content)
    except ValidationError:
        raise HarnessError(
            f"{place.document} does not say what the requests beside it are for: move it away; --adopt then runs them"
        ) from None

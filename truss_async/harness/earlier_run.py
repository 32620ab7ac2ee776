"""What earlier runs left in a state folder: what each deployment id belongs to, and what becomes of its requests.

A request runs on nothing but what it was accepted for, so another truss under the same id is not served while one waits there,
unless asked to.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from ..errors import HarnessError
from ..whole_files import write_whole

if TYPE_CHECKING:
    from ..replicas.settings import DeploymentSettings

_OWNER_ONLY: Final = 0o600


class Subject(BaseModel):
    """What a deployment id stands for: the model or chain by its name, and where it comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    served: str
    source: str


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid")

    deployments: dict[str, Subject] = {}


def settle_subjects(
    file: Path,
    deployments: Collection[DeploymentSettings],
    *,
    open_requests: Mapping[str, int],
    adopt: bool,
    report: Callable[[str], None],
) -> None:
    """Note in the file what each deployment is, from now on; with ``adopt``, also of an id that was something else.

    ``open_requests`` is how many are queued or in progress, by deployment id; of those that go on, and of those that are for
    what is not served, a line is reported.

    Raises:
        HarnessError: an id has requests for something else, or the file cannot be read or written.
    """
    kept = _read(file)
    lines = [
        *(
            _claimed(each, kept.deployments, file=file, open_requests=open_requests, adopt=adopt)
            for each in deployments
        ),
        *_not_served(
            kept.deployments, open_requests, served={each.deployment_id for each in deployments}, file=file
        ),
    ]
    now = {each.deployment_id: _subject(each, file=file) for each in deployments}
    if kept.deployments != (merged := {**kept.deployments, **now}):
        _write(file, _Kept(deployments=merged))
    for line in filter(None, lines):
        report(line)


def _claimed(
    deployment: DeploymentSettings,
    kept: Mapping[str, Subject],
    *,
    file: Path,
    open_requests: Mapping[str, int],
    adopt: bool,
) -> str | None:
    """What is to be said of a deployment's requests."""
    name, now = deployment.deployment_id, _subject(deployment, file=file)
    before, count = kept.get(name), open_requests.get(name, 0)
    if not count:
        return None
    if before == now:
        return f"{_requests(count)} of an earlier run {_go(count)} on"
    owner = "something that an earlier version did not note" if before is None else _words(before, file=file)
    if adopt:
        return f"{_requests(count)} of an earlier run, for {owner}, {_go(count)} on with {_words(now, file=file)}"
    raise HarnessError(
        f"the id {name} in {file.parent} belongs to {owner}, with {_requests(count)} not over: "
        f"serve {_words(now, file=file)} under another id with --model-id, or run on it what is there with --adopt"
    )


def _not_served(
    kept: Mapping[str, Subject], open_requests: Mapping[str, int], *, served: Collection[str], file: Path
) -> list[str]:
    lines = []
    for name, count in open_requests.items():
        if name in served:
            continue
        subject = kept.get(name)
        remedy = f"--deployment-id {name} --adopt runs them on what is served then"
        what = f"the deployment {name}"
        if subject is not None:
            what, remedy = f"{what}, {_words(subject, file=file)}", "serve that to run them"
        lines.append(
            f"{_requests(count)} of an earlier run {_are(count)} for {what}, which is not served: they wait, or expire; {remedy}"
        )
    return lines


def _subject(deployment: DeploymentSettings, *, file: Path) -> Subject:
    """What lies in the project that the state folder is in, by where it lies there: a project may be moved."""
    source = Path(deployment.known_by)
    project = file.parent.parent.resolve()
    if source.is_absolute() and source.is_relative_to(project):
        return Subject(served=deployment.served, source=f"./{source.relative_to(project)}")
    return Subject(served=deployment.served, source=deployment.known_by)


def _words(subject: Subject, *, file: Path) -> str:
    source = subject.source
    if source.startswith("./"):
        source = str(file.parent.parent.resolve() / source)
    return f"the {subject.served} from {source}"


def _requests(count: int) -> str:
    return "1 request" if count == 1 else f"{count} requests"


def _go(count: int) -> str:
    return "goes" if count == 1 else "go"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _read(file: Path) -> _Kept:
    try:
        return _Kept.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return _Kept()
    except OSError as error:
        raise HarnessError(f"cannot read {file}: {error.strerror}") from error
    except ValidationError:
        raise HarnessError(
            f"{file} does not say what the requests beside it are for: move it away; --adopt then runs them"
        ) from None


def _write(file: Path, kept: _Kept) -> None:
    try:
        write_whole(file, kept.model_dump_json(indent=2).encode(), mode=_OWNER_ONLY)
    except OSError as error:
        raise HarnessError(f"cannot write {file}: {error.strerror}") from error

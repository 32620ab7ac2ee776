"""The replicas that the settings ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import HarnessError
from .url_replica import UrlReplica

if TYPE_CHECKING:
    from .host import ReplicaHost
    from .in_process import InProcessReplica
    from .protocol import Replica
    from .settings import DeploymentSettings
    from .truss_replica import ProcessReplica


def make_replicas(
    settings: DeploymentSettings, host: ReplicaHost, *, prefix: str = ""
) -> tuple[Sequence[Replica], int]:
    """Return the replicas, not yet started, and the concurrency of each; their names begin with ``prefix``.

    Raises:
        HarnessError: the truss cannot be served at all.
    """
    names = [f"{prefix}replica-{number}" for number in range(1, settings.replicas + 1)]
    if settings.stub is not None:
        return _stubs(settings, host, names)
    if settings.truss_dir is not None:
        return _of_truss(settings, host, names=names)
    if settings.model_url is not None:
        url = str(settings.model_url)
        made = [UrlReplica(name, url, http=host.http, clock=host.clock, report=host.report) for name in names]
        return made, settings.predict_concurrency
    if settings.model is not None:
        concurrency = settings.predict_concurrency
        return _in_process(settings, host, names, model=settings.model, concurrency=concurrency), concurrency
    raise HarnessError("nothing to serve; give a truss folder, a model URL, a stub or a model")


def _of_truss(
    settings: DeploymentSettings, host: ReplicaHost, *, names: Sequence[str]
) -> tuple[Sequence[Replica], int]:
    made, concurrency = truss_replicas(settings, host, names=names)
    if not settings.reload:
        return made, concurrency
    from .reloading import ReloadingReplica

    spares, _ = truss_replicas(settings, host, names=names, folder_suffix="-spare")
    return [
        ReloadingReplica(*both, report=host.report) for both in zip(made, spares, strict=True)
    ], concurrency


def truss_replicas(
    settings: DeploymentSettings, host: ReplicaHost, *, names: Sequence[str], folder_suffix: str = ""
) -> tuple[Sequence[ProcessReplica], int]:
    """Those of a truss folder, as ``make_replicas`` makes them."""
    # What runs a truss takes a while to load, and nothing else needs it.
    from .chains import ChainletSettings
    from .interpreter_search import check_python
    from .truss_folder import read_truss_folder
    from .truss_replica import ProcessReplica, TrussRuns

    if settings.truss_dir is None:
        raise HarnessError("no truss to serve; give a truss folder")
    check_python(settings.python)
    wiring = settings.wiring if isinstance(settings, ChainletSettings) else None
    try:
        folder = read_truss_folder(settings.truss_dir)
    except HarnessError as error:
        raise (error if wiring is None else _not_in_a_chain(error, settings)) from None
    runs = TrussRuns(folder.path, settings, host, wiring)
    workdir = (host.workdir / settings.deployment_id).resolve()
    made = [ProcessReplica(name, runs, workdir=workdir / f"{name}{folder_suffix}") for name in names]
    return made, folder.predict_concurrency


def _not_in_a_chain(error: HarnessError, settings: DeploymentSettings) -> HarnessError:
    """The error of a chainlet: its truss was made in a folder that says nothing, and the options for one model are not its own."""
    told = str(error).replace(str(settings.truss_dir), "its truss")
    return HarnessError(
        f"the chainlet {settings.name} cannot be served: {told}; for a chainlet, stub and model_url stand in the table "
        f"[chain.chainlets.{settings.name}] of a file for --deployments"
    )


def _stubs(
    settings: DeploymentSettings, host: ReplicaHost, names: Sequence[str]
) -> tuple[Sequence[Replica], int]:
    """Those of a stub, which has the config of the truss that it stands in for."""
    from .stub.model import StubBehaviour, stub_model
    from .truss_folder import predict_concurrency, read_config

    config: dict[str, Any] = {}
    concurrency = settings.predict_concurrency
    if settings.truss_dir is not None:
        config = read_config(settings.truss_dir)
        concurrency = predict_concurrency(settings.truss_dir, config)
    behaviour = StubBehaviour(
        settings.stub_answers,
        latency_seconds=settings.latency_seconds,
        fail_rate=settings.fail_rate,
        fail_seed=settings.fail_seed,
        sleep=host.sleep,
    )
    is_chainlet = settings.chain_id not in (None, settings.model_id)
    what = f"{settings.name} of {settings.served}" if is_chainlet else settings.served
    host.report(f"{what} is {behaviour.described}")
    if settings.reload:
        host.report(f"a stub is not reloaded; restart the harness to change the answers of {what}")
    model = stub_model(behaviour, base=host.base_of_stubs(settings))
    return _in_process(
        settings, host, names, model=model, concurrency=concurrency, config=config
    ), concurrency


def _in_process(
    settings: DeploymentSettings,
    host: ReplicaHost,
    names: Sequence[str],
    *,
    model: Any,
    concurrency: int,
    config: Mapping[str, Any] | None = None,
) -> Sequence[InProcessReplica]:
    from .in_process import InProcessReplica, Surroundings

    return [
        InProcessReplica(
            name,
            model,
            Surroundings(
                data_dir=host.workdir / settings.deployment_id / name / "data",
                environment=settings.environment,
                predict_concurrency=concurrency,
                secrets_dir=settings.secrets_dir,
                variables=host.environment,
                config=config or {},
            ),
            log=host.log,
        )
        for name in names
    ]

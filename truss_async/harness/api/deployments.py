"""Which deployment a call means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from .refusals import no_such_model
from .targets import Kind, Served

if TYPE_CHECKING:
    from ..deployment import Deployment
    from .targets import Named, Target

SERVED_BY_ALL = "development"
PRODUCTION = "production"


def served_by(deployment: Deployment) -> Served:
    """The model or the chain that it is a deployment of."""
    settings = deployment.settings
    if settings.chain_id is None:
        return Served(Kind.MODEL, settings.model_id)
    return Served(Kind.CHAIN, settings.chain_id)


def path_of(deployment: Deployment) -> str:
    """Where it is called, by its id, before ``/async_predict`` and the like."""
    served = served_by(deployment)
    return f"/{served.kind.value}/{served.name}/deployment/{deployment.id}"


class Deployments:
    """All that a harness serves."""

    def __init__(self, deployments: Sequence[Deployment]) -> None:
        self._by_served: dict[Served, list[Deployment]] = {}
        for deployment in deployments:
            self._by_served.setdefault(served_by(deployment), []).append(deployment)
        self._found: dict[Named, Deployment] = {}
        """By what they were called: no more ways than lead to one."""

    def __iter__(self) -> Iterator[Deployment]:
        return chain.from_iterable(self._by_served.values())

    def check(self, served: Served | None) -> None:
        """Let a call pass that names nothing, or something that is served.

        Raises:
            CallRefusedError: 404.
        """
        if served is not None and served not in self._by_served:
            raise no_such_model(f"unknown {served}; this harness serves the {self._names()}")

    def find(self, named: Named) -> Deployment:
        """The deployment that a call means.

        Raises:
            CallRefusedError: 404, naming what there is.
        """
        found = self._found.get(named)
        if found is None:
            found = self._found[named] = self._find(named)
        return found

    def _find(self, named: Named) -> Deployment:
        self.check(named.served)
        served = named.served or self._only_one()
        if named.words not in (None, served.kind):
            word = served.kind.word
            raise no_such_model(f"the {served} is called by {word} and async_{word}")
        target = named.target
        found = _meant(target, self._by_served[served])
        if found is None:
            raise no_such_model(f"there is no {target.kind} {target.name} of this {served.kind.value}")
        return found if named.chainlet is None else self._chainlet(served, named.chainlet)

    def _chainlet(self, served: Served, chainlet_id: str) -> Deployment:
        if served.kind is not Kind.CHAIN:
            raise no_such_model(f"the {served} has no chainlets: only a chain has")
        chainlets = {each.id: each for each in self._by_served[served]}
        if chainlet_id not in chainlets:
            raise no_such_model(f"the {served} has no chainlet {chainlet_id}; it has {', '.join(chainlets)}")
        return chainlets[chainlet_id]

    def _only_one(self) -> Served:
        first, *others = self._by_served
        if others:
            raise no_such_model(
                f"this harness serves the {self._names()}; choose one by the host {first.kind.value}-{first.name}.… "
                f"or the path /{first.kind.value}/{first.name}/…"
            )
        return first

    def _names(self) -> str:
        *others, last = map(str, self._by_served)
        return f"{', '.join(others)} and {last}" if others else last


def _meant(target: Target, deployments: list[Deployment]) -> Deployment | None:
    if target.kind == "deployment":
        named = [each for each in deployments if each.id == target.name]
    else:
        deployments = [each for each in deployments if not each.settings.is_inner]
        environment = target.name if target.kind == "environment" else PRODUCTION
        named = [each for each in deployments if each.settings.environment == environment]
        if target.kind == "host" or (environment == SERVED_BY_ALL and len(deployments) == 1):
            named += deployments
    return named[0] if named else None

"""Chains: the trusses that truss makes of a chain's file, and how its chainlets find each other."""

from .chain import Chain, Chainlet, ChainSource
from .generation import generate_chain
from .settings import ChainletSettings, deployments_of_chain
from .sources import Sources

__all__ = [
    "Chain",
    "ChainSource",
    "Chainlet",
    "ChainletSettings",
    "Sources",
    "deployments_of_chain",
    "generate_chain",
]

"""Replicas without a process: a model given in Python, asked and answering as the Truss server would."""

from .loading import Surroundings
from .replica import InProcessReplica
from .tracebacks import UntracedError

__all__ = ["InProcessReplica", "Surroundings", "UntracedError"]

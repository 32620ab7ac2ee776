"""Replicas: copies of the model, the pool that keeps them alive, and the slots that calls share."""

from .factory import make_replicas
from .logs import ReplicaLogLine, render_log_line
from .pool import PoolState, ReplicaPool
from .protocol import Replica, ReplicaLoadError

__all__ = [
    "PoolState",
    "Replica",
    "ReplicaLoadError",
    "ReplicaLogLine",
    "ReplicaPool",
    "make_replicas",
    "render_log_line",
]

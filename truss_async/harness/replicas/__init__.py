"""Replicas: copies of the model, the pool that keeps them alive, and the slots that calls share."""

from .autoscaler import Autoscaler
from .factory import make_replicas
from .http_calls import HttpCalls
from .logs import ReplicaLogLine, render_log_line
from .pool import PoolState, ReplicaPool
from .protocol import (
    Ask,
    Replica,
    ReplicaAnswer,
    ReplicaCall,
    ReplicaLoadError,
    ReplicaUnreachableError,
)
from .readiness import all_ready
from .scaling import ScaleLimits

__all__ = [
    "Ask",
    "Autoscaler",
    "HttpCalls",
    "PoolState",
    "Replica",
    "ReplicaAnswer",
    "ReplicaCall",
    "ReplicaLoadError",
    "ReplicaLogLine",
    "ReplicaPool",
    "ReplicaUnreachableError",
    "ScaleLimits",
    "all_ready",
    "make_replicas",
    "render_log_line",
]

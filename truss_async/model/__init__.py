"""Runs in the model container: saves every output of a Truss model under its request id."""

from .construction import save_counts
from .counters import SaveCounts
from .plugin import AsyncOutputModel, save_output
from .settings import OutputSettings

__all__ = ["AsyncOutputModel", "OutputSettings", "SaveCounts", "save_counts", "save_output"]

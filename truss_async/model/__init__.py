"""Runs in the model container: saves every output of a Truss model under its request id."""

from .plugin import AsyncOutputModel, save_output
from .settings import OutputSettings

__all__ = ["AsyncOutputModel", "OutputSettings", "save_output"]

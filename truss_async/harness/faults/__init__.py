"""Faults on demand: which attempt is struck by what, decided here; what then happens is in the rooms that act."""

from .decisions import Occasion, Tampering, fits
from .reading import parse_rule, read_faults
from .rules import Faults, UnknownFaultError
from .store_gates import StoreGates

__all__ = [
    "Faults",
    "Occasion",
    "StoreGates",
    "Tampering",
    "UnknownFaultError",
    "fits",
    "parse_rule",
    "read_faults",
]

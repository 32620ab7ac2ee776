"""Faults on demand: which attempt is struck by what, and how models, webhooks and stores then fail."""

from .decisions import Occasion, Tampering, fits
from .model_faults import FaultyCalls
from .reading import parse_rule, read_faults
from .rules import Faults, UnknownFaultError
from .store_faults import StoreGates
from .webhook_faults import FaultyDelivery

__all__ = [
    "Faults",
    "FaultyCalls",
    "FaultyDelivery",
    "Occasion",
    "StoreGates",
    "Tampering",
    "UnknownFaultError",
    "fits",
    "parse_rule",
    "read_faults",
]

"""Looks at this machine and a truss, and says what would keep it from being served, and the remedy."""

from .examination import Examination
from .findings import Finding

__all__ = ["Examination", "Finding"]

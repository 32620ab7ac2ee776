"""The request queue in PostgreSQL, for harnesses on several machines, and what else they share."""

from .connecting import place
from .documents import PostgresDocument
from .hints import Hints
from .nodes import PostgresNodes
from .queue import PostgresRequestQueue
from .rates import PostgresCallRates

__all__ = ["Hints", "PostgresCallRates", "PostgresDocument", "PostgresNodes", "PostgresRequestQueue", "place"]

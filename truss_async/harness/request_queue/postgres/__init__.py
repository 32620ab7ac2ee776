"""The request queue in PostgreSQL, for harnesses on several machines."""

from .queue import PostgresRequestQueue

__all__ = ["PostgresRequestQueue"]

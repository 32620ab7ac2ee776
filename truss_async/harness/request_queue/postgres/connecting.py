"""How connections to the database are made, and its failures told."""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import PoolTimeout

from ..protocol import RequestQueueError

WAIT_SECONDS: Final = 5.0
# A connection that was cut without a word is noticed soon: by who asks, and by who listens.
OPTIONS: Final[dict[str, Any]] = {
    "autocommit": True,
    "connect_timeout": int(WAIT_SECONDS),
    "application_name": "truss-async",
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}


async def connected(address: str) -> psycopg.AsyncConnection:
    """A connection of one's own.

    Raises:
        psycopg.Error: there is none.
    """
    return await psycopg.AsyncConnection.connect(address, **OPTIONS)


def place(address: str) -> str:
    """The database, as a person may read it: without its password."""
    parts = conninfo_to_dict(address)
    host = parts.get("host") or "localhost"
    return f"the database {parts.get('dbname') or parts.get('user') or ''} on {host}".replace("  ", " ")


def explained(error: Exception, *, what: str = "use the request queue") -> RequestQueueError:
    """The failure of the database in one line."""
    if isinstance(error, PoolTimeout):
        return RequestQueueError(
            f"cannot {what}: no connection to the database within {WAIT_SECONDS:g} s; is it up?"
        )
    text = " ".join(str(error).split()) or type(error).__name__
    return RequestQueueError(f"cannot {what}: {text}")

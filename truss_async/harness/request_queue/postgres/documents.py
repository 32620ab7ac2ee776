"""Documents that all owners of a queue share, in a table beside it."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
from psycopg import sql

from .connecting import OPTIONS, explained, place
from .schema import statements


class PostgresDocument:
    """A small text by its name, in a schema that is up to date."""

    def __init__(self, address: str, schema: str, name: str) -> None:
        self._address = address
        self._schema = schema
        self._name = name

    def __str__(self) -> str:
        return f"the document {self._name} in the schema {self._schema} of {place(self._address)}"

    def read(self) -> bytes | None:
        try:
            with self._connected() as connection:
                return self._body(connection)
        except psycopg.Error as error:
            raise explained(error, what=f"read {self}") from error

    def change(self, change: Callable[[bytes | None], bytes]) -> bytes:
        try:
            with self._connected() as connection, connection.transaction():
                connection.execute(statements()["take_document"], {"name": self._name})
                before = self._body(connection)
                content = change(before)
                if content != before:
                    values = {"name": self._name, "body": content}
                    connection.execute(statements()["write_document"], values)
                return content
        except psycopg.Error as error:
            raise explained(error, what=f"write {self}") from error

    def _connected(self) -> psycopg.Connection:
        connection = psycopg.connect(self._address, **OPTIONS)
        connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(self._schema)))
        return connection

    def _body(self, connection: psycopg.Connection) -> bytes | None:
        found = connection.execute(statements()["document"], {"name": self._name}).fetchone()
        return None if found is None else bytes(found[0])

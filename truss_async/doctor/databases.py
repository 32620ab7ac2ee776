"""Whether harnesses could share a queue in the database."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from ..contract.limits import WEBHOOK_AGE_TOLERANCE_SECONDS
from ..timed_http import NoAnswerError, TimedHttp
from .findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from ..clock import Clock

OLDEST_MAJOR_VERSION: Final = 11
"""The tables need functions that older ones do not have."""
NEWEST_TESTED_MAJOR_VERSION: Final = 18
_NAME: Final = "database"
_TIMEOUT_SECONDS: Final = 5.0
_OK: Final = 200
_SAFE: Final = {"synchronous_commit": "off", "fsync": "off", "full_page_writes": "off"}
"""What a setting must not be, so that what was accepted outlives a crash of the server."""
_TABLE_RIGHTS: Final = "SELECT, INSERT, UPDATE, DELETE"
_LACKING_RIGHTS: Final = """
SELECT array_agg(tablename::text ORDER BY tablename) FROM pg_tables WHERE schemaname = %s AND NOT (
  SELECT bool_and(has_table_privilege(format('%%I.%%I', schemaname, tablename), named))
  FROM unnest(string_to_array(%s, ', ')) AS rights (named)
)
"""


def database(address: str, *, schema: str, clock: Clock) -> Iterator[Finding]:
    """Each finding about the database, in which nothing is changed, and about those that share it."""
    try:
        import psycopg

        from ..harness.request_queue.postgres.connecting import OPTIONS, place
    except ImportError as error:
        yield Finding(_NAME, "failed", f"psycopg is missing ({error})", "pip install 'truss-async[postgres]'")
        return
    began = clock.monotonic()
    try:
        with closing(psycopg.connect(address, **OPTIONS)) as connection:
            took = clock.monotonic() - began
            yield Finding(_NAME, "ok", f"connected to {place(address)} in {took * 1000:.0f} ms")
            yield _version(connection)
            yield from _schema(connection, schema)
            yield _durability(connection)
            yield _time(connection, clock)
            yield from _nodes(connection, schema)
    except psycopg.Error as error:
        told = " ".join(str(error).split()) or type(error).__name__
        remedy = "check the address, the server's pg_hba.conf, and PGPASSWORD or PGPASSFILE"
        yield Finding(_NAME, "failed", f"cannot be used: {told}", remedy)


def _version(connection: psycopg.Connection) -> Finding:
    version = _one(connection, "SELECT current_setting('server_version')")
    major = connection.info.server_version // 10_000
    if _one(connection, "SELECT pg_is_in_recovery()"):
        return Finding(
            _NAME, "failed", f"PostgreSQL {version}, a read-only standby", "give the address of the primary"
        )
    if major < OLDEST_MAJOR_VERSION:
        remedy = f"use version {OLDEST_MAJOR_VERSION} or later"
        return Finding(_NAME, "failed", f"PostgreSQL {version} is too old", remedy)
    if major != NEWEST_TESTED_MAJOR_VERSION:
        tested = f"; this version of truss-async is tested with {NEWEST_TESTED_MAJOR_VERSION}"
        return Finding(_NAME, "note", f"PostgreSQL {version}{tested}")
    return Finding(_NAME, "ok", f"PostgreSQL {version}")


def _schema(connection: psycopg.Connection, schema: str) -> Iterator[Finding]:
    """Which version it has, and whether the role has the rights to use it."""
    from psycopg import sql

    from ..harness.request_queue.postgres.schema import SCHEMA_VERSION

    role = _one(connection, "SELECT current_user")
    owner = _one(connection, "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = %s", schema)
    if owner is None:
        yield Finding(_NAME, "ok", f"no schema {schema} yet; the first `serve` makes it")
        is_allowed = _one(connection, "SELECT has_database_privilege(current_database(), 'CREATE')")
        remedy = f"as an administrator: CREATE SCHEMA {schema} AUTHORIZATION {role}"
        yield _rights(is_allowed, f"{role} may create it", f"{role} must not create it", remedy)
        return
    if not _one(connection, "SELECT has_schema_privilege(%s, 'USAGE')", schema):
        yield _rights(False, "", f"{role} must not use the schema {schema} of {owner}", _grants(schema, role))
        return
    table = sql.Identifier(schema, "version").as_string(connection)
    is_made = _one(connection, "SELECT to_regclass(%s) IS NOT NULL", table)
    if is_made and not _one(connection, "SELECT has_table_privilege(%s, 'SELECT')", table):
        yield _rights(
            False, "", f"{role} must not read the tables of {owner} in {schema}", _grants(schema, role)
        )
        return
    found = 0 if not is_made else int(_one(connection, f"SELECT number FROM {table}") or 0)  # noqa: S608 - quoted
    yield _schema_version(schema, found, newest=SCHEMA_VERSION)
    if found == SCHEMA_VERSION:
        lacking = _one(connection, _LACKING_RIGHTS, schema, _TABLE_RIGHTS)
        problem = f"{role} lacks rights on {', '.join(lacking or ())}"
        yield _rights(not lacking, f"{role} may read and write the tables", problem, _grants(schema, role))
        return
    owns = _one(connection, "SELECT pg_has_role(%s, 'USAGE')", owner)
    problem = f"{role} must not change the tables, which {owner} owns"
    yield _rights(owns, f"{role} may change the tables", problem, f"run the first `serve` as {owner}")


def _schema_version(schema: str, found: int, *, newest: int) -> Finding:
    what = f"schema {schema}"
    if found > newest:
        remedy = "upgrade truss-async here, or choose another --schema"
        return Finding(
            _NAME, "failed", f"{what} has version {found}; this truss-async reads up to {newest}", remedy
        )
    if found == 0:
        return Finding(_NAME, "ok", f"{what} has no tables yet; the first `serve` makes them")
    if found < newest:
        upgrade = f"the next `serve` brings it to version {newest}, which older ones refuse"
        return Finding(_NAME, "note", f"{what} has version {found}; {upgrade}")
    return Finding(_NAME, "ok", f"{what} has version {found}")


def _rights(is_allowed: object, found: str, problem: str, remedy: str) -> Finding:
    if is_allowed:
        return Finding(_NAME, "ok", found)
    return Finding(_NAME, "failed", problem, remedy)


def _grants(schema: str, role: Any) -> str:
    return f"GRANT USAGE ON SCHEMA {schema} TO {role}; GRANT {_TABLE_RIGHTS} ON ALL TABLES IN SCHEMA {schema} TO {role}"


def _durability(connection: psycopg.Connection) -> Finding:
    settings = {name: _one(connection, "SELECT current_setting(%s)", name) for name in _SAFE}
    found = ", ".join(f"{name} = {value}" for name, value in settings.items())
    if unsafe := [name for name, value in settings.items() if value == _SAFE[name]]:
        if unsafe == ["synchronous_commit"]:
            return Finding(_NAME, "note", f"{found}; harnesses set synchronous_commit to on for themselves")
        remedy = f"set {', '.join(unsafe)} to on, or a crash of the server loses accepted requests"
        return Finding(_NAME, "failed", found, remedy)
    return Finding(_NAME, "ok", found)


def _time(connection: psycopg.Connection, clock: Clock) -> Finding:
    before = clock.now()
    told = _one(connection, "SELECT clock_timestamp()")
    after = clock.now()
    ahead = (before + (after - before) / 2 - told) / timedelta(seconds=1)
    found = (
        f"this machine's clock is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} the database's"
    )
    if abs(ahead) > WEBHOOK_AGE_TOLERANCE_SECONDS / 2:
        remedy = "the queue goes by the database's clock, webhook signatures by this machine's: correct the wrong one"
        return Finding(_NAME, "failed", found, remedy)
    return Finding(_NAME, "ok", found)


def _nodes(connection: psycopg.Connection, schema: str) -> Iterator[Finding]:
    """The harnesses whose lease lasts: whether each is reached from here, where the others call it."""
    import psycopg
    from psycopg import sql

    from ..harness.request_queue.postgres.schema import statements

    connection.execute(
        "SELECT set_config('search_path', %s, false)", [sql.Identifier(schema).as_string(connection)]
    )
    try:
        urls = [row[0] for row in connection.execute(statements()["nodes"])]
    except psycopg.ProgrammingError:
        return  # it is not as harnesses leave it, which other rows tell
    for url in urls:
        yield _node(url)


def _node(url: str) -> Finding:
    http = TimedHttp(purpose="asking a harness", timeout_seconds=_TIMEOUT_SECONDS, trust_env=False)
    with closing(http):
        try:
            status = http.send("GET", f"{url}/healthz", wants_body=False).status_code
        except (TimeoutError, NoAnswerError) as error:
            remedy = "let this machine reach it there, or start it with the --node-url by which others do"
            return Finding("node", "failed", f"{url} does not answer: {error}", remedy)
    if status != _OK:
        remedy = "start it with the --node-url by which others reach it"
        return Finding("node", "failed", f"{url}/healthz answers {status}: it is no harness", remedy)
    return Finding("node", "ok", f"{url} answers")


def _one(connection: psycopg.Connection, query: str, *values: object) -> Any:
    """The one value of a row; None: there is no row."""
    row = connection.execute(query.encode(), values).fetchone()
    return None if row is None else row[0]

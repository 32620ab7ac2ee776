"""The async predict results and artifacts of one output store, by request id."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeAlias

from ..clock import SYSTEM_CLOCK, steady
from ..contract import ArtifactReference, AsyncPredictResult
from ..errors import ObjectNotFoundError, OutputStoreError, RequestFailedError, UnsafeObjectKeyError
from .credentials import NO_CREDENTIALS
from .keys import check_artifact_name
from .layout import DEFAULT_KEY, OutputKeys, layout_of
from .options import NO_OPTIONS
from .polling import as_utc, is_last_word, pauses
from .presigning import DEFAULT_EXPIRY
from .request_keys import RequestKeys
from .result_objects import ResultInfo, parse_output, parse_result, references_in, request_failure
from .urls import object_store

if TYPE_CHECKING:
    from pyarrow import RecordBatchReader
    from typing_extensions import Self

    from ..clock import Clock
    from .credentials import StoreCredentials
    from .layout import KeyLayout
    from .options import StoreOptions
    from .protocol import ObjectStore
    from .table.catalog import Entry
    from .table.compaction import Compacted
    from .table.parquet_files import Span
    from .table.result_rows import ResultObjects

Format: TypeAlias = Literal["result", "raw"]


class OutputStore:
    """What a model saved: ``{url}/{request_id}.json``, and its artifacts under ``{url}/{request_id}/``.

    Of a request that failed there is ``{url}/{request_id}.error.json``. Where the model has templates of its own for URL
    and key, the store is given the same.

    Synchronous, and safe to share between threads.
    """

    def __init__(
        self,
        objects: ObjectStore,
        *,
        layout: KeyLayout | None = None,
        format: Format = "result",
        table: ObjectStore | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._objects = objects
        self._table = table
        self._layout = layout or layout_of("", DEFAULT_KEY, values={})[1]
        self._format = format
        self._clock = clock

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        key: str = DEFAULT_KEY,
        format: Format = "result",
        model_id: str | None = None,
        deployment_id: str | None = None,
        environment: str | None = None,
        table: str | None = None,
        credentials: StoreCredentials = NO_CREDENTIALS,
        options: StoreOptions = NO_OPTIONS,
    ) -> Self:
        """The store at a URL of one of the ``schemes``, such as ``s3://bucket/prefix``, or what else smart_open opens.

        ``url``, ``key`` and ``format`` are the settings that the model saves with. A name in the templates that no
        value is given for, and the date, are looked for: a result of the last two days by its key, if the date alone is
        unknown; then day by day, back to 31 days ago, by listing what the key of such a day starts with, as far as that
        is known; then among all that is there. ``get`` takes a moment to look back to, and no further.

        ``table`` is where ``compact`` has put its files: ``scan`` reads them, too. The URL of such a table is a store of
        its own to scan.
        """
        values = {"model_id": model_id, "deployment_id": deployment_id, "environment": environment}
        root, layout = layout_of(url, key, values=values)
        return cls(
            object_store(root, credentials=credentials, options=options),
            layout=layout,
            format=format,
            table=None if table is None else object_store(table, credentials=credentials),
        )

    @property
    def url(self) -> str:
        """Where it is, as far as that is the same for all: no trailing slash, no credentials."""
        return self._objects.url

    def get(self, request_id: str, *, since: datetime | None = None) -> AsyncPredictResult:
        """The result of the request. Where its date is not known, it is looked for back to ``since``.

        Raises:
            ObjectNotFoundError: nothing is known of the request.
            RequestFailedError: the request failed, and no later attempt succeeded.
            InvalidResultError: the object is cut off, or was not written by this package.
        """
        return self._look(request_id, may_list=True, since=None if since is None else as_utc(since))

    def wait(
        self,
        request_id: str,
        *,
        timeout_seconds: float | None = None,
        failed_after_seconds: float = 30,
        clock: Clock = SYSTEM_CLOCK,
    ) -> AsyncPredictResult:
        """The result of the request as soon as it is there; polls with growing pauses.

        The platform may try a failed request again. So a failure counts once it has stood for
        ``failed_after_seconds``, or when the time is up.

        Raises:
            TimeoutError: there is neither result nor failure within ``timeout_seconds``.
            RequestFailedError, InvalidResultError: as ``get``.
        """
        clock = steady(clock)
        start = first_seen_at = clock.now()
        pause = pauses()
        failure: RequestFailedError | None = None
        is_first_look = True
        while True:
            now = clock.now()
            try:
                # Once among all that is there; then, where it would be written now.
                return self._look(request_id, may_list=is_first_look)
            except ObjectNotFoundError:
                failure = None
            except RequestFailedError as error:
                if failure is None or failure.result != error.result:
                    first_seen_at = now
                failure = error
                written_at = as_utc(error.result.time)
                if is_last_word(written_at, first_seen_at, now=now, after_seconds=failed_after_seconds):
                    raise
            is_first_look = False
            seconds = next(pause)
            if timeout_seconds is not None:
                left = timeout_seconds - (now - start).total_seconds()
                if left <= 0:
                    raise failure or TimeoutError(
                        f"request {request_id} has no result in {self.url} after {timeout_seconds:g} s"
                    )
                seconds = min(seconds, left)
            clock.block(seconds)

    def list(self, *, since: datetime | None = None, prefix: str = "") -> Iterator[ResultInfo]:
        """The results written since that moment (without a zone: in UTC), of request ids that start with the prefix.

        In no promised order; errors, artifacts and what else lies in the store are left out. Of the URL of a table, its
        rows.
        """
        earliest = as_utc(since) if since is not None else None
        is_empty = True
        for info in self._objects.list(self._layout.prefix(prefix)):
            request_id = self._layout.request_id_of(info.key)
            if request_id is None or not request_id.startswith(prefix) or self._is_of_table(info.key):
                continue
            is_empty = False
            if earliest is None or info.modified_at is None or info.modified_at >= earliest:
                yield ResultInfo(request_id, size_bytes=info.size_bytes, modified_at=info.modified_at)
        if is_empty:
            yield from self._rows_listed(earliest, prefix, failed=False)

    def failures(self, *, since: datetime | None = None, prefix: str = "") -> Iterator[ResultInfo]:
        """The same for the errors of requests that have no result: what failed, and did not succeed at another attempt."""
        earliest = as_utc(since) if since is not None else None
        failed: list[ResultInfo] = []
        succeeded: set[str | None] = set()
        for info in self._objects.list(self._layout.prefix(prefix)):
            if (request_id := self._layout.failed_request_id_of(info.key)) is None:
                succeeded.add(self._layout.request_id_of(info.key))
            elif request_id.startswith(prefix):
                failed.append(
                    ResultInfo(request_id, size_bytes=info.size_bytes, modified_at=info.modified_at)
                )
        if not failed:
            yield from self._rows_listed(earliest, prefix, failed=True)
        for found in failed:
            is_old = earliest is not None and found.modified_at is not None and found.modified_at < earliest
            if found.request_id not in succeeded and not is_old:
                yield found

    def _is_of_table(self, key: str) -> bool:
        """Whether the object is that of a table, which is named as a result might be."""
        from .table.listing import MANIFEST, is_table

        return key == MANIFEST and is_table(self._objects)

    def _rows_listed(self, since: datetime | None, prefix: str, *, failed: bool) -> Iterator[ResultInfo]:
        from .table.listing import is_table, listed_rows
        from .table.scanning import Scanned

        if is_table(self._objects):
            yield from listed_rows(self._objects, Scanned(since=since, prefix=prefix, failed=failed))

    def scan(
        self, *, since: datetime | None = None, prefix: str = "", failed: bool = False
    ) -> RecordBatchReader:
        """All results and failures as Arrow record batches, in no promised order: each request once.

        The reader is what DuckDB, Polars and others take as a table; or iterate it.

        From the objects, and from the compacted files of ``table``, or of this URL itself, alike; an object that was
        written again since is read instead of its row. Memory is bounded, whatever the store holds. A damaged object has a
        row that says so. ``since`` and ``prefix`` are as in ``list``. ``failed``: only what failed; objects of results are
        not opened for it.

        Raises:
            MissingExtraError: pyarrow is not installed.
        """
        from .table.scanning import Scanned, scan

        tables = [self._objects, *([] if self._table is None else [self._table])]
        asked = Scanned(since=None if since is None else as_utc(since), prefix=prefix, failed=failed)
        return scan(self._result_objects(), tables, asked, clock=self._clock)

    def compact(self, into: str | ObjectStore, *, every: Span = "hour") -> Compacted:
        """Write all results and failures into Parquet files, one for each hour (or day) in which they were stored.

        ``into`` is a folder of its own, as a URL or opened with ``object_store``.

        Run again, it adds what is new; killed at any point, it has lost nothing, and the next run goes on. The objects
        stay: nothing here reads less than before.

        Raises:
            MissingExtraError: pyarrow is not installed.
            SettingsError: the files there are those of another store, or for each day instead.
            OutputStoreError: either cannot be read or written, or another process is at it.
        """
        from .table.compaction import Compaction

        table = object_store(into) if isinstance(into, str) else into
        return Compaction(self._result_objects(), table, span=every, clock=self._clock).run()

    def delete(self, request_id: str) -> None:
        """Remove all that is kept of the request: its result, its error, its artifacts. That there is nothing is fine."""
        # The list is complete before anything changes.
        for key in self._request_keys(request_id).all_keys():
            # What is no key of ours, such as the empty object that a console makes for a folder, cannot be named.
            with suppress(UnsafeObjectKeyError):
                self._objects.delete(key)

    def artifacts(self, request_id: str) -> tuple[ArtifactReference, ...]:
        """The artifacts that the result of the request refers to, in the order of their names; none without a result.

        Never one that another attempt at the request has left.
        """
        try:
            key, result = self._found(request_id, may_list=True)
        except (ObjectNotFoundError, RequestFailedError):
            return ()
        return self._artifacts_of(key, result)

    def _artifacts_of(self, key: str, result: AsyncPredictResult) -> tuple[ArtifactReference, ...]:
        request_id = result.request_id
        folder = OutputKeys(request_id, key).folder
        found: dict[str, ArtifactReference] = {}
        for reference in references_in(result.data):
            # Beside the result, wherever that lies by now: a bucket may have been copied, or got another name.
            artifact_key = folder + reference.url.rpartition(f"/{request_id}/")[2]
            if self._layout.kind_of(artifact_key, request_id) == "artifact":
                found[artifact_key] = reference.model_copy(update={"url": self._url_of(artifact_key)})
        return tuple(sorted(found.values(), key=lambda each: each.url.rpartition("/")[2]))

    def artifact(self, request_id: str, name: str) -> ArtifactReference:
        """The artifact of the request that has this name; ObjectNotFoundError when there is none."""
        check_artifact_name(name)
        for each in self.artifacts(request_id):
            if each.url.rpartition("/")[2] == name:
                return each
        raise ObjectNotFoundError(f"there is no artifact {name} of {request_id} in {self.url}")

    def presign(self, request_id: str, *, expires_in: timedelta = DEFAULT_EXPIRY) -> str:
        """A URL from which anybody can GET the stored result until then, without credentials.

        ObjectNotFoundError when there is no result, OutputStoreError when the store makes no such URLs. Credentials
        that end earlier end the URL with them.
        """
        absent: ObjectNotFoundError | None = None
        for key in self._request_keys(request_id).result_keys():
            try:
                return self._presign(key, expires_in)
            except ObjectNotFoundError as error:
                absent = absent or error
        raise absent or self._unknown(request_id)

    def presign_artifact(
        self, reference: ArtifactReference, *, expires_in: timedelta = DEFAULT_EXPIRY
    ) -> str:
        """The same for an artifact."""
        return self._presign(self._key_of(reference), expires_in)

    def open_artifact(self, reference: ArtifactReference) -> BinaryIO:
        """The artifact's bytes, to read and close. A reference that leads out of this store is refused."""
        return self._objects.open(self._key_of(reference))

    def _key_of(self, reference: ArtifactReference) -> str:
        beginning = f"{self.url}/"
        if not reference.url.startswith(beginning):
            raise OutputStoreError(f"the artifact {reference.url!a} is not in the store {self.url}")
        return reference.url[len(beginning) :]

    def _presign(self, key: str, expires_in: timedelta) -> str:
        url = self._objects.presign(key, expires_in=expires_in)
        self._objects.head(key)  # a URL of an absent object helps nobody
        return url

    def _result_objects(self) -> ResultObjects:
        from .table.result_rows import ResultObjects

        return ResultObjects(
            objects=self._objects,
            layout=self._layout,
            read=self._read_entry,
            artifacts=lambda entry, result: self._artifacts_of(entry.key, result),
        )

    def _read_entry(self, entry: Entry) -> AsyncPredictResult:
        from .table.columns import moment_of

        body, url = self._bytes(entry.key), self._url_of(entry.key)
        if entry.is_error or self._format == "result":
            return parse_result(body, request_id=entry.request_id, url=url)
        time = moment_of(entry.modified_us)
        return AsyncPredictResult(request_id=entry.request_id, time=time, data=parse_output(body, url=url))

    def _request_keys(
        self, request_id: str, *, may_list: bool = True, since: datetime | None = None
    ) -> RequestKeys:
        now = self._clock.now()
        return RequestKeys(self._objects, self._layout, request_id, now=now, since=since, may_list=may_list)

    def _look(self, request_id: str, *, may_list: bool, since: datetime | None = None) -> AsyncPredictResult:
        return self._found(request_id, may_list=may_list, since=since)[1]

    def _found(
        self, request_id: str, *, may_list: bool, since: datetime | None = None
    ) -> tuple[str, AsyncPredictResult]:
        """The key of the result, and the result."""
        keys = self._request_keys(request_id, may_list=may_list, since=since)
        absent: ObjectNotFoundError | None = None
        for key in keys.result_keys():
            try:
                return key, self._read(key, request_id)
            except ObjectNotFoundError as error:
                absent = absent or error
        for key in keys.error_keys():
            with suppress(ObjectNotFoundError):
                failed = parse_result(self._bytes(key), request_id=request_id, url=self._url_of(key))
                raise request_failure(failed, url=self._url_of(key))
        raise absent if absent and self._layout.is_fixed else self._unknown(request_id, since=since)

    def _read(self, key: str, request_id: str) -> AsyncPredictResult:
        body = self._bytes(key)
        if self._format == "result":
            return parse_result(body, request_id=request_id, url=self._url_of(key))
        data = parse_output(body, url=self._url_of(key))
        return AsyncPredictResult(request_id=request_id, time=self._written_at(key), data=data)

    def _written_at(self, key: str) -> datetime:
        """When the object was written; now, when the store does not know."""
        try:
            return self._objects.head(key).modified_at or self._clock.now()
        except ObjectNotFoundError:
            raise
        except OutputStoreError:
            return self._clock.now()

    def _bytes(self, key: str) -> bytes:
        with self._objects.open(key) as file:
            return file.read()

    def _unknown(self, request_id: str, *, since: datetime | None = None) -> ObjectNotFoundError:
        told = f"there is no result of {request_id} in {self.url}"
        if self._layout.has_date and since is not None:
            told += f" since {since:%Y-%m-%d}; an older one is found by an earlier since=…"
        return ObjectNotFoundError(told)

    def _url_of(self, key: str) -> str:
        return f"{self.url}/{key}"

"""Many objects into few files, a run at a time: killed at any point, it has lost nothing, and the next run goes on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final, TypeVar

from ...errors import SettingsError
from .catalog import Catalog, Fingerprint
from .columns import DAMAGED
from .manifest import KEY, Manifest, TableFile, read_manifest, write_manifest
from .parquet_files import (
    CONTENT_TYPE,
    Span,
    batches_of,
    file_key,
    ids_in,
    keep,
    listed_partitions,
    opened_file,
    partition_of,
    written_file,
)
from .result_rows import in_batches
from .row_counts import RowCounts
from .row_ids import MOST_COMPARED, digest_of, holds_none_of, ids_key, shortened, write_ids
from .scanning import current_rows
from .turn import Turn

if TYPE_CHECKING:
    from pyarrow import RecordBatch

    from ...clock import Clock
    from ..protocol import ObjectStore
    from .columns import Row
    from .result_rows import ResultObjects

Step = TypeVar("Step")

UNSEEN: Final = Fingerprint(objects=0, digest=None)
MANIFEST_SECONDS: Final = 30
"""A manifest of many files is large: it is written once in so long, and at the end."""

_COMPARED: Final = ["request_id", "status", "stored_at"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compacted:
    """What a run has done: results written into how many files, and the rows that the table has in all by now.

    ``damaged`` are objects that hold no result; they have a row, too.
    """

    results: int
    files: int
    rows: int
    damaged: int


class Compaction:
    """One run, from a store into a table."""

    def __init__(
        self, source: ResultObjects, table: ObjectStore, *, span: Span, clock: Clock, turn: Turn | None = None
    ) -> None:
        self._source = source
        self._table = table
        self._span: Span = span
        self._clock = clock
        self._turn = turn or Turn(table, clock=clock)
        self._results = self._files = self._damaged = 0
        self._manifest_written = 0.0
        check_apart(source, table)

    def run(self) -> Compacted:
        """Bring the table to where the store is.

        Raises:
            SettingsError: the table is of another store, or has another span.
            OutputStoreError: the store or the table cannot be read or written, or somebody else is at it.
        """
        self._turn.take()
        try:
            manifest = self._opened_manifest()
            objects, layout = self._source.objects, self._source.layout
            listed_at = self._clock.now()
            catalog = Catalog(
                self._kept(objects.list(layout.prefix())),
                layout,
                listed_at=listed_at,
                partition_of=lambda moment: partition_of(moment, self._span),
            )
            with closing(catalog):
                self._bring_up_to_date(manifest, catalog)
            return Compacted(
                results=self._results, files=self._files, rows=manifest.rows, damaged=self._damaged
            )
        finally:
            self._turn.give_back()

    def _opened_manifest(self) -> Manifest:
        found, source = read_manifest(self._table), self._source.objects.url
        if found is None:
            return Manifest(source=source, span=self._span, written_at=self._clock.now())
        if found.source != source:
            raise SettingsError(
                f"{self._table.url} holds the results of {found.source}; compact those of {source} into another folder"
            )
        if found.span != self._span:
            raise SettingsError(f"{self._table.url} has a file a {found.span}; give --every {found.span}")
        return found

    def _bring_up_to_date(self, manifest: Manifest, catalog: Catalog) -> None:
        stale = self._compare(manifest, catalog)
        pending = catalog.pending_partitions()
        for partition in {*stale, *pending} & set(manifest.files):
            if stale.get(partition) or partition in pending:
                # Until it is written: whatever happens on the way, the next run looks into it.
                manifest.files[partition].seen = None
        self._write_manifest(manifest)
        # Gone from one file before it comes into another: whoever reads all of them finds no request twice.
        for partition, ids in stale.items():
            if ids:
                self._write(manifest, partition, self._rows_before(partition, without=ids))
        for partition in pending:
            before = self._rows_before(partition) if partition in manifest.files else ()
            added = in_batches(self._added(catalog, partition))
            self._write(manifest, partition, chain(before, added), seen=catalog.fingerprint(partition))
            self._files += 1
        self._write_manifest(manifest)

    def _compare(self, manifest: Manifest, catalog: Catalog) -> dict[str, frozenset[str]]:
        """For each file that was looked into, the requests whose rows do not stand; what does is done with."""
        stale: dict[str, frozenset[str]] = {}
        listed = listed_partitions(self._table)
        for partition in set(manifest.files) - set(listed):
            del manifest.files[partition]
        passed = self._pass_over(manifest, catalog, listed)
        for partition, size_bytes in listed.items():
            if partition in passed:
                continue
            known, seen = manifest.files.get(partition), catalog.fingerprint(partition)
            counts, ids = RowCounts(), set[str]()
            with opened_file(self._table, partition) as file:
                for batch in counts.counted(batches_of(file, columns=_COMPARED)):
                    self._turn.keep()
                    stands = current_rows(batch, catalog)
                    ids.update(
                        each for each, is_kept in zip(ids_in(batch), stands, strict=True) if not is_kept
                    )
            stale[partition] = frozenset(ids)
            known_ids = None if known is None else known.ids
            if known_ids is None or known_ids != digest_of(counts.ids.content):
                known_ids = write_ids(self._table, partition, counts.ids)
            manifest.files[partition] = _file(counts, partition, size_bytes, seen, known_ids)
        return stale

    def _pass_over(self, manifest: Manifest, catalog: Catalog, listed: dict[str, int]) -> set[str]:
        """The partitions whose files say what the store has of them, which shows without reading them; those are done with.

        A row of which the object is gone may have another by now, in another partition: one that is not as it was seen.
        """
        seen = {partition: catalog.fingerprint(partition) for partition in listed}
        known = {
            partition: file
            for partition, size_bytes in listed.items()
            if (file := manifest.files.get(partition)) is not None and file.size_bytes == size_bytes
        }
        as_seen = {
            each for each, file in known.items() if file.seen is not None and file.seen == seen[each].digest
        }
        gone = {each for each, file in known.items() if file.seen is not None and not seen[each].objects}
        whole = {each for each in as_seen if known[each].rows == seen[each].objects}
        passed = whole | self._without_news(
            (as_seen | gone) - whole, known, catalog.ids_outside(as_seen, most=MOST_COMPARED)
        )
        for partition in passed:
            catalog.mark_partition_done(partition)
            known[partition].objects, known[partition].seen = seen[partition].objects, seen[partition].digest
        return passed

    def _without_news(
        self, partitions: set[str], known: dict[str, TableFile], news: list[str] | None
    ) -> set[str]:
        """Those of the partitions that have no row of a request that has a new object elsewhere."""
        if news is None:
            return set()
        asked, found = set(map(shortened, news)), set[str]()
        for partition in partitions:
            self._turn.keep()
            digest = known[partition].ids
            if not asked or (digest and holds_none_of(self._table, partition, asked, digest=digest)):
                found.add(partition)
        return found

    def _rows_before(self, partition: str, *, without: frozenset[str] = frozenset()) -> Iterator[RecordBatch]:
        with opened_file(self._table, partition) as file:
            for batch in batches_of(file):
                self._turn.keep()
                kept = keep(batch, [each not in without for each in ids_in(batch)] if without else None)
                if kept.num_rows:
                    yield kept

    def _added(self, catalog: Catalog, partition: str) -> Iterator[Row]:
        for row in self._source.rows(self._kept(catalog.pending(partition=partition))):
            self._results += 1
            self._damaged += row.status == DAMAGED
            yield row

    def _write(
        self,
        manifest: Manifest,
        partition: str,
        batches: Iterable[RecordBatch],
        *,
        seen: Fingerprint = UNSEEN,
    ) -> None:
        """Put the file of the partition in the place of the one before; one without a row goes."""
        counts, key = RowCounts(), file_key(partition)
        with written_file(counts.counted(batches)) as path:
            self._turn.check()
            if counts.rows:
                self._table.put(key, path, content_type=CONTENT_TYPE)
                ids = write_ids(self._table, partition, counts.ids)
                manifest.files[partition] = _file(counts, partition, path.stat().st_size, seen, ids)
            else:
                self._table.delete(key)
                self._table.delete(ids_key(partition))
                manifest.files.pop(partition, None)
        if self._clock.monotonic() - self._manifest_written > MANIFEST_SECONDS:
            self._write_manifest(manifest)

    def _write_manifest(self, manifest: Manifest) -> None:
        self._turn.keep()
        manifest.written_at = self._clock.now()
        manifest.files = dict(sorted(manifest.files.items()))
        write_manifest(self._table, manifest)
        self._manifest_written = self._clock.monotonic()

    def _kept(self, steps: Iterable[Step]) -> Iterator[Step]:
        """The same, and the turn is kept meanwhile."""
        for step in steps:
            self._turn.keep()
            yield step


def check_apart(source: ResultObjects, table: ObjectStore) -> None:
    """SettingsError when the files of the table would lie among the results, and be taken for one."""
    beginning = f"{source.objects.url}/"
    inside = f"{table.url}/"[len(beginning) :] if f"{table.url}/".startswith(beginning) else None
    if inside is not None and source.layout.request_id_of(f"{inside}{KEY}") is not None:
        raise SettingsError(
            f"{table.url} contains results, and {KEY} would be taken for one; give --into a separate folder, "
            f"such as {source.objects.url}/table"
        )


def _file(counts: RowCounts, partition: str, size_bytes: int, seen: Fingerprint, ids: str) -> TableFile:
    return TableFile(
        key=file_key(partition),
        rows=counts.rows,
        failed=counts.failed,
        damaged=counts.damaged,
        size_bytes=size_bytes,
        objects=seen.objects,
        seen=seen.digest,
        ids=ids,
    )

"""Results as a table: Arrow record batches of what a store holds, and Parquet files that many results are compacted into.

What belongs to whom:

- ``columns`` says what a row is, and makes one of a result.
- ``catalog`` notes a listing, which may be larger than memory, and which object speaks for which request.
- ``result_rows`` reads the objects of a store, many at once, as rows.
- ``parquet_files`` are the files of a table: where they lie, how they are read and written.
- ``row_ids`` are a few bytes for each row, which spare a compaction the reading of files.
- ``scanning`` puts objects and files together: each request once, with its newest result.
- ``compaction`` writes the files; ``turn`` lets one process do so at a time, ``manifest`` says what is there.
- ``exporting`` writes a scan to one file, as Parquet, JSON lines or CSV.

A file of the table is replaced as a whole, and no row is added to one before it is gone from another: whoever reads all
``*.parquet`` finds each request once, at any moment, whatever was killed. The files are the truth. The manifest tells
people and tools of them, and lets a compaction pass over what has not changed.
"""

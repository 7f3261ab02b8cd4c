"""The series as Parquet, for data frames."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import islice
from typing import Any

from heyfleet.results.archive.errors import ArchiveError
from heyfleet.results.export.run_view import RunView
from heyfleet.results.export.text import points

_ROWS = 4096  # in memory at a time


def parquet(source: RunView) -> Iterator[bytes]:
    """A row for each second, as in the series as CSV, written group by group."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ArchiveError(
            "--as parquet needs the package pyarrow: pip install 'heyfleet[parquet]'"
        ) from None
    rows: Iterator[dict[str, Any]] = points(source)
    first = list(islice(rows, _ROWS))
    out = _Drain()
    schema = pa.Table.from_pylist(first).schema if first else pa.schema([("second", pa.int64())])
    writer = pq.ParquetWriter(out, schema)
    while first:
        writer.write_table(pa.Table.from_pylist(first, schema=schema))
        yield out.taken()
        first = list(islice(rows, _ROWS))
    writer.close()
    yield out.taken()


class _Drain(io.RawIOBase):
    """A file that keeps only what has not been taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._written

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._written += len(part)
        return len(part)

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)

"""The series as Parquet, for data frames."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import islice
from typing import Any

from heyfleet.results.archive.errors import ArchiveError
from heyfleet.results.export.run_view import RunView
from heyfleet.results.export.series import COLUMNS, INT_COLUMNS, points

_ROWS_PER_GROUP = 4096  # in memory at a time


def parquet(view: RunView) -> Iterator[bytes]:
    """Return a row for each second, with the columns of the series as CSV, written group by group."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ArchiveError(
            "--as parquet needs the package pyarrow, which is not installed",
            "run pip install 'heyfleet[parquet]'",
        ) from None
    rows: Iterator[dict[str, Any]] = points(view)
    out = _ChunkBuffer()
    schema = pa.schema([(name, pa.int64() if name in INT_COLUMNS else pa.float64()) for name in COLUMNS])
    writer = pq.ParquetWriter(out, schema)
    while group := list(islice(rows, _ROWS_PER_GROUP)):
        writer.write_table(pa.Table.from_pylist(group, schema=schema))
        yield out.drain()
    writer.close()
    yield out.drain()


class _ChunkBuffer(io.RawIOBase):
    """A file that holds only what was written since the last `drain`."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._size

    def write(self, data: Any) -> int:
        chunk = bytes(data)
        self._chunks.append(chunk)
        self._size += len(chunk)
        return len(chunk)

    def drain(self) -> bytes:
        """Return what was written since the last call."""
        chunks, self._chunks = self._chunks, []
        return b"".join(chunks)

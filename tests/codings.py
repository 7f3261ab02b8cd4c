"""Content in each coding, compressed by common command-line tools."""

from __future__ import annotations

import gzip
import subprocess
import zlib
from collections.abc import Callable


def raw_deflate(content: bytes) -> bytes:
    """Compress without the zlib wrapper, as some servers do."""
    deflate = zlib.compressobj(wbits=-15)
    return deflate.compress(content) + deflate.flush()


def _piped(*command: str) -> Callable[[bytes], bytes]:
    return lambda content: subprocess.run(command, input=content, capture_output=True, check=True).stdout


ENCODE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": _piped("brotli", "-c", "-q", "5"),
    "zstd": _piped("zstd", "-c", "-q"),
}

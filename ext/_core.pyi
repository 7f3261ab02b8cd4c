"""Typed face of the native engine."""

from typing import final

from _typeshed import ReadableBuffer

ERROR_NAMES: tuple[str, ...]
HTTP1_RESULT_NAMES: tuple[str, ...]
HTTP1_REASON_NAMES: tuple[str, ...]

@final
class Http1Parser:
    """A parser of one HTTP/1.x response; `start` makes it ready for the next.

    head_request: the response answers a HEAD request, so that it has no content whatever its fields say
    (RFC 9112 6.3).
    """

    def __init__(self, head_request: bool = False) -> None: ...
    def start(self, head_request: bool = False) -> None:
        """Forget everything and expect a status line."""

    def feed(self, data: ReadableBuffer) -> tuple[str, int]:
        """Read on in any object with the buffer protocol; the result and how many of its bytes were consumed.

        "more": all of them. "done": up to the response's last byte. "bad", "too large": up to what is wrong.
        """

    def finish(self) -> str:
        """Tell that the peer ended the stream: "done", "closed early", or what it was before."""

    @property
    def status(self) -> int:
        """The status code; 0 before it is read. After an interim (1xx) response, that of the next one."""

    @property
    def keep_alive(self) -> bool:
        """Whether the connection may carry another request (RFC 9112 9.3); False before the head ends."""

    @property
    def body_bytes(self) -> int:
        """Bytes of content received, without chunk framing."""

    @property
    def reason(self) -> str:
        """Why the result is "bad" or "too large", one of HTTP1_REASON_NAMES; else empty."""

# The HTTP/1 parser for Python: for tests and tools; the engine feeds its own.

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer


cdef struct ParserDecoding:
    Decoding answer
    DecodePool pool
    WorkBudget work
    int64_t work_a_feed


@cython.final
cdef class Http1Parser:
    """A parser of one HTTP/1.x response. Documented in _core.pyi."""

    cdef Http1 parser
    cdef Http1Location kept_location
    cdef bint keeps
    cdef ParserDecoding *decoding

    def __cinit__(
        self, head_request: bool = False, keep_location: bool = False, decode: bool = False, work: int = 1 << 62
    ) -> None:
        self.keeps = keep_location
        if decode:
            self.decoding = <ParserDecoding *> calloc(1, sizeof(ParserDecoding))
            if self.decoding == NULL or not decode_pool_init(&self.decoding.pool, &self.decoding.work):
                raise MemoryError
            self.decoding.answer.pool = &self.decoding.pool
            self.decoding.work_a_feed = work
        self.start(head_request)

    def __dealloc__(self):
        free(self.kept_location.data)
        if self.decoding != NULL:
            decode_forget(&self.decoding.answer)
            decode_pool_free(&self.decoding.pool)
            free(self.decoding)

    def start(self, head_request: bool = False) -> None:
        """Forget everything and expect a status line."""
        http1_start(&self.parser, head_request, &self.kept_location if self.keeps else NULL,
                    &self.decoding.answer if self.decoding != NULL else NULL)

    def feed(self, data) -> tuple[str, int]:
        """Read on in any object with the buffer protocol; the result and how many of its bytes were consumed.

        "more": all of them. "done": up to the response's last byte. "bad", "too large": up to what is wrong. "paused": the
        rest must be passed again.
        """
        cdef Py_buffer view
        cdef size_t consumed
        cdef Http1Result result
        if self.decoding != NULL:
            self.decoding.work.left = self.decoding.work_a_feed
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        result = http1_feed(&self.parser, <const uint8_t *> view.buf, view.len, &consumed)
        PyBuffer_Release(&view)
        return HTTP1_RESULT_NAMES[<int> result], consumed

    def finish(self) -> str:
        """Tell that the peer ended the stream: "done", "closed early", or what it was before."""
        return HTTP1_RESULT_NAMES[<int> http1_finish(&self.parser)]

    @property
    def status(self) -> int:
        """The status code; 0 before it is read. After an interim (1xx) response, that of the next one."""
        return self.parser.status

    @property
    def keep_alive(self) -> bool:
        """Whether the connection may carry another request (RFC 9112 9.3); False before the head ends."""
        return bool(self.parser.keep_alive)

    @property
    def body_bytes(self) -> int:
        """Bytes of content received, without chunk framing."""
        return self.parser.body_bytes

    @property
    def decoded_bytes(self) -> int:
        """Bytes of content after decoding, with `decode`; else 0."""
        return self.decoding.answer.decoded_bytes if self.decoding != NULL else 0

    @property
    def location(self) -> bytes:
        """The Location of a redirect, with `keep_location`; else empty."""
        return (<const char *> self.kept_location.data)[:self.kept_location.bytes] if self.kept_location.bytes else b""

    @property
    def reason(self) -> str:
        """Why the result is "bad" or "too large", one of HTTP1_REASON_NAMES; else empty."""
        return HTTP1_REASON_NAMES[self.parser.reason]

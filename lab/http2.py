"""The faulty server over HTTP/2: each stream gets the response that its URL selects, independently of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError, StreamClosedError
from hyperframe.frame import GoAwayFrame

from heyfleet.lab.behavior import Behavior, ParsedTarget
from heyfleet.lab.request import BODY_LIMIT_BYTES, Head
from heyfleet.lab.response import End, delay_s

PREFACE_BEGIN = b"PRI * HTTP/2.0\r\n"
Interpret = Callable[[Head, bytes], tuple[ParsedTarget, Behavior, bytes]]


class Callbacks(NamedTuple):
    """What an HTTP/2 connection calls: to interpret a request, to count an abandoned one, and to end the connection."""

    interpret: Interpret
    abandon: Callable[[ParsedTarget], None]
    end: Callable[[End], None]
    random: Random


class Stream:
    """One request, and the unsent rest of its response."""

    def __init__(self, head: Head) -> None:
        self.head = head
        self.body = bytearray()
        self.target: ParsedTarget | None = None
        self.unsent = memoryview(b"")
        self.end: End | None = None  # what follows the unsent bytes; None: the end of the stream
        self.is_responding = False


class Http2Connection:
    """One connection after its preface. Writes with `write`, and waits with timers of the running loop."""

    def __init__(self, write: Callable[[bytes], None], callbacks: Callbacks) -> None:
        config = H2Configuration(
            client_side=False,
            header_encoding="latin-1",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self._h2 = H2Connection(config)
        self._h2.initiate_connection()
        self._write = write
        self._callbacks = callbacks
        self._streams: dict[int, Stream] = {}
        self._requests = 0
        self._is_leaving = False
        self._flush()

    def feed(self, data: bytes) -> None:
        """Handle received bytes; a protocol error is reported to the client and ends the connection."""
        try:
            events = self._h2.receive_data(data)
        except ProtocolError:
            self._flush()
            self._callbacks.end(End.CLOSE)
            return
        for event in events:
            self._handle(event)
        self._flush()

    def connection_lost(self) -> None:
        """Count the responses that can no longer be sent as abandoned."""
        for stream in self._streams.values():
            if stream.target is not None:
                self._callbacks.abandon(stream.target)
        self._streams.clear()

    def _handle(self, event: Event) -> None:
        if isinstance(event, RequestReceived) and event.stream_id is not None:
            self._streams[event.stream_id] = Stream(_head(dict(event.headers or [])))  # type: ignore[arg-type]
        elif isinstance(event, DataReceived) and event.stream_id is not None:
            self._h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
            stream = self._streams.get(event.stream_id)
            if stream is not None and len(stream.body) < BODY_LIMIT_BYTES:
                stream.body += event.data or b""
        elif isinstance(event, StreamEnded) and event.stream_id in self._streams:
            self._answer(event.stream_id, self._streams[event.stream_id])
        elif isinstance(event, StreamReset) and event.stream_id in self._streams:
            stream = self._streams.pop(event.stream_id)
            if stream.target is not None:
                self._callbacks.abandon(stream.target)
        elif isinstance(event, WindowUpdated | RemoteSettingsChanged):
            for number, stream in list(self._streams.items()):
                if stream.is_responding:
                    self._push(number, stream)

    def _answer(self, number: int, stream: Stream) -> None:
        if self._is_leaving:
            del self._streams[number]  # GOAWAY has told the client that this request is not processed
            return
        self._requests += 1
        stream.target, behavior, content = self._callbacks.interpret(stream.head, bytes(stream.body))
        if 0 < behavior.keepalive <= self._requests:
            self._is_leaving = True
            self._write(self._h2.data_to_send() + GoAwayFrame(last_stream_id=number).serialize())
        wait_s = delay_s(behavior, self._callbacks.random)
        if wait_s:
            asyncio.get_running_loop().call_later(wait_s, self._begin, number, behavior, content)
        else:
            self._begin(number, behavior, content)

    def _begin(self, number: int, behavior: Behavior, content: bytes) -> None:
        stream = self._streams.get(number)
        if stream is None:
            return
        if behavior.garbage:
            self._write(self._callbacks.random.randbytes(behavior.garbage))
            self._callbacks.end(End.CLOSE)
            return
        for _ in range(behavior.pings):
            self._h2.ping(self._callbacks.random.randbytes(8))
        if behavior.stream_error is not None:
            self._reset(number, behavior.stream_error)
            self._flush()
            return
        for status in behavior.interim:
            self._h2.send_headers(number, [(":status", str(status))])
        has_body = stream.head.method != "HEAD" and behavior.status not in (204, 304)
        cut = _cut(behavior)
        stream.end = cut[1] if cut else None
        stream.unsent = memoryview(content if has_body else b"")[: cut[0] if cut else None]
        stream.is_responding = True
        fields = list(_fields(behavior, len(content), has_body=has_body))
        ends = not has_body and stream.end is None
        self._h2.send_headers(number, fields, end_stream=ends)
        if ends:
            self._done(number)
        else:
            self._push(number, stream)
        self._flush()

    def _push(self, number: int, stream: Stream) -> None:
        """Send as much of a response as the client's flow-control windows allow."""
        try:
            while stream.unsent and (room := self._h2.local_flow_control_window(number)) > 0:
                size = min(room, self._h2.max_outbound_frame_size, len(stream.unsent))
                last = size == len(stream.unsent) and stream.end is None
                self._h2.send_data(number, stream.unsent[:size].tobytes(), end_stream=last)
                stream.unsent = stream.unsent[size:]
                if last:
                    self._done(number)
                    return
        except StreamClosedError:
            self._done(number)
            return
        if stream.unsent:
            return
        if stream.end is None:  # the body is empty
            self._h2.end_stream(number)
            self._done(number)
        elif stream.end is End.RESET:
            self._reset(number, ErrorCodes.INTERNAL_ERROR)
        elif stream.end is End.CLOSE:
            self._flush()
            self._callbacks.end(End.CLOSE)

    def _reset(self, number: int, code: int) -> None:
        self._h2.reset_stream(number, code)
        self._done(number)

    def _done(self, number: int) -> None:
        self._streams.pop(number, None)
        if self._is_leaving and not self._streams:
            self._flush()
            self._callbacks.end(End.CLOSE)

    def _flush(self) -> None:
        if data := self._h2.data_to_send():
            self._write(data)


def _head(fields: dict[str, str]) -> Head:
    headers = tuple((name, value) for name, value in fields.items() if not name.startswith(":"))
    return Head(fields.get(":method", ""), fields.get(":path", "/"), "2", headers, 0, "")


def _fields(behavior: Behavior, length: int, *, has_body: bool) -> Iterator[tuple[str, str]]:
    yield ":status", str(behavior.status)
    yield "content-type", "text/plain"
    if behavior.length or (has_body and not (behavior.is_chunked or behavior.to_close)):
        yield "content-length", behavior.length or str(length)
    if behavior.header:
        name, _, value = behavior.header.partition(":")
        yield name.lower(), value.strip()
    for number in range(1, behavior.headers + 1):
        yield f"x-extra-{number}", str(number)
    if behavior.header_bytes:
        yield "x-huge", "x" * behavior.header_bytes


def _cut(behavior: Behavior) -> tuple[int, End] | None:
    """Return after how many bytes of content a response is cut off, and how; None if it is not."""
    cuts = (
        (behavior.close_after, End.CLOSE),
        (behavior.reset_after, End.RESET),
        (behavior.hang_after, End.HANG),
    )
    return next(((after, end) for after, end in cuts if after is not None), None)

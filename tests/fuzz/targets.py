"""Fuzz targets: functions that accept any bytes, and raise if heyfleet mishandles them.

The first bytes of an input select how the rest is fed to its target. No socket is opened, and time is simulated.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator

import hpack
from hdrh.histogram import HdrHistogram

from heyfleet.agent.http.template import Compiler
from heyfleet.documents import parse_json
from heyfleet.encodings import decode
from heyfleet.errors import InputError
from heyfleet.ext import Engine, Http1Parser, SimIo, SimPeer, hpack_decode, hpack_encode, http2_request
from heyfleet.plan import targets_file as targetsfile
from heyfleet.plan import url as urls
from heyfleet.plan.template import TemplateError, Value, parse
from heyfleet.proto.plan_pb2 import Column, Header, Plan, Request, Target
from heyfleet.proto.stats_pb2 import Snapshot
from heyfleet.results.compare.foreign_readers import parse_sample
from heyfleet.results.compare.sample import FileOptions
from heyfleet.results.metrics import InvalidSnapshotError
from heyfleet.results.stats import Stats
from heyfleet.yaml_documents import YamlError, compose_yaml, load_yaml

from ..codings import raw_deflate
from ..engines import make_engine
from ..http2_peer import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    PING,
    frame,
    goaway,
    hello,
    reset,
    settings,
    window_update,
)
from .agent_messages import agent_messages, agent_messages_seeds
from .plans import plan_seeds, plans

REQUESTS = 6
SECOND_NS = 1_000_000_000
COLUMNS = {"id": [b"1", b"22", b"333"], "name": [b"a b", b"c&d"]}
_GET = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"localhost"), (b":path", b"/")]
_CODINGS = ("", "gzip", "deflate", "br", "zstd", "gzip, br", "zstd, deflate", "gzip, gzip, gzip, gzip")


def http1(data: bytes) -> None:
    """Parse an HTTP/1.1 response whole and in pieces, with the same result."""
    if len(data) < 2:
        return
    options = {"head_request": bool(data[0] & 1), "keep_location": bool(data[0] & 2)}
    _same_in_pieces(data[2:], 1 + data[1], lambda: Http1Parser(**options))


def content(data: bytes) -> None:
    """Decode content, valid or not, whole, in pieces and over many turns, with the same result."""
    if len(data) < 2:
        return
    coding = _CODINGS[data[0] % len(_CODINGS)]
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(data) - 2}\r\n\r\n".encode()
    )
    parser = Http1Parser(decode=True)
    result, _ = parser.feed(head + data[2:])
    _same_in_pieces(head + data[2:], 1 + data[1], lambda: Http1Parser(decode=True))
    slow = Http1Parser(decode=True, work=1 + data[1] % 8)
    result_of_turns, at = slow.feed(head + data[2:])
    while result_of_turns == "paused":
        result_of_turns, consumed = slow.feed((head + data[2:])[at:])
        at += consumed
    assert (result_of_turns, slow.reason) == (result, parser.reason)
    assert slow.decoded_bytes == parser.decoded_bytes or result != "done"
    if coding == "gzip" and result == "done" and len(data) > 2:
        assert parser.decoded_bytes == len(gzip.decompress(data[2:]))


def _same_in_pieces(answer: bytes, piece_bytes: int, make: Callable[[], Http1Parser]) -> None:
    whole, pieces = make(), make()
    result, consumed = whole.feed(answer)
    result_of_pieces, consumed_of_pieces = "more", 0
    while result_of_pieces == "more" and consumed_of_pieces < len(answer):
        piece = answer[consumed_of_pieces : consumed_of_pieces + piece_bytes]
        result_of_pieces, taken = pieces.feed(piece)
        consumed_of_pieces += taken
    for _ in range(2):
        assert result_of_pieces == result
        assert result == "bad" or consumed_of_pieces == consumed
        for fact in ("reason", "status", "location", "keep_alive"):
            assert getattr(pieces, fact) == getattr(whole, fact), fact
        if result == "done":
            assert (pieces.body_bytes, pieces.decoded_bytes) == (whole.body_bytes, whole.decoded_bytes)
        result, result_of_pieces = whole.finish(), pieces.finish()


def http2(data: bytes) -> None:
    """Run against an HTTP/2 server that sends these bytes on each connection: the run ends and its counters add up."""
    if len(data) < 3:
        return
    peer = SimPeer(
        "answer", response=data[2:], request_bytes=64, split_bytes=data[1], requests_per_connection=2
    )
    engine = make_engine(
        io=SimIo({80: peer}),
        addresses=[("127.0.0.1", 80)],
        messages=[(http2_request(_GET, b"body" * (data[0] & 1), False), False, True)],
        http2=True,
        connections=1,
        streams=1 + (data[0] >> 1 & 3),
        request_count=REQUESTS,
        decode=bool(data[0] & 8),
        timeout_ns=SECOND_NS,
    )
    _runs_to_its_end(engine)


def fields(data: bytes) -> None:
    """Decode a field block: the result is that of the package hpack."""
    decoder = hpack.Decoder()
    decoder.header_table_size = decoder.max_allowed_table_size = 0
    result, status, length = hpack_decode(data)
    try:
        theirs = [(bytes(name), bytes(value)) for name, value in decoder.decode(data, raw=True)]
    except (hpack.HPACKError, UnicodeDecodeError):
        return
    assert result != "broken", theirs
    if result == "good":
        fields = dict(reversed(theirs))
        assert status == int(fields.get(b":status", b"0"))
        assert length == int(fields.get(b"content-length", b"-1"))


def template(data: bytes) -> None:
    """Render placeholders in a URL, a header and a body, one per line: their length on the wire is within limits."""
    texts = [line.decode("latin-1") for line in data.split(b"\n", 2)]
    target, header, body = [*texts, "", "", ""][:3]
    try:
        parsed = [parse(text) for text in ("/" + target, header, body)]
    except TemplateError:
        return
    pieces = [piece for text in parsed for piece in text]
    known = all(
        piece.column in COLUMNS for piece in pieces if isinstance(piece, Value) and piece.kind == "csv"
    )
    if not known or "\r\n\r\n" in body or not urls_take("/" + target) or not _is_header(header):
        return
    plan = Plan(
        target=Target(scheme="http", host="a", port=80),
        requests=[
            Request(
                method="PUT",
                request_target="/" + target,
                headers=[Header(name="Host", value="a"), Header(name="X", value=header)],
                body=body.encode("latin-1"),
            )
        ],
        template=True,
        data=[Column(name=name, values=values) for name, values in COLUMNS.items()],
    )
    compiler = Compiler(plan)
    io = SimIo({80: SimPeer("answer", response=b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")})
    engine = make_engine(
        io=io,
        addresses=[("127.0.0.1", 80)],
        messages=[(compiler.http1(plan.requests[0]), False)],
        columns=compiler.columns,
        connections=1,
        request_count=REQUESTS,
        timeout_ns=SECOND_NS,
    )
    _runs_to_its_end(engine)
    assert engine.totals["responses"] == REQUESTS
    frame_bytes = len(b"PUT  HTTP/1.1\r\nHost: a\r\nX: \r\nContent-Length: \r\n\r\n")
    lengths = [[_lengths(piece, number) for piece in pieces] for number in range(REQUESTS)]
    least = sum(frame_bytes + 1 + sum(low for low, _ in each) for each in lengths)
    most = sum(frame_bytes + len(str(1 << 40)) + sum(high for _, high in each) for each in lengths)
    assert least <= io.bytes_in <= most


def urls_take(text: str) -> bool:
    """Whether a path needs no percent-encoding."""
    return text.isascii() and text.isprintable() and " " not in text and "#" not in text


def _is_header(text: str) -> bool:
    return text.isascii() and text.isprintable() and text == text.strip()


def _lengths(piece: str | Value, number: int) -> tuple[int, int]:
    """Return the limits of a piece's rendered length, without and with percent-encoding."""
    if isinstance(piece, str):
        return len(piece), len(piece)
    if piece.kind == "rand":
        ends = (len(str(piece.low)), len(str(piece.high)))
        return (1 if piece.low < 0 else min(ends)), max(ends)
    if piece.kind == "csv":
        value = COLUMNS[piece.column][number % len(COLUMNS[piece.column])]
        return len(value), 3 * len(value)
    length = 36 if piece.kind == "uuid" else len(str(number))
    return length, length


def targets(data: bytes) -> None:
    """Read a targets file: entries are complete requests, or the error names a line."""
    try:
        entries = targetsfile.parse(data.decode("utf-8", "surrogateescape"))
        entries = [entry for entry in entries if not entry.body_file]
        base, taken = targetsfile.resolve_host(entries, "http://localhost/")
    except targetsfile.TargetsError as error:
        assert str(error)
        return
    urls.parse(base)
    for entry in taken:
        assert entry.method
        assert entry.url.startswith("/") or entry.url == "*"
        assert all(name and "\n" not in name + value for name, value in entry.headers)


def documents(data: bytes) -> None:
    """Read JSON and YAML: there is a value, or an error of one line that names a place."""
    try:
        parse_json(data)
    except ValueError as error:
        assert "\n" not in str(error)
    for read in (compose_yaml, load_yaml):
        try:
            read(data.decode("utf-8", "replace"))
        except YamlError as error:
            assert error.line >= 1


def foreign(data: bytes) -> None:
    """Read a file of another tool: there is a sample to compute with, or an InputError that names the file."""
    try:
        sample = parse_sample("file", decode(data, "replace"), FileOptions())
    except InputError as error:
        assert str(error).startswith("file: ")
        return
    assert sample.count > 0
    assert sample.seconds is None or sample.seconds > 0
    low_ns, high_ns = sample.quantile(0.99)
    assert 0 <= low_ns <= high_ns


def snapshot(data: bytes) -> None:
    """Merge a message of an agent wholly or not at all."""
    message = Snapshot()
    try:
        message.ParseFromString(data)
    except Exception as error:  # protobuf raises its own classes
        assert type(error).__name__ == "DecodeError"
        return
    stats = Stats()
    try:
        stats.add(message)
    except InvalidSnapshotError as error:
        assert str(error)
        assert not stats.completed
        assert not stats.histograms or not stats.histograms["latency"].count
        return
    assert stats.responses.total() == sum(message.responses.values())
    assert not stats.add(message)


def _runs_to_its_end(engine: Engine) -> None:
    engine.start(1)
    engine.run()
    snapshot = engine.snapshot()
    answered, failed = sum(snapshot.responses.values()), sum(snapshot.errors.values())
    assert snapshot.counters["sent"] == answered + failed + snapshot.counters["abandoned"] == REQUESTS


TARGETS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each
    for each in (
        http1,
        content,
        http2,
        fields,
        template,
        targets,
        documents,
        foreign,
        snapshot,
        plans,
        agent_messages,
    )
}


def seeds(name: str) -> Iterator[bytes]:
    """Return the initial inputs of a target."""
    return {
        "http1": _http1_seeds,
        "content": _content_seeds,
        "http2": _http2_seeds,
        "fields": _fields_seeds,
        "template": _template_seeds,
        "targets": _targets_seeds,
        "documents": _documents_seeds,
        "foreign": _foreign_seeds,
        "snapshot": _snapshot_seeds,
        "plans": plan_seeds,
        "agent_messages": agent_messages_seeds,
    }[name]()


def _http1_seeds() -> Iterator[bytes]:
    head = b"HTTP/1.1 200 OK\r\nServer: x\r\nConnection: keep-alive, close\r\n"
    yield b"\0\x10" + head + b"Content-Length: 5\r\n\r\nhello"
    yield b"\x02\3" + b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"
    yield b"\0\xff" + head + b"Transfer-Encoding: gzip, chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: x\r\n\r\n"
    yield b"\1\1" + b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 404 No\nContent-Length: 12\n\n"


def _content_seeds() -> Iterator[bytes]:
    text = b"some text, over and over; " * 20
    yield b"\0\1" + text
    yield b"\1\7" + gzip.compress(text) + gzip.compress(b"")
    yield b"\2\7" + zlib.compress(text)
    yield b"\2\1" + raw_deflate(text)
    yield b"\3\3" + bytes.fromhex("0b028068656c6c6f03")  # br
    yield b"\4\3" + bytes.fromhex("28b52ffd0405290000") + b"hello" + bytes.fromhex("a36e2d7a")
    yield b"\7\x40" + gzip.compress(gzip.compress(gzip.compress(gzip.compress(text))))


def _http2_seeds() -> Iterator[bytes]:
    first = settings(streams=3) + hello(1)
    yield b"\0\0" + first
    yield b"\3\7" + first + window_update(0, 100) + hello(3) + reset(5, 7) + goaway(3)
    block = hpack_encode([(b":status", b"200"), (b"content-encoding", b"gzip")])
    packed = gzip.compress(b"hello" * 9)
    yield (
        b"\x0e\0"
        + settings()
        + frame(HEADERS, 0, 1, block[:2])
        + frame(CONTINUATION, END_HEADERS, 1, block[2:])
        + frame(PING, 0, 0, bytes(8))
        + frame(DATA, PADDED | END_STREAM, 1, b"\2" + packed + b"\0\0")
        + hello(3)
    )


def _fields_seeds() -> Iterator[bytes]:
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    lines = [(b":status", b"404"), (b"content-length", b"12"), (b"location", b"/x"), (b"a", b"b" * 200)]
    for huffman in (False, True):
        yield encoder.encode(lines, huffman=huffman)
    yield b"\x20\x88\x0f\x0d\x017"


def _template_seeds() -> Iterator[bytes]:
    yield b"a/{seq}?q={rand:1-100}&n={csv:name}\n{uuid} {{seq}}\n{'json': {csv:id}}"
    yield b"{rand:-5-5}\nx\n{nothing}"


def _targets_seeds() -> Iterator[bytes]:
    yield b"GET http://localhost/a\nHost: x\n\nPOST http://localhost/b\n@body\n# word\nGET /c\n"
    yield b'{"method": "GET", "url": "http://localhost/", "header": {"A": ["b"]}, "body": "eA==", "weight": 2}\n'


def _documents_seeds() -> Iterator[bytes]:
    yield b'{"a": [1, 2.5e3, null, true], "b": {"c": "\\u00e4"}}'
    yield b"a: &a [1, b]\nc: {<<: {d: 2026-11-25}, e: *a}\nf: |\n  text\n"


def _foreign_seeds() -> Iterator[bytes]:
    yield b"response-time,offset,status-code\n0.1,0.2,200\n"
    yield b'{"latency": 5, "code": 200, "timestamp": "2026-11-25T10:00:00.123456789+01:00"}\n'
    yield b"1795600000000000000,200,5000,5,5,,aGV5,,1\n"
    yield b"Summary:\n  Total: 1.5 secs\nResponse time histogram:\n  0.1 [1]\n  0.2 [5]\n"
    table = b"Detailed Percentile spectrum:\nValue Percentile TotalCount\n 1.0 0.5 50\n 2.0 1.0 100 inf\n"
    yield (
        table
        + b"  100 requests in 1.00s\nSocket errors: connect 1, read 2, write 3, timeout 4\nRequests/sec: 100\n"
    )
    histogram = HdrHistogram(1, 1 << 40, 2)
    histogram.record_value(5000)
    begin = b'# text\n"StartTimestamp","EndTimestamp"\n'
    yield begin + b"Tag=a,1.5,2.5,0.1," + bytes(histogram.encode()) + b"\n"


def _snapshot_seeds() -> Iterator[bytes]:
    from ..fleet.fake import snapshot as agent_snapshot

    yield agent_snapshot("a1", 1, [1000, 2_000_000]).SerializeToString()

# What an engine is made from. Documented in _core.pyi.

from typing import NamedTuple


class TargetConfig(NamedTuple):
    addresses: list
    sources: tuple = ()
    tls: object = None
    tunnel: bytes = b""
    http2: bool = False
    follower: object = None


class RequestConfig(NamedTuple):
    messages: list
    order: tuple = (0,)
    columns: tuple = ()
    decode: bool = False


class ConnectionConfig(NamedTuple):
    connections: int
    streams: int = 1
    keep_alive: bool = True
    timeout_ns: int = 0
    plan_connections: int = 0
    first: int = 0
    stride: int = 1
    single: bool = False


class LoadConfig(NamedTuple):
    model: str = "closed"
    stages: tuple = ()
    poisson: bool = False
    seed: int = 0
    think: object = None
    catch_up: bool = False
    request_count: int = 0
    duration_ns: int = 0
    warmup_ns: int = 0
    sends_per_s_at_most: float = 0.0
    run_ns_at_most: int = 0


class RecordingConfig(NamedTuple):
    kernel_timestamps: bool = False
    trace_rows: int = 0


cdef check_configuration(target, connections, load, recording):
    """Raise ValueError for values that exclude each other or make no sense. The parts of the engine check the others."""
    if connections.connections < 1 or not target.addresses:
        raise ValueError("an engine needs at least one connection, one address and a request")
    if min(load.duration_ns, connections.timeout_ns, load.warmup_ns, load.run_ns_at_most, load.sends_per_s_at_most) < 0:
        raise ValueError("durations and limits can't be negative")
    if load.request_count == 0 and load.duration_ns == 0:
        raise ValueError("an engine needs a number of requests or a duration")
    if load.model not in LOAD_MODELS:
        raise ValueError(f"the load model must be one of {', '.join(LOAD_MODELS)}, not {load.model!r}")
    if load.model != "closed" and not load.stages:
        raise ValueError(f"the load model {load.model} needs a stage")
    if connections.streams < 1 or (connections.streams > 1 and not (target.http2 and load.model in ("closed", "rate"))):
        raise ValueError("several streams a connection need HTTP/2 and one of the load models closed and rate")
    if target.http2 and recording.kernel_timestamps:
        raise ValueError("kernel timestamps are not available for the streams of HTTP/2")

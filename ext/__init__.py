"""The native engine: sockets, bytes and nanoseconds; no flags, no printing, no gRPC."""

from heyfleet.ext._core import (
    ERROR_NAMES,
    METRIC_NAMES,
    Engine,
    EngineSnapshot,
    EpollIo,
    Histogram,
    Io,
    IoProbe,
    PacerProbe,
    ProbeEvent,
    SimIo,
    SimPeer,
    UringIo,
    backends,
)

__all__ = [
    "ERROR_NAMES",
    "METRIC_NAMES",
    "Engine",
    "EngineSnapshot",
    "EpollIo",
    "Histogram",
    "Io",
    "IoProbe",
    "PacerProbe",
    "ProbeEvent",
    "SimIo",
    "SimPeer",
    "UringIo",
    "backends",
]

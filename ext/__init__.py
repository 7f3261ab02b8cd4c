"""The native engine: sockets, bytes and nanoseconds; no flags, no printing, no gRPC."""

from heyfleet.ext._core import ERROR_NAMES, EpollIo, Io, IoProbe, ProbeEvent, SimIo, SimPeer, UringIo

__all__ = ["ERROR_NAMES", "EpollIo", "Io", "IoProbe", "ProbeEvent", "SimIo", "SimPeer", "UringIo"]

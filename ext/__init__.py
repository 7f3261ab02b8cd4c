"""The native engine: sockets, bytes and nanoseconds; no flags, no printing, no gRPC."""

from heyfleet.ext._core import ERROR_NAMES, Histogram

__all__ = ["ERROR_NAMES", "Histogram"]

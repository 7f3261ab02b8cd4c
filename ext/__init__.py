"""The native engine: sockets, bytes and nanoseconds; no flags, no printing, no gRPC."""

from heyfleet.ext._core import ERROR_NAMES, HTTP1_REASON_NAMES, HTTP1_RESULT_NAMES, Http1Parser

__all__ = ["ERROR_NAMES", "HTTP1_REASON_NAMES", "HTTP1_RESULT_NAMES", "Http1Parser"]

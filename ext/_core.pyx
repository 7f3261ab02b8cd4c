# cython: freethreading_compatible = False
"""The native engine. Parts are included in the order of dependence: each uses only those above it."""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

include "consts.pxi"
include "clock.pxi"
include "outcome.pxi"
include "io.pxi"
include "http1_types.pxi"
include "http1.pxi"
include "http1_parser.pxi"

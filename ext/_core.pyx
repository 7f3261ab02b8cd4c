# cython: freethreading_compatible = False
"""The native engine. Parts are included in the order of dependence: each uses only those above it."""

from cython cimport final
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

include "consts.pxi"
include "clock.pxi"
include "outcome.pxi"
include "io.pxi"
include "address.pxi"
include "io_epoll.pxi"
include "io_uring.pxi"
include "io_sim_peer.pxi"
include "io_sim.pxi"
include "io_probe.pxi"

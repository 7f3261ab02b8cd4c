# cython: freethreading_compatible = False
"""The native engine. Parts are included in the order of dependence: each uses only those above it."""

from cython cimport final
from libc.errno cimport errno
from libc.stdint cimport INT64_MAX, int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.stdio cimport snprintf
from libc.string cimport memset, strerror

from time import sleep

include "consts.pxi"
include "clock.pxi"
include "promptness.pxi"
include "outcome.pxi"
include "chance.pxi"
include "histogram.pxi"
include "histogram_codec.pxi"
include "histogram_object.pxi"
include "io.pxi"
include "address.pxi"
include "stamps.pxi"
include "io_epoll.pxi"
include "io_uring.pxi"
include "decode.pxi"
include "http1_types.pxi"
include "http1_steps.pxi"
include "http1.pxi"
include "tls_context.pxi"
include "tls_slot.pxi"
include "io_tls.pxi"
include "io_tunnel.pxi"
include "hpack.pxi"
include "http2.pxi"
include "http2_sessions.pxi"
include "http2_reading.pxi"
include "io_http2.pxi"
include "backends.pxi"
include "io_sim_peer.pxi"
include "io_sim.pxi"
include "io_probe.pxi"
include "http1_parser.pxi"
include "shape.pxi"
include "pacer.pxi"
include "recorder.pxi"
include "messages.pxi"
include "conn.pxi"
include "timers.pxi"
include "tallies.pxi"
include "redirects.pxi"
include "template.pxi"
include "slots.pxi"
include "expect.pxi"
include "connections.pxi"
include "loops.pxi"
include "engine.pxi"
include "engine_snapshot.pxi"
include "engine_face.pxi"

# cython: freethreading_compatible = False
"""The native engine. Parts are included in the order of dependence: each uses only those above it."""

from cython cimport final
from libc.errno cimport errno
from libc.stdint cimport INT64_MAX, int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.stdio cimport snprintf
from libc.string cimport memset, strerror

from time import sleep

include "base/consts.pxi"
include "base/clock.pxi"
include "base/thread_scheduling.pxi"
include "base/errors.pxi"
include "base/random.pxi"
include "histogram/hdr.pxi"
include "histogram/codec.pxi"
include "histogram/object.pxi"
include "io/contract.pxi"
include "io/address.pxi"
include "io/kernel_timestamps.pxi"
include "io/epoll.pxi"
include "io/uring.pxi"
include "io/content_decoding.pxi"
include "http1/types.pxi"
include "http1/lexer.pxi"
include "http1/parser.pxi"
include "io/tls_context.pxi"
include "io/tls_connection.pxi"
include "io/tls.pxi"
include "io/tunnel.pxi"
include "http2/hpack.pxi"
include "http2/frames.pxi"
include "http2/sender.pxi"
include "http2/receiver.pxi"
include "http2/backend.pxi"
include "io/backends.pxi"
include "io/sim_peer.pxi"
include "io/sim.pxi"
include "io/probe.pxi"
include "http1/object.pxi"
include "load/profile.pxi"
include "load/pacer.pxi"
include "engine/recorder.pxi"
include "engine/requests.pxi"
include "engine/connection.pxi"
include "load/timers.pxi"
include "engine/accounting.pxi"
include "engine/redirects.pxi"
include "engine/template.pxi"
include "engine/pool.pxi"
include "engine/expect_continue.pxi"
include "engine/lifecycle.pxi"
include "load/loops.pxi"
include "engine/worker.pxi"
include "engine/snapshot.pxi"
include "engine/object.pxi"

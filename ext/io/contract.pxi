# The io contract: what a backend promises the engine. Completion-shaped; readiness (epoll) emulates completions.
#
# A backend holds `slots` connections, numbered from 0. On each slot at most one connect or send is outstanding. From a
# successful connect on, what the peer sends is delivered as IO_RECV events, without being asked for, until the end
# of the stream, an error or `close`. A multishot receive does that natively, and it saves a call a response.
# Failures are events too: no call fails at once, so that a caller never recurses. After `close` no event of the slot's
# past is delivered: backends drop stale completions by comparing generations. One thread uses a backend, from `open` on.
# Between two calls of `wait` a backend and all layers above it share one budget of work (base/work.pxi).

from libc.errno cimport errno
from heyfleet.ext.c_posix cimport (
    IP_BIND_ADDRESS_NO_PORT, IPPROTO_IP, bind, setsockopt, sockaddr, sockaddr_storage, socklen_t,
)

cdef enum IoOp:
    IO_CONNECT
    IO_SEND
    IO_RECV
    # HTTP/2 only, where a slot is a stream and not a connection.
    IO_ANSWER
    IO_PROGRESS
    IO_GOAWAY

cdef struct IoEvent:
    uint32_t slot
    IoOp op
    # connect: 0; send: the whole length, never less; recv: bytes, 0 at the end of the stream. A negative errno on failure. After a
    # send that met a reset, the stream is delivered to its end all the same.
    # answer, progress: bytes received since the last of them.
    int64_t result
    # recv: the bytes, valid until the next call of next() or wait().
    const uint8_t *data
    # The earliest instant at which the backend knew that the event was complete.
    int64_t time_ns
    # connect, over TLS: the time that the handshake took, included in that of the connect, and whether it resumed a session.
    int64_t handshake_ns
    bint resumed
    # connect: the connection was opened for another slot.
    bint joined
    # answer: status, bytes of content, first byte (progress too), and whether the connection accepts no more requests.
    uint16_t status
    uint64_t body_bytes
    int64_t first_ns
    bint last
    # answer, progress: the Location of a redirect.
    const uint8_t *location
    size_t location_bytes


cdef inline int bind_source(int fd, const sockaddr *source, socklen_t length) noexcept nogil:
    """Bind a new socket to a local address; 0 or a positive errno.

    The port is left to connect(2), which knows the peer: two connections to different peers may then share one.
    """
    cdef int on = 1
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on))
    return errno if bind(fd, source, length) != 0 else 0


cdef class Io:
    """The interface of every backend. The contract stands at the top of this file."""

    cdef WorkBudget own_work
    cdef WorkBudget *work           # of the backend that talks to the kernel

    def __cinit__(self):
        self.own_work.left = WORK_A_TURN
        self.work = &self.own_work

    cdef int open(self, uint32_t slots) noexcept nogil:
        """Allocate what the backend needs, in the thread that will use it. 0 or a negative errno."""
        return 0

    cdef void shut(self) noexcept nogil:
        """Close every slot and free everything. Safe after a failed `open`, and when called twice."""
        pass

    cdef int64_t now(self) noexcept nogil:
        """Nanoseconds of the clock that events are stamped with; simulated in the simulated backend."""
        return monotonic_ns()

    cdef void connect(
        self, uint32_t slot, const sockaddr *address, socklen_t length, const sockaddr *source
    ) noexcept nogil:
        """Open a TCP connection on a closed slot. `address` stays valid until the event.

        `source`: the local address to come from, of the same family; NULL: the kernel's choice.
        """
        pass

    cdef void send(self, uint32_t slot, const uint8_t *data, size_t length) noexcept nogil:
        """Send all of `data`, which stays valid until the event (or `close`). One event follows, when the last byte was taken."""
        pass

    cdef void close(self, uint32_t slot) noexcept nogil:
        """Close the slot, whatever is outstanding on it, without an event. Closing a closed slot does nothing."""
        pass

    cdef int64_t kernel_latency_ns(self, uint32_t slot) noexcept nogil:
        """Time between the kernel's timestamps of the last byte sent and the last byte received; -1 if unknown."""
        return -1

    cdef int wait(self, int64_t deadline_ns) noexcept nogil:
        """Submit what is queued, then sleep until an event is there or the deadline is reached. 0 or a negative errno.

        It never sleeps longer than about MAX_WAIT_NS, so that the caller can look at its flags; and not at all where events
        are left from before, which are not lost. The budget of work is full again.
        """
        return 0

    cdef bint next(self, IoEvent *event) noexcept nogil:
        """Take the next event, or return False where none is left or the work is spent: then call wait().

        Invalidates the data of the event before.
        """
        return False

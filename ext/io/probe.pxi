# The Python face of a backend, for the contract suite.

from collections import namedtuple

from cython cimport no_gc

ProbeEvent = namedtuple("ProbeEvent", ("op", "slot", "result", "data", "time_ns"))

_OP_NAMES = {IO_CONNECT: "connect", IO_SEND: "send", IO_RECV: "recv"}


# No cycle can contain a probe; and without the collector, `io` still exists in __dealloc__.
@final
@no_gc
cdef class IoProbe:
    """Drives a backend from Python. Documented in _core.pyi."""

    cdef Io io
    cdef uint32_t slots
    cdef sockaddr_storage *addresses
    cdef list sending

    def __cinit__(self, Io io not None):
        self.io = io

    def __dealloc__(self):
        # The backend may still read the address of an outstanding connect.
        if self.addresses != NULL:
            self.io.shut()
            free(self.addresses)

    def open(self, uint32_t slots):
        """0 or a negative errno."""
        cdef int result
        if self.addresses != NULL:
            raise ValueError("open already")
        with nogil:
            result = self.io.open(slots)
        if result == 0:
            self.addresses = <sockaddr_storage *> calloc(slots, sizeof(sockaddr_storage))
            if self.addresses == NULL:
                raise MemoryError
            self.slots = slots
            self.sending = [None] * slots
        return result

    def shut(self):
        """Shut the backend. It is harmless to do so twice."""
        with nogil:
            self.io.shut()
        free(self.addresses)
        self.addresses = NULL
        self.slots = 0
        self.sending = []

    def now(self):
        """Nanoseconds of the backend's clock."""
        return self.io.now()

    def connect(self, uint32_t slot, address, str source=None):
        """Connect to (host, port), the host as an IPv4 or IPv6 literal, from the address `source`."""
        cdef socklen_t length
        cdef sockaddr_storage from_
        cdef const sockaddr *bound = NULL
        self.check(slot)
        host, port = address
        length = fill_address(host, port, &self.addresses[slot])
        if source is not None:
            fill_address(source, 0, &from_)
            bound = <const sockaddr *> &from_
        with nogil:
            self.io.connect(slot, <const sockaddr *> &self.addresses[slot], length, bound)

    def send(self, uint32_t slot, bytes data):
        """Send all of `data`."""
        cdef const uint8_t *start = data
        cdef size_t length = <size_t> len(data)
        self.check(slot)
        self.sending[slot] = data
        with nogil:
            self.io.send(slot, start, length)

    def close(self, uint32_t slot):
        """Close the slot. Nothing of its past is delivered from then on."""
        self.check(slot)
        with nogil:
            self.io.close(slot)
        self.sending[slot] = None

    def wait(self, int64_t timeout_ns):
        """Wait for an event, at most `timeout_ns`. 0 or a negative errno."""
        cdef int result
        if self.slots == 0:
            raise ValueError("not open")
        with nogil:
            result = self.io.wait(self.io.now() + timeout_ns)
        return result

    def next(self):
        """The next event, its bytes copied, or None: then wait."""
        cdef IoEvent event
        cdef bint there
        data = b""
        if self.slots == 0:
            raise ValueError("not open")
        with nogil:
            there = self.io.next(&event)
        if not there:
            return None
        if event.op == IO_RECV and event.result > 0:
            data = event.data[:event.result]
        elif event.op == IO_SEND:
            self.sending[event.slot] = None
        return ProbeEvent(_OP_NAMES[event.op], event.slot, event.result, data, event.time_ns)

    def drain(self, int64_t timeout_ns):
        """All events of the next `timeout_ns`."""
        cdef int64_t deadline_ns = self.io.now() + timeout_ns
        events = []
        while True:
            while (event := self.next()) is not None:
                events.append(event)
            if self.io.now() >= deadline_ns:
                return events
            if result := self.wait(deadline_ns - self.io.now()):
                raise OSError(-result, "wait failed")

    cdef int check(self, uint32_t slot) except -1:
        if slot >= self.slots:
            raise ValueError(f"slot {slot} is none of {self.slots}")
        return 0

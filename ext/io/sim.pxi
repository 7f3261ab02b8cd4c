# The io contract over a network that exists only in memory, with a clock of its own: whole runs of the engine in
# milliseconds, and the same run again for the same seed.
#
# Everything that will happen is in one heap, by virtual time. Each entry becomes one event, unless its slot was
# closed meanwhile: such stale entries are dropped by generation, as a real backend must.

from libc.stdlib cimport realloc
from libc.string cimport memcpy

from heyfleet.ext.c_posix cimport ECONNRESET, EMFILE, EPIPE

cdef enum:
    # Not 0, so that instants that were never set are noticed.
    SIM_START_NS = NS_PER_S
    SIM_CONNECT_TIMEOUT_S = 127
    SIM_PIECE_BYTES = 65536
    SIM_GAP_NS = 1000
    # Received bytes are overwritten with this when they become invalid, so that late readers are noticed.
    SIM_POISON = 0xdd

cdef enum SimEnd:
    SIM_STAY
    SIM_FIN
    SIM_RST

cdef struct SimEntry:
    int64_t time_ns
    uint64_t order
    uint32_t slot
    uint32_t generation
    IoOp op

cdef struct SimConnection:
    const SimBehaviour *peer
    uint32_t generation
    int connect_error
    bint open
    # The client's direction.
    const uint8_t *sending
    size_t sending_bytes
    uint64_t last_bytes  # The last bytes of the request so far.
    size_t request_bytes
    # The peer's direction.
    bint streaming  # An entry of this direction is in the heap.
    bint ended
    bint deaf  # The socket is closed for further sends.
    bint stalled
    SimEnd then  # What follows byte `until`.
    size_t position
    size_t until
    uint32_t due
    uint32_t answered
    uint8_t *echo
    size_t echo_room


@final
cdef class SimIo(Io):
    """The simulated backend: peers by port, on a virtual clock that starts at 1 s.

    What is random comes from `seed`. No peer at a port: refused. With `open_max`, further sockets fail with EMFILE.
    The counters are the network's own; bytes_in is what peers have read, bytes_out what they have got through.
    """

    cdef readonly uint64_t connections_seen
    cdef readonly uint64_t requests_seen
    cdef readonly uint64_t answers_sent
    cdef readonly uint64_t resets_sent
    cdef readonly uint64_t closes_sent
    cdef readonly uint64_t bytes_in
    cdef readonly uint64_t bytes_out
    cdef readonly uint64_t stale_dropped
    cdef list peers
    cdef const SimBehaviour **by_port
    cdef uint64_t random
    cdef uint32_t open_max
    cdef uint32_t open_count
    cdef uint32_t slots
    cdef int64_t now_ns
    cdef uint64_t order
    cdef int error
    cdef SimConnection *table
    cdef SimEntry *heap
    cdef size_t heap_size
    cdef size_t heap_room
    cdef size_t handed_out
    cdef uint8_t[SIM_PIECE_BYTES] piece

    def __cinit__(self, dict peers, *, uint64_t seed=1, uint32_t open_max=0):
        cdef uint16_t port
        cdef SimPeer peer
        self.by_port = <const SimBehaviour **> calloc(65536, sizeof(SimBehaviour *))
        if self.by_port == NULL:
            raise MemoryError
        self.peers = []
        for port, peer in peers.items():
            self.peers.append(peer)
            self.by_port[port] = &peer.behaviour
        self.random = seed
        self.open_max = open_max
        self.now_ns = SIM_START_NS

    def __dealloc__(self):
        self.shut()
        free(self.by_port)

    cdef int open(self, uint32_t slots) noexcept nogil:
        if slots == 0 or self.table != NULL:
            return -EINVAL
        self.table = <SimConnection *> calloc(slots, sizeof(SimConnection))
        if self.table == NULL:
            return -ENOMEM
        self.slots = slots
        self.error = 0
        return 0

    cdef void shut(self) noexcept nogil:
        cdef uint32_t slot
        for slot in range(self.slots):
            free(self.table[slot].echo)
        free(self.table)
        free(self.heap)
        self.table = NULL
        self.heap = NULL
        self.heap_size = self.heap_room = 0
        self.slots = self.open_count = 0

    cdef int64_t now(self) noexcept nogil:
        return self.now_ns

    cdef void connect(
        self, uint32_t slot, const sockaddr *address, socklen_t length, const sockaddr *source
    ) noexcept nogil:
        cdef SimConnection *at = &self.table[slot]
        cdef const SimBehaviour *peer = self.by_port[ntohs((<const sockaddr_in *> address).sin_port)]
        cdef uint32_t generation = at.generation
        cdef uint8_t *echo = at.echo
        cdef size_t echo_room = at.echo_room
        memset(at, 0, sizeof(SimConnection))
        at.generation = generation
        at.echo = echo
        at.echo_room = echo_room
        at.peer = peer
        if self.open_max and self.open_count >= self.open_max:
            at.connect_error = EMFILE
            self.schedule(slot, IO_CONNECT, 0)
            return
        at.open = True
        self.open_count += 1
        if peer == NULL:
            at.connect_error = ECONNREFUSED
            self.schedule(slot, IO_CONNECT, 1)
            return
        at.connect_error = sim_connect_error(peer.kind)
        if peer.kind == SIM_BLACKHOLE:
            self.schedule(slot, IO_CONNECT, <int64_t> SIM_CONNECT_TIMEOUT_S * NS_PER_S)
        else:
            self.schedule(slot, IO_CONNECT, 1 + self.jittered(peer.connect_delay_ns, peer.jitter_ns))

    cdef void send(self, uint32_t slot, const uint8_t *data, size_t length) noexcept nogil:
        cdef SimConnection *at = &self.table[slot]
        at.sending = data
        at.sending_bytes = length
        self.schedule(slot, IO_SEND, 1 + at.peer.send_delay_ns + sim_transfer_ns(at.peer, length))

    cdef void close(self, uint32_t slot) noexcept nogil:
        cdef SimConnection *at = &self.table[slot]
        if at.open:
            at.open = False
            self.open_count -= 1
        at.generation += 1

    cdef int wait(self, int64_t deadline_ns) noexcept nogil:
        self.poison()
        self.work.left = WORK_A_TURN
        deadline_ns = min(deadline_ns, self.now_ns + MAX_WAIT_NS)
        if self.heap_top_is_live():
            deadline_ns = min(deadline_ns, self.heap[0].time_ns)
        self.now_ns = max(self.now_ns, deadline_ns)
        return -self.error

    cdef bint next(self, IoEvent *event) noexcept nogil:
        cdef SimEntry entry
        self.poison()
        if self.work.left <= 0 or not self.heap_top_is_live() or self.heap[0].time_ns > self.now_ns:
            return False
        self.work.left -= 1
        entry = self.heap[0]
        self.heap_pop()
        event.slot = entry.slot
        event.op = entry.op
        event.time_ns = entry.time_ns
        event.data = NULL
        if entry.op == IO_CONNECT:
            event.result = self.finish_connect(entry.slot)
        elif entry.op == IO_SEND:
            event.result = self.finish_send(entry.slot)
        else:
            event.result = self.stream_on(entry.slot)
            event.data = self.piece
        return True

    cdef void poison(self) noexcept nogil:
        memset(self.piece, SIM_POISON, self.handed_out)
        self.handed_out = 0

    # The network.

    cdef int64_t finish_connect(self, uint32_t slot) noexcept nogil:
        cdef SimConnection *at = &self.table[slot]
        if at.connect_error:
            self.close(slot)
            return -at.connect_error
        self.connections_seen += 1
        if at.peer.kind == SIM_CLOSE or at.peer.kind == SIM_HALF_CLOSE:
            self.start_stream(slot, at.peer.response_bytes, SIM_FIN)
        return 0

    cdef int64_t finish_send(self, uint32_t slot) noexcept nogil:
        cdef SimConnection *at = &self.table[slot]
        if at.deaf:
            return -EPIPE
        if at.ended and at.peer.kind != SIM_HALF_CLOSE:
            # The kernel takes the first bytes after the peer's end, and learns only then that nobody reads them.
            at.deaf = True
            return <int64_t> at.sending_bytes
        self.bytes_in += at.sending_bytes
        self.count_requests(at)
        if at.peer.kind == SIM_ECHO:
            self.echo(slot, at)
        elif at.peer.kind == SIM_RESET and not at.streaming:
            self.start_stream(slot, 0, SIM_RST)
        elif at.peer.kind == SIM_ANSWER and not at.streaming and not at.stalled:
            self.start_answer(slot)
        return <int64_t> at.sending_bytes

    cdef void count_requests(self, SimConnection *at) noexcept nogil:
        cdef size_t i
        for i in range(at.sending_bytes):
            at.last_bytes = at.last_bytes << 8 | at.sending[i]
            at.request_bytes += 1
            if at.request_bytes >= at.peer.request_bytes and (
                at.last_bytes & at.peer.request_end_mask == at.peer.request_end
            ):
                at.last_bytes = at.request_bytes = 0
                at.due += 1
                self.requests_seen += 1

    cdef void start_answer(self, uint32_t slot) noexcept nogil:
        """Begin the next response that is due, and draw its fate."""
        cdef SimConnection *at = &self.table[slot]
        cdef const SimBehaviour *peer = at.peer
        if at.due == 0:
            return
        at.due -= 1
        if self.happens(peer.stall_probability):
            at.stalled = True
        elif self.happens(peer.reset_probability):
            self.start_stream(slot, self.below(peer.response_bytes), SIM_RST)
        elif self.happens(peer.close_probability):
            self.start_stream(slot, self.below(peer.response_bytes), SIM_FIN)
        elif at.answered + 1 == peer.requests_per_connection:
            self.start_stream(slot, peer.response_bytes, SIM_FIN)
        else:
            self.start_stream(slot, peer.response_bytes, SIM_STAY)

    cdef void start_stream(self, uint32_t slot, size_t until, SimEnd then) noexcept nogil:
        cdef SimConnection *at = &self.table[slot]
        at.position = 0
        at.until = until
        at.then = then
        at.streaming = True
        self.schedule(slot, IO_RECV, self.jittered(at.peer.delay_ns, at.peer.jitter_ns))

    cdef void echo(self, uint32_t slot, SimConnection *at) noexcept nogil:
        cdef size_t start = at.until if at.streaming else 0
        cdef size_t room = max(at.echo_room, <size_t> 4096)
        cdef void *memory
        while room < start + at.sending_bytes:
            room *= 2
        if room > at.echo_room:
            memory = realloc(at.echo, room)
            if memory == NULL:
                self.error = ENOMEM
                return
            at.echo = <uint8_t *> memory
            at.echo_room = room
        memcpy(at.echo + start, at.sending, at.sending_bytes)
        if at.streaming:
            at.until += at.sending_bytes
        elif at.sending_bytes:
            self.start_stream(slot, at.sending_bytes, SIM_STAY)

    cdef int64_t stream_on(self, uint32_t slot) noexcept nogil:
        """Copy the next piece of the stream into `piece`; return the result of the event, which may be the end."""
        cdef SimConnection *at = &self.table[slot]
        cdef const uint8_t *source = <const uint8_t *> at.echo if at.peer.kind == SIM_ECHO else at.peer.response
        cdef size_t size = min(at.until - at.position, <size_t> SIM_PIECE_BYTES)
        if size == 0:
            return self.end_stream(at)
        if at.peer.split_bytes:
            size = min(size, 1 + self.below(at.peer.split_bytes))
        memcpy(self.piece, source + at.position, size)
        self.handed_out = size
        self.work.left -= <int64_t> size >> WORK_MOVED_SHIFT
        self.bytes_out += size
        at.position += size
        if at.position < at.until or at.then != SIM_STAY:
            self.schedule(slot, IO_RECV, 1 + <int64_t> self.below(SIM_GAP_NS) + sim_transfer_ns(at.peer, size))
        else:
            at.streaming = False
        if at.position == at.until and at.peer.kind == SIM_ANSWER and at.until == at.peer.response_bytes:
            self.answers_sent += 1
            at.answered += 1
            if not at.streaming:
                self.start_answer(slot)
        return <int64_t> size

    cdef int64_t end_stream(self, SimConnection *at) noexcept nogil:
        at.ended = True
        if at.then == SIM_RST:
            at.deaf = True
            self.resets_sent += 1
            return -ECONNRESET
        self.closes_sent += 1
        return 0

    # Random numbers.

    cdef uint64_t draw(self) noexcept nogil:
        return random_bits(&self.random)

    cdef uint64_t below(self, uint64_t bound) noexcept nogil:
        return self.draw() % bound

    cdef bint happens(self, double probability) noexcept nogil:
        return <double> (self.draw() >> 11) < probability * <double> (<uint64_t> 1 << 53)

    cdef int64_t jittered(self, int64_t delay_ns, int64_t jitter_ns) noexcept nogil:
        return delay_ns + <int64_t> self.below(<uint64_t> jitter_ns + 1)

    # The heap.

    cdef void schedule(self, uint32_t slot, IoOp op, int64_t delay_ns) noexcept nogil:
        cdef size_t hole, parent, room
        cdef SimEntry entry
        cdef void *memory
        if self.heap_size == self.heap_room:
            room = max(2 * self.heap_room, <size_t> 64)
            memory = realloc(self.heap, room * sizeof(SimEntry))
            if memory == NULL:
                self.error = ENOMEM
                return
            self.heap = <SimEntry *> memory
            self.heap_room = room
        entry.time_ns = self.now_ns + delay_ns
        entry.order = self.order
        entry.slot = slot
        entry.generation = self.table[slot].generation
        entry.op = op
        self.order += 1
        hole = self.heap_size
        self.heap_size += 1
        while hole > 0:
            parent = (hole - 1) // 2
            if not sim_before(&entry, &self.heap[parent]):
                break
            self.heap[hole] = self.heap[parent]
            hole = parent
        self.heap[hole] = entry

    cdef void heap_pop(self) noexcept nogil:
        cdef size_t hole = 0
        cdef size_t child = 1
        cdef SimEntry *last
        self.heap_size -= 1
        last = &self.heap[self.heap_size]
        while child < self.heap_size:
            if child + 1 < self.heap_size and sim_before(&self.heap[child + 1], &self.heap[child]):
                child += 1
            if not sim_before(&self.heap[child], last):
                break
            self.heap[hole] = self.heap[child]
            hole = child
            child = 2 * hole + 1
        self.heap[hole] = last[0]

    cdef bint heap_top_is_live(self) noexcept nogil:
        """Drop stale entries from the top; return whether anything is left."""
        while self.heap_size:
            if self.heap[0].generation == self.table[self.heap[0].slot].generation:
                return True
            self.heap_pop()
            self.stale_dropped += 1
        return False


cdef inline bint sim_before(const SimEntry *a, const SimEntry *b) noexcept nogil:
    return a.time_ns < b.time_ns or (a.time_ns == b.time_ns and a.order < b.order)

# The io contract over epoll: turns readiness into completions.
#
# A slot that may have something to deliver is once in a queue of turns. A turn is one system call and gives at most
# one event; a slot with more to do goes to the end of the queue, so that a fast peer cannot starve the others. Nothing is
# delivered from inside a call: what completes at once (a send that fits, a connect that fails) takes a turn as well.
#
# Registration is edge-triggered and once for the life of a socket: a request costs one send, one recv and a share
# of a wait.

from libc.errno cimport errno
from libc.stdlib cimport calloc, free, malloc

from heyfleet.ext cimport c_posix as posix
from heyfleet.ext.c_posix cimport (
    EAGAIN, ECONNRESET, EINPROGRESS, EINTR, EINVAL, ENOMEM, ENOSYS, EPERM, EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP,
    IPPROTO_TCP, MSG_NOSIGNAL, SO_ERROR, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, SOL_SOCKET, TCP_NODELAY,
    epoll_event,
)

cdef enum:
    EPOLL_BATCH = 256
    EPOLL_BUFFER_BYTES = 65536
    # Bits of EpollSlot.state.
    SLOT_QUEUED = 1
    SLOT_CONNECTING = 2
    SLOT_SENDING = 4
    SLOT_DONE = 8  # The connect or send is complete, but its event not yet delivered.
    SLOT_ENDED = 16  # The end of the stream, or its error, was delivered.
    # Bits of EpollSlot.ready.
    EPOLL_HANGUP = EPOLLRDHUP | EPOLLHUP | EPOLLERR
    EPOLL_READ = EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR


cdef union SendProgress:
    size_t left
    int64_t done_ns  # When the last byte was taken.


cdef struct EpollSlot:
    int fd
    uint32_t generation
    uint32_t ready  # Readiness that epoll reported and no call has used up yet.
    uint32_t state
    const uint8_t *data
    SendProgress progress
    int64_t result  # Of the connect or send, if it succeeds.
    int error  # A reset that a send has met, and so taken from the socket; the stream ends with it.


cdef inline bint has_turn(const EpollSlot *at) noexcept nogil:
    if at.state & SLOT_DONE:
        return True
    if at.state & (SLOT_CONNECTING | SLOT_SENDING) and at.ready & EPOLLOUT:
        return True
    return at.ready & EPOLL_READ and not at.state & SLOT_CONNECTING


@final
cdef class EpollIo(Io):
    """The epoll backend.

    With `milliseconds` it waits as on a kernel before 5.11, which knows no finer timeout. With `stamps` the kernel is
    asked to stamp what is sent and received.
    """

    cdef EpollSlot *table
    cdef uint32_t *turns  # A ring; it cannot overflow, since each slot is in it at most once.
    cdef uint8_t *buffer
    cdef uint32_t slots
    cdef uint32_t mask
    cdef uint32_t head
    cdef uint32_t tail
    cdef int epoll_fd
    cdef bint milliseconds
    cdef bint stamped
    cdef Stamps *stamps  # One for each slot; NULL: without timestamps.
    cdef epoll_event[EPOLL_BATCH] batch

    def __cinit__(self, *, bint milliseconds=False, bint stamps=False):
        self.epoll_fd = -1
        self.stamped = stamps
        self.milliseconds = milliseconds

    def __dealloc__(self):
        self.shut()

    cdef int open(self, uint32_t slots) noexcept nogil:
        cdef uint32_t ring = 1
        cdef uint32_t slot
        if slots == 0 or slots > 1 << 30 or self.table != NULL:
            return -EINVAL
        while ring < slots:
            ring *= 2
        self.mask = ring - 1
        self.table = <EpollSlot *> calloc(slots, sizeof(EpollSlot))
        self.turns = <uint32_t *> calloc(ring, sizeof(uint32_t))
        self.buffer = <uint8_t *> malloc(EPOLL_BUFFER_BYTES)
        if self.stamped:
            self.stamps = <Stamps *> calloc(slots, sizeof(Stamps))
        if self.table == NULL or self.turns == NULL or self.buffer == NULL or self.stamped != (self.stamps != NULL):
            self.shut()
            return -ENOMEM
        for slot in range(slots):
            self.table[slot].fd = -1
        self.slots = slots
        self.epoll_fd = posix.epoll_create1(posix.EPOLL_CLOEXEC)
        if self.epoll_fd < 0:
            slot = <uint32_t> errno
            self.shut()
            return -<int> slot
        return 0

    cdef void shut(self) noexcept nogil:
        cdef uint32_t slot
        for slot in range(self.slots):
            self.close(slot)
        if self.epoll_fd >= 0:
            posix.close(self.epoll_fd)
        free(self.table)
        free(self.turns)
        free(self.buffer)
        free(self.stamps)
        self.stamps = NULL
        self.table = NULL
        self.turns = NULL
        self.buffer = NULL
        self.epoll_fd = -1
        self.slots = self.head = self.tail = 0

    cdef void connect(
        self, uint32_t slot, const sockaddr *address, socklen_t length, const sockaddr *source
    ) noexcept nogil:
        cdef EpollSlot *at = &self.table[slot]
        cdef int error
        at.state = (at.state & SLOT_QUEUED) | SLOT_CONNECTING
        at.ready = 0
        at.error = 0
        error = self.start_connect(slot, at, address, length, source)
        if error == EINPROGRESS:
            return
        if error:
            self.release(at)
        at.result = -error
        at.progress.done_ns = monotonic_ns()
        at.state |= SLOT_DONE
        self.queue_turn(slot, at)

    cdef void send(self, uint32_t slot, const uint8_t *data, size_t length) noexcept nogil:
        cdef EpollSlot *at = &self.table[slot]
        at.data = data
        at.progress.left = length
        at.result = <int64_t> length
        at.state |= SLOT_SENDING
        if self.send_more(at):
            at.state |= SLOT_DONE
        self.queue_turn(slot, at)

    cdef void close(self, uint32_t slot) noexcept nogil:
        cdef EpollSlot *at = &self.table[slot]
        self.release(at)
        at.state &= SLOT_QUEUED
        at.ready = 0

    cdef int64_t kernel_latency_ns(self, uint32_t slot) noexcept nogil:
        cdef Stamps *stamps
        cdef int64_t sent_ns
        if self.stamps == NULL or self.table[slot].fd < 0:
            return -1
        stamps = &self.stamps[slot]
        sent_ns = stamps_sent_ns(self.table[slot].fd, stamps.sent_bytes - 1)
        if sent_ns == 0 or stamps.received_ns < sent_ns:
            return -1
        return stamps.received_ns - sent_ns

    cdef int wait(self, int64_t deadline_ns) noexcept nogil:
        cdef int count, error
        cdef int64_t left_ns
        cdef int64_t now_ns = monotonic_ns()
        self.work.left = WORK_A_TURN
        deadline_ns = min(deadline_ns, now_ns + MAX_WAIT_NS)
        while True:
            left_ns = max(deadline_ns - now_ns, 0) if self.head == self.tail else 0
            count = self.poll(left_ns)
            if count < 0:
                error = errno
                if error != EINTR:
                    return -error
            else:
                self.take_batch(count)
            # A signal, or an edge that nobody waits for, must not end the sleep.
            if left_ns == 0 or self.head != self.tail:
                return 0
            now_ns = monotonic_ns()

    cdef bint next(self, IoEvent *event) noexcept nogil:
        cdef uint32_t slot
        cdef EpollSlot *at
        cdef bint there
        while self.head != self.tail and self.work.left > 0:
            self.work.left -= 1
            slot = self.turns[self.head & self.mask]
            self.head += 1
            at = &self.table[slot]
            at.state &= ~<uint32_t> SLOT_QUEUED
            event.slot = slot
            there = self.turn(at, event)
            self.queue_turn(slot, at)
            if there:
                return True
        return False

    cdef inline void queue_turn(self, uint32_t slot, EpollSlot *at) noexcept nogil:
        if not at.state & SLOT_QUEUED and has_turn(at):
            at.state |= SLOT_QUEUED
            self.turns[self.tail & self.mask] = slot
            self.tail += 1

    cdef inline void release(self, EpollSlot *at) noexcept nogil:
        if at.fd >= 0:
            posix.close(at.fd)
            at.fd = -1
            at.generation += 1

    cdef inline int start_connect(
        self, uint32_t slot, EpollSlot *at, const sockaddr *address, socklen_t length, const sockaddr *source
    ) noexcept nogil:
        """Start connecting; return EINPROGRESS as a rule, 0 when connected already, else a positive errno."""
        cdef int error = 0
        cdef int on = 1
        cdef epoll_event interest
        at.fd = posix.socket(address.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
        if at.fd < 0:
            return errno
        posix.setsockopt(at.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on))
        if source != NULL:
            error = bind_source(at.fd, source, length)
            if error != 0:
                return error
        if posix.connect(at.fd, address, length) != 0:
            error = errno
            if error != EINPROGRESS:
                return error
        # Not earlier: an unconnected socket would report a hang-up.
        interest.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | <uint32_t> EPOLLET
        interest.data.u64 = slot | <uint64_t> at.generation << 32
        if posix.epoll_ctl(self.epoll_fd, posix.EPOLL_CTL_ADD, at.fd, &interest) != 0:
            return errno
        if error == 0 and self.stamps != NULL:
            stamps_ask(at.fd, &self.stamps[slot])
        return error

    cdef inline int poll(self, int64_t timeout_ns) noexcept nogil:
        """Fill the batch; return the number of events, or -1 with errno set."""
        cdef posix.timespec timeout
        cdef int count
        if not self.milliseconds:
            timeout.tv_sec = timeout_ns // NS_PER_S
            timeout.tv_nsec = timeout_ns % NS_PER_S
            count = posix.epoll_pwait2(self.epoll_fd, self.batch, EPOLL_BATCH, &timeout, NULL)
            # EPERM: the answer of a seccomp filter older than the call.
            if count >= 0 or (errno != ENOSYS and errno != EPERM):
                return count
            self.milliseconds = True
        # Rounded up: rounding down would spin through the last millisecond.
        timeout_ns = min(timeout_ns, <int64_t> 0x7fffffff * NS_PER_MS - NS_PER_MS)
        return posix.epoll_wait(
            self.epoll_fd, self.batch, EPOLL_BATCH, <int> ((timeout_ns + NS_PER_MS - 1) // NS_PER_MS)
        )

    cdef inline void take_batch(self, int count) noexcept nogil:
        cdef int i
        cdef uint32_t slot, ready
        cdef EpollSlot *at
        for i in range(count):
            slot = <uint32_t> self.batch[i].data.u64
            at = &self.table[slot]
            # A closed socket keeps reporting while a process forked meanwhile has not yet reached its exec.
            if at.fd < 0 or at.generation != <uint32_t> (self.batch[i].data.u64 >> 32):
                continue
            ready = self.batch[i].events
            if self.stamps != NULL and ready & EPOLLERR and not ready & EPOLLHUP:
                # A timestamp that waits to be read looks like an error; a broken connection hangs up as well.
                ready &= ~<uint32_t> EPOLLERR
            if ready & (EPOLLERR | EPOLLHUP):
                ready |= EPOLLOUT
            at.ready |= ready & EPOLLOUT if at.state & SLOT_ENDED else ready
            self.queue_turn(slot, at)

    cdef inline bint turn(self, EpollSlot *at, IoEvent *event) noexcept nogil:
        """Do one thing that the slot is ready for; return whether that yields an event."""
        if at.state & SLOT_DONE:
            return self.deliver_done(at, event)
        if at.state & SLOT_CONNECTING:
            return at.ready & EPOLLOUT and self.finish_connect(at, event)
        # At a hang-up, reading comes first: a send would consume the error, and the stream would seem to end in order.
        if at.state & SLOT_SENDING and at.ready & EPOLLOUT and not at.ready & EPOLL_HANGUP and self.send_more(at):
            return self.deliver_done(at, event)
        return at.ready & EPOLL_READ and self.receive(at, event)

    cdef inline bint deliver_done(self, EpollSlot *at, IoEvent *event) noexcept nogil:
        event.op = IO_CONNECT if at.state & SLOT_CONNECTING else IO_SEND
        event.result = at.result
        event.time_ns = at.progress.done_ns
        event.data = NULL
        at.state &= ~<uint32_t> (SLOT_CONNECTING | SLOT_SENDING | SLOT_DONE)
        return True

    cdef inline bint finish_connect(self, EpollSlot *at, IoEvent *event) noexcept nogil:
        cdef int error = 0
        cdef socklen_t size = sizeof(error)
        if posix.getsockopt(at.fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0:
            error = errno
        at.result = -error
        at.progress.done_ns = monotonic_ns()
        if error:
            self.release(at)
            at.ready = 0
        elif self.stamps != NULL:
            stamps_ask(at.fd, &self.stamps[event.slot])
        return self.deliver_done(at, event)

    cdef inline bint send_more(self, EpollSlot *at) noexcept nogil:
        """Offer the kernel the rest of a send; return whether it is complete or has failed."""
        cdef ssize_t sent = posix.send(at.fd, at.data, at.progress.left, MSG_NOSIGNAL)
        if sent < 0:
            if errno == EAGAIN:
                at.ready &= ~<uint32_t> EPOLLOUT
                return False
            at.result = -errno
            at.error = ECONNRESET if errno == ECONNRESET else 0
            at.ready |= 0 if at.state & SLOT_ENDED else EPOLLIN
        else:
            self.work.left -= sent >> WORK_MOVED_SHIFT
            at.data += sent
            if self.stamps != NULL:
                self.stamps[at - self.table].sent_bytes += <uint32_t> sent
            at.progress.left -= <size_t> sent
            if at.progress.left:
                at.ready |= EPOLLOUT
                return False
        at.progress.done_ns = monotonic_ns()
        return True

    cdef inline bint receive(self, EpollSlot *at, IoEvent *event) noexcept nogil:
        cdef ssize_t got
        if self.stamps != NULL:
            got = stamps_receive(at.fd, self.buffer, EPOLL_BUFFER_BYTES, &self.stamps[at - self.table])
        else:
            got = posix.recv(at.fd, self.buffer, EPOLL_BUFFER_BYTES, 0)
        if got < 0:
            if errno == EAGAIN:
                at.ready &= ~<uint32_t> EPOLL_READ
                return False
            got = -errno
        elif got == 0:
            got = -at.error
        event.time_ns = monotonic_ns()
        event.op = IO_RECV
        event.result = got
        event.data = self.buffer
        if got <= 0:
            at.state |= SLOT_ENDED
            at.ready &= EPOLLOUT
            return True
        self.work.left -= got >> WORK_MOVED_SHIFT
        # A short read has emptied the socket, and what comes later is a new edge; but no edge follows a hang-up.
        if got < EPOLL_BUFFER_BYTES and not at.ready & EPOLL_HANGUP:
            at.ready &= ~<uint32_t> EPOLLIN
        return True

# The io_uring backend, whose completions are native. One ring for each worker thread (single issuer, deferred task run, Linux 6.1), one
# multishot receive for each connection, out of a shared ring of provided buffers.

from libc.errno cimport errno
from libc.stdlib cimport calloc, free
from libc.string cimport memset
from heyfleet.ext.c_posix cimport (
    ECONNRESET, EINTR, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOMEM, ETIME, IPPROTO_TCP, MSG_NOSIGNAL, MSG_WAITALL, SHUT_RDWR, SOCK_CLOEXEC, SOCK_STREAM,
    TCP_NODELAY, close as close_fd, setsockopt, shutdown, socket,
)
from heyfleet.ext.c_uring cimport (
    IORING_CQE_BUFFER_SHIFT, IORING_CQE_F_BUFFER, IORING_CQE_F_MORE, IORING_SETUP_CQSIZE, IORING_SETUP_DEFER_TASKRUN,
    IORING_SETUP_SINGLE_ISSUER, IORING_SETUP_SUBMIT_ALL, IOSQE_BUFFER_SELECT, IOSQE_CQE_SKIP_SUCCESS, MAP_ANONYMOUS,
    MAP_FAILED, MAP_PRIVATE, PROT_READ, PROT_WRITE, __kernel_timespec, io_uring, io_uring_buf_reg, io_uring_buf_ring,
    io_uring_buf_ring_add, io_uring_buf_ring_advance, io_uring_buf_ring_init, io_uring_buf_ring_mask,
    io_uring_cq_advance, io_uring_cqe, io_uring_get_sqe, io_uring_params, io_uring_prep_close,
    io_uring_prep_connect, io_uring_prep_recv_multishot, io_uring_prep_send, io_uring_queue_exit,
    io_uring_queue_init_params, io_uring_register_buf_ring, io_uring_register_ring_fd, io_uring_smp_load_acquire,
    io_uring_sqe, io_uring_sqe_set_data64, io_uring_sqe_set_flags, io_uring_submit, io_uring_submit_and_get_events,
    io_uring_submit_and_wait_timeout, mmap, munmap,
)

cdef enum:
    URING_SQ_ENTRIES = 256
    URING_CQ_ENTRIES_MAX = 65536
    URING_BUFFERS = 1024
    URING_BUFFER_BYTES = 16384
    # An entry of the ring of buffers (struct io_uring_buf).
    URING_BUFFER_ENTRY_BYTES = 16
    # Sends are submitted in small groups: a request counts as sent when it is queued, so the group's size limits
    # how much of the submitting its latency can contain.
    URING_SENDS_A_SUBMIT = 16
    URING_SEND_MAX_BYTES = 1 << 30
    # A connection with nothing left to send takes a send of up to this size as a whole, in the very call that submits it. It is
    # reported as sent at the instant of that call, and the kernel completes it only if it fails: a completion for each would
    # end the wait for responses before it began, and double the system calls.
    URING_QUIET_MAX_BYTES = 8192
    # Operations beyond those of IoOp: quiet sends, which complete only if they fail, and closes, which nobody waits for.
    URING_QUIET_SEND = 0xfe
    URING_IGNORED = 0xff

cdef struct UringSlot:
    int fd
    int error                   # why there is no socket, or why a quiet send failed; kept until the stream ends
    uint32_t generation
    uint8_t ended               # the end of the stream, or its error, was reported
    const uint8_t *send_data    # the rest of an outstanding send
    size_t send_left_bytes
    size_t send_bytes


# A quiet send to be reported as sent, if its slot has not been closed meanwhile.
cdef struct UringQuiet:
    uint32_t slot
    uint32_t generation


cdef inline uint64_t uring_token(uint32_t slot, uint32_t generation, uint32_t op) noexcept nogil:
    return (<uint64_t> slot << 32) | ((generation & 0xffffff) << 8) | op


@final
cdef class UringIo(Io):
    """The io_uring backend."""

    cdef:
        io_uring ring
        bint ring_open
        uint32_t slot_count
        UringSlot *slots
        io_uring_buf_ring *buffer_ring
        uint8_t *buffers
        int held_buffer             # handed out with the last event, or -1
        uint32_t head               # a local copy of the completion queue's head
        uint32_t reaped_tail        # completions before it had come when wait() returned, at reaped_ns
        int64_t reaped_ns
        int64_t submitted_ns        # later completions came with a submission, which returned at this instant
        uint32_t sends_queued
        UringQuiet *quiet           # ring of quiet sends: reported_quiet <= submitted_quiet <= queued_quiet
        uint32_t quiet_mask
        uint32_t queued_quiet
        uint32_t submitted_quiet
        uint32_t reported_quiet
        int64_t quiet_ns            # when the last of them were submitted

    def __cinit__(self):
        self.ring_open = False
        self.slots = NULL
        self.buffer_ring = NULL
        self.buffers = NULL
        self.quiet = NULL

    def __dealloc__(self):
        self.shut()

    cdef int open(self, uint32_t slots) noexcept nogil:
        cdef io_uring_params params
        cdef int result
        cdef uint32_t cq_entries = 1024
        if slots == 0 or self.ring_open:
            return -EINVAL
        while cq_entries < URING_CQ_ENTRIES_MAX and cq_entries < 2 * slots + URING_BUFFERS:
            cq_entries *= 2
        memset(&params, 0, sizeof(params))
        params.flags = (IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER
                        | IORING_SETUP_DEFER_TASKRUN)
        params.cq_entries = cq_entries
        result = io_uring_queue_init_params(URING_SQ_ENTRIES, &self.ring, &params)
        if result < 0:
            return result
        self.ring_open = True
        self.slot_count = slots
        self.held_buffer = -1
        self.head = self.ring.cq.khead[0]
        self.reaped_tail = self.head
        self.sends_queued = 0
        # Saves a lookup of the ring's descriptor at each system call. A kernel without it is only slower.
        io_uring_register_ring_fd(&self.ring)
        self.slots = <UringSlot *> calloc(slots, sizeof(UringSlot))
        self.quiet_mask = 2 * cq_entries - 1
        self.queued_quiet = self.submitted_quiet = self.reported_quiet = 0
        self.quiet = <UringQuiet *> calloc(self.quiet_mask + 1, sizeof(UringQuiet))
        if self.slots == NULL or self.quiet == NULL:
            return -ENOMEM
        for slot in range(slots):
            self.slots[slot].fd = -1
        return self.open_buffers()

    cdef int open_buffers(self) noexcept nogil:
        """Register the shared receive buffers. Pages are touched only as responses fill them."""
        cdef io_uring_buf_reg registration
        cdef int result
        cdef uint32_t index
        cdef uint32_t buffers = URING_BUFFERS
        cdef void *memory = mmap(NULL, URING_BUFFERS * URING_BUFFER_ENTRY_BYTES, PROT_READ | PROT_WRITE,
                                 MAP_ANONYMOUS | MAP_PRIVATE, -1, 0)
        if memory == MAP_FAILED:
            return -ENOMEM
        self.buffer_ring = <io_uring_buf_ring *> memory
        memory = mmap(NULL, <size_t> URING_BUFFERS * URING_BUFFER_BYTES, PROT_READ | PROT_WRITE,
                      MAP_ANONYMOUS | MAP_PRIVATE, -1, 0)
        if memory == MAP_FAILED:
            return -ENOMEM
        self.buffers = <uint8_t *> memory
        memset(&registration, 0, sizeof(registration))
        registration.ring_addr = <uint64_t> self.buffer_ring
        registration.ring_entries = URING_BUFFERS
        result = io_uring_register_buf_ring(&self.ring, &registration, 0)
        if result < 0:
            return result
        io_uring_buf_ring_init(self.buffer_ring)
        for index in range(buffers):
            self.provide(index, index)
        io_uring_buf_ring_advance(self.buffer_ring, URING_BUFFERS)
        return 0

    cdef inline void provide(self, uint32_t buffer, uint32_t offset) noexcept nogil:
        io_uring_buf_ring_add(self.buffer_ring, self.buffers + <size_t> buffer * URING_BUFFER_BYTES, URING_BUFFER_BYTES,
                              <unsigned short> buffer, URING_BUFFERS - 1, offset)

    cdef void shut(self) noexcept nogil:
        cdef uint32_t slot
        if self.slots != NULL:
            # Submit the closes that wait in the queue.
            io_uring_submit(&self.ring)
            for slot in range(self.slot_count):
                if self.slots[slot].fd >= 0:
                    # Outstanding operations hold on to the socket until the kernel tears the ring down, some time later.
                    shutdown(self.slots[slot].fd, SHUT_RDWR)
                    close_fd(self.slots[slot].fd)
            free(self.slots)
            self.slots = NULL
        free(self.quiet)
        self.quiet = NULL
        if self.ring_open:
            # Let the operations that the shutdowns ended complete now, and release their sockets before the ring is gone.
            io_uring_submit_and_get_events(&self.ring)
            io_uring_queue_exit(&self.ring)
            self.ring_open = False
        if self.buffer_ring != NULL:
            munmap(self.buffer_ring, URING_BUFFERS * URING_BUFFER_ENTRY_BYTES)
            self.buffer_ring = NULL
        if self.buffers != NULL:
            munmap(self.buffers, <size_t> URING_BUFFERS * URING_BUFFER_BYTES)
            self.buffers = NULL

    cdef inline io_uring_sqe *entry(self) noexcept nogil:
        """Return a free submission entry, after submitting others if there is none."""
        cdef io_uring_sqe *sqe = io_uring_get_sqe(&self.ring)
        while sqe == NULL:
            self.submit()
            sqe = io_uring_get_sqe(&self.ring)
        return sqe

    cdef void submit(self) noexcept nogil:
        self.mark_submitted(monotonic_ns())
        io_uring_submit(&self.ring)
        self.submitted_ns = monotonic_ns()

    cdef inline void mark_submitted(self, int64_t now_ns) noexcept nogil:
        self.sends_queued = 0
        self.submitted_quiet = self.queued_quiet
        self.quiet_ns = now_ns

    cdef void connect(
        self, uint32_t index, const sockaddr *address, socklen_t length, const sockaddr *source
    ) noexcept nogil:
        cdef UringSlot *slot = &self.slots[index]
        cdef io_uring_sqe *sqe
        cdef int one = 1
        slot.fd = self.new_socket(address)
        # Without a socket the kernel answers EBADF, which next() turns into the real reason: failures are events too.
        slot.error = 0 if slot.fd >= 0 else errno
        if slot.fd >= 0:
            setsockopt(slot.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))
        if slot.fd >= 0 and source != NULL:
            slot.error = bind_source(slot.fd, source, length)
            if slot.error != 0:
                close_fd(slot.fd)
                slot.fd = -1
        sqe = self.entry()
        io_uring_prep_connect(sqe, slot.fd, address, length)
        io_uring_sqe_set_data64(sqe, uring_token(index, slot.generation, IO_CONNECT))

    cdef int new_socket(self, const sockaddr *address) noexcept nogil:
        cdef int family = (<const sockaddr_storage *> address).ss_family
        cdef int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)
        if fd < 0 and (errno == EMFILE or errno == ENFILE):
            # Descriptors that were closed in this turn are free once their entries are submitted.
            self.submit()
            fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)
        return fd

    cdef void send(self, uint32_t index, const uint8_t *data, size_t length) noexcept nogil:
        cdef UringSlot *slot = &self.slots[index]
        slot.send_data = data
        slot.send_left_bytes = length
        slot.send_bytes = length
        if length <= URING_QUIET_MAX_BYTES and not slot.ended and self.queued_quiet - self.reported_quiet <= self.quiet_mask:
            self.send_quietly(index, slot)
        else:
            self.send_rest(index, slot, IO_SEND, 0)
        self.sends_queued += 1
        if self.sends_queued >= URING_SENDS_A_SUBMIT:
            self.submit()

    cdef inline void send_quietly(self, uint32_t index, UringSlot *slot) noexcept nogil:
        cdef UringQuiet *quiet = &self.quiet[self.queued_quiet & self.quiet_mask]
        quiet.slot = index
        quiet.generation = slot.generation
        self.queued_quiet += 1
        self.send_rest(index, slot, URING_QUIET_SEND, IOSQE_CQE_SKIP_SUCCESS)

    cdef inline void send_rest(self, uint32_t index, UringSlot *slot, uint32_t op, unsigned flags) noexcept nogil:
        cdef io_uring_sqe *sqe = self.entry()
        cdef size_t length = slot.send_left_bytes
        if length > URING_SEND_MAX_BYTES:
            length = URING_SEND_MAX_BYTES
        io_uring_prep_send(sqe, slot.fd, slot.send_data, length, MSG_NOSIGNAL | MSG_WAITALL)
        io_uring_sqe_set_flags(sqe, flags)
        io_uring_sqe_set_data64(sqe, uring_token(index, slot.generation, op))

    cdef inline void receive(self, uint32_t index, UringSlot *slot) noexcept nogil:
        cdef io_uring_sqe *sqe = self.entry()
        io_uring_prep_recv_multishot(sqe, slot.fd, NULL, 0, 0)
        io_uring_sqe_set_flags(sqe, IOSQE_BUFFER_SELECT)
        io_uring_sqe_set_data64(sqe, uring_token(index, slot.generation, IO_RECV))

    cdef void close(self, uint32_t index) noexcept nogil:
        cdef UringSlot *slot = &self.slots[index]
        cdef io_uring_sqe *sqe
        if slot.fd >= 0:
            # End whatever is outstanding on the socket, which would keep it open otherwise. The descriptor is closed through the
            # queue: entries of this slot that still wait there must never meet a new socket under the same number.
            shutdown(slot.fd, SHUT_RDWR)
            sqe = self.entry()
            io_uring_prep_close(sqe, slot.fd)
            self.ignore(sqe)
        slot.fd = -1
        slot.ended = False
        slot.generation += 1

    cdef inline void ignore(self, io_uring_sqe *sqe) noexcept nogil:
        io_uring_sqe_set_flags(sqe, IOSQE_CQE_SKIP_SUCCESS)
        io_uring_sqe_set_data64(sqe, uring_token(0, 0, URING_IGNORED))

    cdef int wait(self, int64_t deadline_ns) noexcept nogil:
        cdef int result
        cdef int64_t left_ns, now_ns
        cdef __kernel_timespec timeout
        cdef io_uring_cqe *cqe
        cdef bint untold = self.reported_quiet != self.submitted_quiet
        self.release()
        self.work.left = WORK_A_TURN
        now_ns = monotonic_ns()
        left_ns = min(max(deadline_ns - now_ns, 0), MAX_WAIT_NS)
        self.mark_submitted(now_ns)
        if untold or left_ns == 0 or self.head != io_uring_smp_load_acquire(self.ring.cq.ktail):
            result = io_uring_submit_and_get_events(&self.ring)
        else:
            timeout.tv_sec = 0
            timeout.tv_nsec = left_ns
            result = io_uring_submit_and_wait_timeout(&self.ring, &cqe, 1, &timeout, NULL)
        self.reaped_tail = io_uring_smp_load_acquire(self.ring.cq.ktail)
        self.reaped_ns = monotonic_ns()
        if result < 0 and result != -ETIME and result != -EINTR:
            return result
        return 0

    cdef inline void release(self) noexcept nogil:
        """Give the buffer of the last event back to the kernel."""
        if self.held_buffer >= 0:
            self.provide(self.held_buffer, 0)
            io_uring_buf_ring_advance(self.buffer_ring, 1)
            self.held_buffer = -1

    cdef bint next(self, IoEvent *event) noexcept nogil:
        cdef io_uring_cqe cqe
        self.release()
        while self.reported_quiet != self.submitted_quiet and self.work.left > 0:
            if self.tell_quiet(event):
                return True
        while self.work.left > 0 and self.head != io_uring_smp_load_acquire(self.ring.cq.ktail):
            self.work.left -= 1
            cqe = self.ring.cq.cqes[self.head & self.ring.cq.ring_mask]
            event.time_ns = self.reaped_ns if <int32_t> (self.reaped_tail - self.head) > 0 else self.submitted_ns
            self.head += 1
            io_uring_cq_advance(&self.ring, 1)
            if self.deliver(event, &cqe):
                return True
        return False

    cdef inline bint tell_quiet(self, IoEvent *event) noexcept nogil:
        cdef UringQuiet *quiet = &self.quiet[self.reported_quiet & self.quiet_mask]
        cdef UringSlot *slot = &self.slots[quiet.slot]
        self.reported_quiet += 1
        self.work.left -= 1
        if slot.generation != quiet.generation:
            return False
        event.slot = quiet.slot
        event.op = IO_SEND
        event.result = slot.send_bytes
        event.time_ns = self.quiet_ns
        return True

    cdef inline bint deliver(self, IoEvent *event, const io_uring_cqe *cqe) noexcept nogil:
        """Turn a completion into an event. False: there is nothing to report (yet)."""
        cdef uint32_t index = cqe.user_data >> 32
        cdef uint32_t op = cqe.user_data & 0xff
        cdef UringSlot *slot
        if op == URING_IGNORED:
            return False
        slot = &self.slots[index]
        if cqe.flags & IORING_CQE_F_BUFFER:
            self.held_buffer = cqe.flags >> IORING_CQE_BUFFER_SHIFT
        if ((cqe.user_data >> 8) & 0xffffff) != (slot.generation & 0xffffff):
            self.release()
            return False
        event.slot = index
        event.op = <IoOp> op
        event.result = cqe.res
        if op == IO_RECV:
            return self.deliver_received(event, index, slot, cqe)
        if op == IO_SEND:
            return self.deliver_sent(event, index, slot)
        if op == URING_QUIET_SEND:
            # A send reported as sent has failed after all. So has the connection, whose stream will end with this error.
            slot.error = -cqe.res if cqe.res < 0 else ECONNRESET
            return False
        if cqe.res == 0:
            self.receive(index, slot)
        elif slot.error:
            event.result = -slot.error
        return True

    cdef inline bint deliver_sent(self, IoEvent *event, uint32_t index, UringSlot *slot) noexcept nogil:
        if event.result > 0:
            slot.send_data += event.result
            slot.send_left_bytes -= event.result
            if slot.send_left_bytes > 0:
                self.send_rest(index, slot, IO_SEND, 0)
                return False
            event.result = slot.send_bytes
        elif event.result == -ECONNRESET:
            slot.error = ECONNRESET
        return True

    cdef inline bint deliver_received(self, IoEvent *event, uint32_t index, UringSlot *slot,
                                      const io_uring_cqe *cqe) noexcept nogil:
        if not cqe.flags & IORING_CQE_F_MORE and (cqe.res > 0 or cqe.res == -ENOBUFS):
            self.receive(index, slot)
        if cqe.res == 0 and slot.error:
            event.result = -slot.error
        if cqe.res <= 0 and cqe.res != -ENOBUFS:
            slot.ended = True
        if cqe.res > 0:
            self.work.left -= cqe.res >> WORK_MOVED_SHIFT
            event.data = self.buffers + <size_t> self.held_buffer * URING_BUFFER_BYTES
        return cqe.res != -ENOBUFS

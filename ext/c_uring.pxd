# The parts of liburing that the engine uses.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from heyfleet.ext.c_posix cimport sockaddr, socklen_t

cdef extern from "<liburing.h>" nogil:
    struct __kernel_timespec:
        long long tv_sec
        long long tv_nsec
    struct io_uring_params:
        uint32_t flags
        uint32_t cq_entries
    struct io_uring_sqe:
        uint16_t ioprio
        uint16_t buf_group
    struct io_uring_cqe:
        uint64_t user_data
        int res
        uint32_t flags
    struct io_uring_buf_ring:
        pass
    struct io_uring_buf_reg:
        uint64_t ring_addr
        uint32_t ring_entries
        uint16_t bgid
    struct io_uring_cq:
        uint32_t *khead
        uint32_t *ktail
        uint32_t ring_mask
        io_uring_cqe *cqes
    struct io_uring:
        io_uring_cq cq

    enum: IORING_SETUP_CQSIZE
    enum: IORING_SETUP_SUBMIT_ALL
    enum: IORING_SETUP_SINGLE_ISSUER
    enum: IORING_SETUP_DEFER_TASKRUN
    enum: IORING_CQE_F_BUFFER
    enum: IORING_CQE_F_MORE
    enum: IORING_CQE_BUFFER_SHIFT
    enum: IOSQE_BUFFER_SELECT
    enum: IOSQE_CQE_SKIP_SUCCESS

    int io_uring_queue_init_params(unsigned entries, io_uring *ring, io_uring_params *params)
    void io_uring_queue_exit(io_uring *ring)
    int io_uring_register_ring_fd(io_uring *ring)
    int io_uring_register_buf_ring(io_uring *ring, io_uring_buf_reg *reg, unsigned flags)
    int io_uring_submit(io_uring *ring)
    int io_uring_submit_and_get_events(io_uring *ring)
    int io_uring_submit_and_wait_timeout(io_uring *ring, io_uring_cqe **cqe, unsigned wait_nr,
                                         __kernel_timespec *timeout, void *sigmask)

    io_uring_sqe *io_uring_get_sqe(io_uring *ring)
    void io_uring_sqe_set_data64(io_uring_sqe *sqe, uint64_t data)
    void io_uring_sqe_set_flags(io_uring_sqe *sqe, unsigned flags)
    void io_uring_prep_connect(io_uring_sqe *sqe, int fd, const sockaddr *address, socklen_t length)
    void io_uring_prep_send(io_uring_sqe *sqe, int fd, const void *data, size_t length, int flags)
    void io_uring_prep_recv_multishot(io_uring_sqe *sqe, int fd, void *data, size_t length, int flags)
    void io_uring_prep_close(io_uring_sqe *sqe, int fd)
    void io_uring_cq_advance(io_uring *ring, unsigned count)
    uint32_t io_uring_smp_load_acquire(const uint32_t *p)

    void io_uring_buf_ring_init(io_uring_buf_ring *buffers)
    int io_uring_buf_ring_mask(uint32_t entries)
    void io_uring_buf_ring_add(io_uring_buf_ring *buffers, void *data, unsigned length, unsigned short id, int mask,
                               int offset)
    void io_uring_buf_ring_advance(io_uring_buf_ring *buffers, int count)

cdef extern from "<sys/mman.h>" nogil:
    void *mmap(void *address, size_t length, int protection, int flags, int fd, long offset)
    int munmap(void *address, size_t length)
    enum: PROT_READ
    enum: PROT_WRITE
    enum: MAP_ANONYMOUS
    enum: MAP_PRIVATE
    void *MAP_FAILED

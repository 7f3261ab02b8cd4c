# The kernel's timestamps on a TCP connection: when the last byte of a request went to the network card, and when the last byte
# of its response came from it. Nothing of the generator's own scheduling lies between them (Kogias and others, Lancet, ATC 2019).

from heyfleet.ext.c_stamps cimport (
    CMSG_DATA, CMSG_FIRSTHDR, CMSG_NXTHDR, IP_RECVERR, IPPROTO_IPV6, IPV6_RECVERR, MSG_ERRQUEUE, SO_EE_ORIGIN_TIMESTAMPING,
    SO_TIMESTAMPING, SOF_TIMESTAMPING_OPT_ID, SOF_TIMESTAMPING_OPT_TSONLY, SOF_TIMESTAMPING_RX_SOFTWARE,
    SOF_TIMESTAMPING_SOFTWARE, SOF_TIMESTAMPING_TX_SOFTWARE, cmsghdr, iovec, msghdr, recvmsg, scm_timestamping,
    sock_extended_err,
)

cdef enum:
    # Timestamps of older sends that may be queued before the one that is looked for.
    STAMPS_A_LOOK = 16
    STAMP_CONTROL_BYTES = 512

cdef struct Stamps:
    uint32_t sent_bytes         # on this connection, modulo 2^32 as the kernel counts them
    int64_t received_ns         # of the last byte read, on CLOCK_REALTIME; 0: unknown


cdef bint stamps_ask(int fd, Stamps *stamps) noexcept nogil:
    """Request timestamps on a connected socket, from its first byte on; return whether the kernel provides them."""
    cdef unsigned int flags = (
        SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE
        | SOF_TIMESTAMPING_OPT_ID | SOF_TIMESTAMPING_OPT_TSONLY
    )
    stamps.sent_bytes = 0
    stamps.received_ns = 0
    return setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof(flags)) == 0


cdef inline int64_t stamp_ns(const scm_timestamping *stamp) noexcept nogil:
    return <int64_t> stamp.ts[0].tv_sec * NS_PER_S + stamp.ts[0].tv_nsec


cdef ssize_t stamps_receive(int fd, void *data, size_t length, Stamps *stamps) noexcept nogil:
    """Receive as recv(2) does, and keep the timestamp of the last byte."""
    cdef uint8_t control[STAMP_CONTROL_BYTES]
    cdef iovec piece
    cdef msghdr message
    cdef cmsghdr *at
    cdef ssize_t got
    memset(&message, 0, sizeof(message))
    piece.iov_base = data
    piece.iov_len = length
    message.msg_iov = &piece
    message.msg_iovlen = 1
    message.msg_control = control
    message.msg_controllen = sizeof(control)
    got = recvmsg(fd, &message, 0)
    if got <= 0:
        return got
    at = CMSG_FIRSTHDR(&message)
    while at != NULL:
        # The control message has the number of the option (SCM_TIMESTAMPING).
        if at.cmsg_level == SOL_SOCKET and at.cmsg_type == SO_TIMESTAMPING:
            stamps.received_ns = stamp_ns(<scm_timestamping *> CMSG_DATA(at))
        at = CMSG_NXTHDR(&message, at)
    return got


cdef int64_t stamps_sent_ns(int fd, uint32_t last_byte) noexcept nogil:
    """When the byte of this number was sent, on CLOCK_REALTIME; 0 if unknown. Consumes all timestamps before it."""
    cdef uint8_t control[STAMP_CONTROL_BYTES]
    cdef msghdr message
    cdef cmsghdr *at
    cdef int64_t sent_ns
    cdef bint wanted
    for _ in range(STAMPS_A_LOOK):
        memset(&message, 0, sizeof(message))
        message.msg_control = control
        message.msg_controllen = sizeof(control)
        if recvmsg(fd, &message, MSG_ERRQUEUE) < 0:
            return 0
        sent_ns = 0
        wanted = False
        at = CMSG_FIRSTHDR(&message)
        while at != NULL:
            if at.cmsg_level == SOL_SOCKET and at.cmsg_type == SO_TIMESTAMPING:
                sent_ns = stamp_ns(<scm_timestamping *> CMSG_DATA(at))
            elif is_stamp_of(at, last_byte):
                wanted = True
            at = CMSG_NXTHDR(&message, at)
        if wanted:
            return sent_ns
    return 0


cdef inline bint is_stamp_of(cmsghdr *at, uint32_t last_byte) noexcept nogil:
    cdef const sock_extended_err *error = <const sock_extended_err *> CMSG_DATA(at)
    if not (at.cmsg_level == IPPROTO_IP and at.cmsg_type == IP_RECVERR
            or at.cmsg_level == IPPROTO_IPV6 and at.cmsg_type == IPV6_RECVERR):
        return False
    return error.ee_origin == SO_EE_ORIGIN_TIMESTAMPING and error.ee_data == last_byte

# The kernel's timestamps of when bytes were sent and received: socket(7) control messages, linux/net_tstamp.h, linux/errqueue.h.

from heyfleet.ext.c_posix cimport timespec
from libc.stdint cimport uint8_t, uint32_t

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len

cdef extern from "<sys/socket.h>" nogil:
    struct msghdr:
        iovec *msg_iov
        size_t msg_iovlen
        void *msg_control
        size_t msg_controllen
    struct cmsghdr:
        int cmsg_level
        int cmsg_type
    enum: SOL_SOCKET
    enum: MSG_ERRQUEUE
    enum: SO_TIMESTAMPING
    ssize_t recvmsg(int fd, msghdr *message, int flags)
    cmsghdr *CMSG_FIRSTHDR(msghdr *message)
    cmsghdr *CMSG_NXTHDR(msghdr *message, cmsghdr *at)
    unsigned char *CMSG_DATA(cmsghdr *at)

cdef extern from "<netinet/in.h>" nogil:
    enum: IPPROTO_IP
    enum: IPPROTO_IPV6
    enum: IP_RECVERR
    enum: IPV6_RECVERR

cdef extern from "<linux/net_tstamp.h>" nogil:
    enum: SOF_TIMESTAMPING_TX_SOFTWARE
    enum: SOF_TIMESTAMPING_RX_SOFTWARE
    enum: SOF_TIMESTAMPING_SOFTWARE
    enum: SOF_TIMESTAMPING_OPT_ID
    enum: SOF_TIMESTAMPING_OPT_TSONLY

cdef extern from "<linux/errqueue.h>" nogil:
    struct sock_extended_err:
        uint8_t ee_origin
        uint32_t ee_data
    struct scm_timestamping:
        timespec ts[3]
    enum: SO_EE_ORIGIN_TIMESTAMPING

# The parts of libc and of the kernel's socket API that the engine uses.

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    enum: CLOCK_MONOTONIC
    enum: CLOCK_THREAD_CPUTIME_ID
    int clock_gettime(int clock, timespec *out)

cdef extern from "<errno.h>" nogil:
    int errno
    enum: EAGAIN
    enum: EINTR
    enum: EINPROGRESS
    enum: ECANCELED
    enum: ECONNREFUSED
    enum: ECONNRESET
    enum: ECONNABORTED
    enum: EPIPE
    enum: ETIMEDOUT
    enum: ETIME
    enum: EADDRNOTAVAIL
    enum: EADDRINUSE
    enum: EMFILE
    enum: ENFILE
    enum: ENOBUFS
    enum: ENOMEM
    enum: ENETUNREACH
    enum: EHOSTUNREACH
    enum: EACCES
    enum: EPERM
    enum: EINVAL
    enum: ENOSYS
    enum: EBADF
    enum: ENOENT

cdef extern from "<sys/socket.h>" nogil:
    ctypedef uint32_t socklen_t
    enum: AF_INET
    enum: AF_INET6
    enum: AF_UNIX
    struct sockaddr:
        uint16_t sa_family
    struct sockaddr_storage:
        uint16_t ss_family
    enum: SOCK_STREAM
    enum: SOCK_NONBLOCK
    enum: SOCK_CLOEXEC
    enum: SOL_SOCKET
    enum: SO_ERROR
    enum: MSG_NOSIGNAL
    enum: MSG_DONTWAIT
    enum: MSG_WAITALL
    enum: SHUT_RDWR
    int socket(int domain, int type, int protocol)
    int shutdown(int fd, int how)
    int bind(int fd, const sockaddr *address, socklen_t length)
    int connect(int fd, const sockaddr *address, socklen_t length)
    ssize_t send(int fd, const void *data, size_t length, int flags)
    ssize_t recv(int fd, void *data, size_t length, int flags)
    int setsockopt(int fd, int level, int option, const void *value, socklen_t length)
    int getsockopt(int fd, int level, int option, void *value, socklen_t *length)

cdef extern from "<netinet/in.h>" nogil:
    enum: IPPROTO_IP
    enum: IPPROTO_TCP
    enum: IP_BIND_ADDRESS_NO_PORT
    struct in_addr:
        pass
    struct in6_addr:
        pass
    struct sockaddr_in:
        uint16_t sin_family
        uint16_t sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        uint16_t sin6_family
        uint16_t sin6_port
        in6_addr sin6_addr

cdef extern from "<sys/un.h>" nogil:
    struct sockaddr_un:
        uint16_t sun_family
        char sun_path[108]

cdef extern from "<arpa/inet.h>" nogil:
    uint16_t htons(uint16_t value)
    uint16_t ntohs(uint16_t value)
    int inet_pton(int family, const char *text, void *out)

cdef extern from "<netinet/tcp.h>" nogil:
    enum: TCP_NODELAY

cdef extern from "<unistd.h>" nogil:
    int close(int fd)

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    enum: EPOLL_CLOEXEC
    enum: EPOLL_CTL_ADD
    enum: EPOLLIN
    enum: EPOLLOUT
    enum: EPOLLERR
    enum: EPOLLHUP
    enum: EPOLLRDHUP
    enum: EPOLLET
    int epoll_create1(int flags)
    int epoll_ctl(int epfd, int op, int fd, epoll_event *event)
    int epoll_pwait2(int epfd, epoll_event *events, int maxevents, const timespec *timeout, const void *sigmask)
    int epoll_wait(int epfd, epoll_event *events, int maxevents, int timeout_ms)

cdef extern from "<sys/prctl.h>" nogil:
    enum: PR_SET_TIMERSLACK
    int prctl(int option, unsigned long value)

cdef extern from "<sys/syscall.h>" nogil:
    enum: SYS_sched_setattr
    enum: SYS_sched_getattr

cdef extern from "<unistd.h>" nogil:
    long syscall(long number, ...)

# The real backends, the best first, and whether this host has them.

IO_NAMES = {UringIo: "io_uring", EpollIo: "epoll"}


def backends():
    """(name, available, why not) of each real io backend, the best first; tried out by opening it."""
    cdef Io io
    cdef int result
    found = []
    for kind, name in IO_NAMES.items():
        io = kind()
        result = io.open(1)
        io.shut()
        found.append((name, result == 0, "" if result == 0 else strerror(-result).decode()))
    return found

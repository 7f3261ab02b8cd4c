# The backends that talk to the kernel, the best first, and whether this host supports them.

IO_NAMES = {UringIo: "io_uring", EpollIo: "epoll"}


def backends():
    """Open each backend as a trial. Documented in _core.pyi."""
    cdef Io io
    cdef int result
    results = []
    for kind, name in IO_NAMES.items():
        io = kind()
        result = io.open(1)
        io.shut()
        results.append((name, result == 0, "" if result == 0 else strerror(-result).decode()))
    return results

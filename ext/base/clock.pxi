# The only clock of the engine: CLOCK_MONOTONIC, which all processes of one host share.

from heyfleet.ext.c_posix cimport CLOCK_MONOTONIC, CLOCK_THREAD_CPUTIME_ID, clock_gettime, timespec


cdef inline int64_t monotonic_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t> now.tv_sec * NS_PER_S + now.tv_nsec


cdef inline int64_t thread_cpu_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now)
    return <int64_t> now.tv_sec * NS_PER_S + now.tv_nsec

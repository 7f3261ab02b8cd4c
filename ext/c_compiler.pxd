# What the engine takes from the C compiler itself (gcc and clang alike).

from libc.stdint cimport int64_t

cdef extern from * nogil:
    """
    #include <stdint.h>
    typedef unsigned __int128 heyfleet_uint128_t;
    #define HEYFLEET_NEVER_NS INT64_C(0x3fffffffffffffff)
    """
    # Declared smaller than it is, because Cython has no type so wide: keep it out of Python objects.
    ctypedef unsigned long long uint128_t "heyfleet_uint128_t"
    int __builtin_clzll(unsigned long long value)
    # Far enough not to matter, near enough to be added to an instant without overflow. No enum: gcc's are of 32 bits.
    const int64_t NEVER_NS "HEYFLEET_NEVER_NS"

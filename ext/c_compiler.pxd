# What the engine takes from the C compiler itself (gcc and clang alike).

cdef extern from * nogil:
    """
    typedef unsigned __int128 heyfleet_uint128_t;
    """
    # Declared smaller than it is, because Cython has no type so wide: keep it out of Python objects.
    ctypedef unsigned long long uint128_t "heyfleet_uint128_t"
    int __builtin_clzll(unsigned long long value)

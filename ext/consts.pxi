# Limits and sizes of the engine, units in the names.

cdef enum:
    NS_PER_S = 1000000000
    NS_PER_MS = 1000000
    # The loop wakes at least so often to look at its stop and swap flags.
    MAX_WAIT_NS = 10000000

cdef extern from *:
    """
    #define HEYFLEET_NEVER_NS INT64_C(0x3fffffffffffffff)
    """
    # Far enough not to matter, near enough to be added to an instant without overflow. No enum: gcc's are of 32 bits.
    const int64_t NEVER_NS "HEYFLEET_NEVER_NS"

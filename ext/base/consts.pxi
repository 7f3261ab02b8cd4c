# Limits and sizes of the engine, units in the names.

from heyfleet.ext.c_compiler cimport NEVER_NS

cdef enum:
    NS_PER_S = 1000000000
    NS_PER_MS = 1000000
    # The loop wakes at least this often to look at its stop and swap flags.
    MAX_WAIT_NS = 10000000

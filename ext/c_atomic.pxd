# Flags between the Python thread that steers a worker and the worker's loop. Each has one writer at a time; release and
# acquire make everything written before a flag visible to the thread that sees the flag, on every CPU.

from libc.stdint cimport int64_t

cdef extern from * nogil:
    """
    static inline int heyfleet_load_flag(const int *flag) { return __atomic_load_n(flag, __ATOMIC_ACQUIRE); }
    static inline void heyfleet_store_flag(int *flag, int value) { __atomic_store_n(flag, value, __ATOMIC_RELEASE); }
    static inline int64_t heyfleet_load_instant(const int64_t *at) { return __atomic_load_n(at, __ATOMIC_ACQUIRE); }
    static inline void heyfleet_store_instant(int64_t *at, int64_t value) { __atomic_store_n(at, value, __ATOMIC_RELEASE); }
    """
    int load_flag "heyfleet_load_flag" (const int *flag)
    void store_flag "heyfleet_store_flag" (int *flag, int value)
    int64_t load_instant "heyfleet_load_instant" (const int64_t *at)
    void store_instant "heyfleet_store_instant" (int64_t *at, int64_t value)

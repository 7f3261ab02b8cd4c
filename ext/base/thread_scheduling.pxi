# How soon the kernel lets a worker run, as far as an unprivileged process may request that.

from heyfleet.ext.c_posix cimport PR_SET_TIMERSLACK, SYS_sched_getattr, SYS_sched_setattr, prctl, syscall

cdef enum:
    # The shortest slice that Linux accepts (6.12, EEVDF): a thread with short slices waits less for the running one.
    SLICE_NS = 100000

# struct sched_attr (sched_setattr(2)), in its first version.
cdef struct SchedAttr:
    uint32_t size
    uint32_t policy
    uint64_t flags
    int32_t nice
    uint32_t priority
    uint64_t runtime_ns
    uint64_t deadline_ns
    uint64_t period_ns


cdef void request_prompt_scheduling() noexcept nogil:
    """Request short slices and exact timers for the calling thread, as far as the kernel supports them."""
    cdef SchedAttr attr
    # By default sleeping threads are woken up to 50 us late, so that the kernel can wake several at once.
    prctl(PR_SET_TIMERSLACK, 1)
    memset(&attr, 0, sizeof(attr))
    if syscall(SYS_sched_getattr, 0, &attr, <unsigned int> sizeof(attr), 0) != 0 or attr.policy != 0:
        return  # another policy was chosen on purpose
    attr.runtime_ns = SLICE_NS
    syscall(SYS_sched_setattr, 0, &attr, 0)

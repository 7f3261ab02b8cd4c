# Random numbers from a seed: the same on every host and in every run.


cdef inline uint64_t random_bits(uint64_t *state) noexcept nogil:
    """Draw 64 random bits: splitmix64 (Steele, Lea and Flood 2014)."""
    cdef uint64_t z
    state[0] += <uint64_t> 0x9e3779b97f4a7c15
    z = state[0]
    z = (z ^ (z >> 30)) * <uint64_t> 0xbf58476d1ce4e5b9
    z = (z ^ (z >> 27)) * <uint64_t> 0x94d049bb133111eb
    return z ^ (z >> 31)


cdef inline uint64_t random_seed(uint64_t seed, uint64_t number) noexcept nogil:
    """The initial state of a sequence of its own for each number."""
    cdef uint64_t state = seed ^ (number * <uint64_t> 0xd1342543de82ef95)
    return random_bits(&state)


cdef inline double random_unit(uint64_t *state) noexcept nogil:
    """Draw from the uniform distribution over [0, 1)."""
    return <double> (random_bits(state) >> 11) / <double> (<uint64_t> 1 << 53)


cdef inline double random_exponential(uint64_t *state) noexcept nogil:
    """Draw from the exponential distribution with mean 1."""
    return -log1p(-random_unit(state))

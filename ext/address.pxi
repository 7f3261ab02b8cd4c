# From an address as text to the form that the kernel wants.

from libc.string cimport memset

from heyfleet.ext.c_posix cimport (
    AF_INET, AF_INET6, htons, inet_pton, ntohs, sockaddr_in, sockaddr_in6, sockaddr_storage,
)


cdef socklen_t fill_address(object host, int port, sockaddr_storage *out) except 0:
    """Fill `out` from an IPv4 or IPv6 literal and return its length in bytes. ValueError for anything else."""
    cdef bytes literal = host.encode("ascii")
    cdef sockaddr_in *v4 = <sockaddr_in *> out
    cdef sockaddr_in6 *v6 = <sockaddr_in6 *> out
    if not 0 <= port <= 65535:
        raise ValueError(f"not a port: {port}")
    memset(out, 0, sizeof(sockaddr_storage))
    if inet_pton(AF_INET, literal, &v4.sin_addr) == 1:
        v4.sin_family = AF_INET
        v4.sin_port = htons(<uint16_t> port)
        return sizeof(sockaddr_in)
    if inet_pton(AF_INET6, literal, &v6.sin6_addr) == 1:
        v6.sin6_family = AF_INET6
        v6.sin6_port = htons(<uint16_t> port)
        return sizeof(sockaddr_in6)
    raise ValueError(f"not an IPv4 or IPv6 address: {host}")

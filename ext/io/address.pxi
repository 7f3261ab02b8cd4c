# Converts addresses from text to the kernel's form.

from libc.string cimport memcpy, memset

from heyfleet.ext.c_posix cimport (
    AF_INET, AF_INET6, AF_UNIX, htons, inet_pton, ntohs, sockaddr_in, sockaddr_in6, sockaddr_storage, sockaddr_un,
)


from os import fsencode as os_fsencode

UNIX_PREFIX = "unix:"


cdef socklen_t fill_unix_address(bytes path, sockaddr_storage *out) except 0:
    """Fill in a unix socket from its path, or from @ and its abstract name (unix(7)). Raises ValueError if it is too long."""
    cdef sockaddr_un *address = <sockaddr_un *> out
    cdef size_t length = len(path)
    if not 0 < length <= sizeof(address.sun_path) - 1:
        raise ValueError(f"a Unix socket's path has from 1 to {sizeof(address.sun_path) - 1} bytes, not {length}")
    memset(out, 0, sizeof(sockaddr_storage))
    address.sun_family = AF_UNIX
    memcpy(address.sun_path, <const char *> path, length)
    if path.startswith(b"@"):
        address.sun_path[0] = 0
        return <socklen_t> (sizeof(address.sun_family) + length)
    return <socklen_t> (sizeof(address.sun_family) + length + 1)


cdef socklen_t fill_address(object host, int port, sockaddr_storage *out) except 0:
    """Fill `out` from an IPv4 or IPv6 literal, or unix:PATH, and return its length in bytes. Raises ValueError."""
    cdef bytes literal
    if host.startswith(UNIX_PREFIX):
        return fill_unix_address(os_fsencode(host[len(UNIX_PREFIX):]), out)
    literal = host.encode("ascii")
    cdef sockaddr_in *v4 = <sockaddr_in *> out
    cdef sockaddr_in6 *v6 = <sockaddr_in6 *> out
    if b"\0" in literal:  # inet_pton would read what is before it
        raise ValueError(f"not an IPv4 or IPv6 address: {host!r}")
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

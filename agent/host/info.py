"""Facts about this host for the controller."""

from __future__ import annotations

import os
import platform
import resource
import socket

from heyfleet.agent.host import limits
from heyfleet.proto.control_pb2 import HostFacts


def host_facts() -> HostFacts:
    """Return the host's name, cores, memory, limits and versions."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return HostFacts(
        host=socket.gethostname(),
        cores=limits.cores(),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        open_files=0 if hard == resource.RLIM_INFINITY else hard,
        local_ports=limits.local_ports(),
        kernel=platform.release(),
        python=platform.python_version(),
        pid=os.getpid(),
    )

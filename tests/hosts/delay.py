"""A link with a delay: `python delay.py INNER OUTER SECONDS` creates two TAP devices and carries frames between them.

It delays every frame, because not every kernel has netem. It prints `ready` when the devices exist, so that the caller can move
them into place; they vanish when it ends.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import sys
import time
from collections import deque

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_FRAME_BYTES = 65536
_AT_ONCE = 64


def tap(name: str) -> int:
    """Create a device and return its descriptor."""
    found = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(found, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
    return found


def carry(one: int, other: int, delay_s: float) -> None:
    """Carry frames until the process is stopped."""
    on_the_way: dict[int, deque[tuple[float, bytes]]] = {one: deque(), other: deque()}
    to = {one: other, other: one}
    while True:
        due_s = min((frames[0][0] for frames in on_the_way.values() if frames), default=None)
        wait_s = None if due_s is None else max(0.0, due_s - time.monotonic())
        readable, _, _ = select.select([one, other], [], [], wait_s)
        for source in readable:
            for _ in range(_AT_ONCE):
                try:
                    frame = os.read(source, _FRAME_BYTES)
                except BlockingIOError:
                    break
                on_the_way[source].append((time.monotonic() + delay_s, frame))
        for source, frames in on_the_way.items():
            while frames and frames[0][0] <= time.monotonic():
                try:
                    os.write(to[source], frames.popleft()[1])
                except (BlockingIOError, OSError):
                    continue  # a full or absent device loses frames, as a link does


if __name__ == "__main__":
    devices = [tap(name) for name in sys.argv[1:3]]
    print("ready", flush=True)
    carry(devices[0], devices[1], float(sys.argv[3]))

"""A wire with a delay: what goes into one network device comes out of the other, so many milliseconds later.

    python bench/wire.py DEVICE OTHER MILLISECONDS [NAMESPACE]    # Linux, as root

Both devices (TAP) are made by this program and are gone with it; the other one is moved to a network namespace, if one
is named. Frames are kept in memory while they are on their way, as many as come: a rate is the affair of the devices'
queues (``tc``). Kernels that have netem can do this themselves; not all have.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import struct
import subprocess
import sys
import time
from collections import deque

MTU = 65000
"""Bytes of a frame at most. Python takes a frame at a time, so that few large ones reach a gigabit each second."""

_TUNSETIFF, _TAP_WITHOUT_HEADER = 0x400454CA, 0x1002


def tap(name: str) -> int:
    """Make a device, and return the file of its other end."""
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(file, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TAP_WITHOUT_HEADER))
    subprocess.run(["ip", "link", "set", name, "mtu", str(MTU)], check=True)
    return file


def carry(ends: tuple[int, int], delay: float) -> None:
    """Carry frames from each end to the other, `delay` seconds later, until one is closed."""
    on_the_way: dict[int, deque[tuple[float, bytes]]] = {end: deque() for end in ends}
    other = dict(zip(ends, reversed(ends), strict=True))
    while True:
        due = [frames[0][0] for frames in on_the_way.values() if frames]
        wait = max(0.0, min(due) - time.monotonic()) if due else None
        for end in select.select(ends, [], [], wait)[0]:
            frame = os.read(end, MTU + 100)
            if not frame:
                return
            on_the_way[other[end]].append((time.monotonic() + delay, frame))
        for end, frames in on_the_way.items():
            while frames and frames[0][0] <= time.monotonic():
                with contextlib.suppress(OSError):  # a device that is not up yet, or full: lost, as on any wire
                    os.write(end, frames[0][1])
                frames.popleft()


def main() -> None:
    """Lay the wire, say so, and carry."""
    first, second, milliseconds, *namespace = sys.argv[1:]
    ends = tap(first), tap(second)
    if namespace:
        subprocess.run(["ip", "link", "set", second, "netns", *namespace], check=True)
    print("ready", flush=True)
    carry(ends, float(milliseconds) / 1e3)


if __name__ == "__main__":
    main()

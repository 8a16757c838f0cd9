"""bench/wire.py: frames come out of the other end, whole, in their order and not before their time."""

import socket
import sys
import threading
import time

import pytest

from bench import wire


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="hosts of their own are Linux's network namespaces")
def test_frames_come_later():
    (here, near), (far, there) = (socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2))
    with here, near, far, there:
        for end in (here, there):
            end.settimeout(30)  # a frame that never comes is a failure
        carrier = threading.Thread(target=wire.carry, args=((near.fileno(), far.fileno()), 0.05), daemon=True)
        carrier.start()
        start, frames = time.monotonic(), [b"one", b"a longer one" * 1000, b"three"]
        for frame in frames:
            here.send(frame)
        assert [there.recv(wire.MTU) for _ in frames] == frames
        assert time.monotonic() - start >= 0.05
        there.send(b"back")
        assert here.recv(wire.MTU) == b"back"
        here.close()
        carrier.join(timeout=30)
        assert not carrier.is_alive()

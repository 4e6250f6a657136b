#!/usr/bin/env bash
# asyncio's `Protocol` has a buffer of 256 KiB made for every single read of a socket, however little there is to read.
# glibc takes so large a piece from the kernel and gives it back each time (mmap, mremap, munmap: two page faults), since
# what is freed has shrunk to the bytes that came, and so never raises the size from which on it does that. A program that
# reads small pieces, such as the deltas of a model, and does little else spends a third of its CPU time on that, until
# something else in it has had a megabyte and freed it: one such value, of whatever kind, makes all reads cheaper. With
# `BufferedProtocol`, which reads into room of its own, there are no page faults at all. Streams (`open_connection`) and
# most HTTP clients and servers are plain protocols.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > seen.py <<'PYTHON'
import asyncio
import platform
import resource
import socket

READS = 1000
PIECE = b"x" * 300


class Plain(asyncio.Protocol):
    def __init__(self):
        self.came = asyncio.Event()

    def data_received(self, data):
        self.came.set()


class WithRoom(asyncio.BufferedProtocol):
    def __init__(self):
        self.came = asyncio.Event()
        self.room = memoryview(bytearray(4096))

    def get_buffer(self, sizehint):
        return self.room

    def buffer_updated(self, nbytes):
        self.came.set()


async def page_faults(kind):
    """The page faults of the process for each read, of a piece that a plain socket has sent."""
    ours, theirs = socket.socketpair()
    transport, protocol = await asyncio.get_running_loop().create_connection(kind, sock=ours)

    async def read(times):
        for _ in range(times):
            protocol.came.clear()
            theirs.sendall(PIECE)
            await protocol.came.wait()

    await read(100)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    await read(READS)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    transport.close()
    theirs.close()
    return faults / READS


def tell(kind, least, most, when=""):
    seen = asyncio.run(page_faults(kind))
    where = f"asyncio of Python {platform.python_version()}, {' '.join(platform.libc_ver())}"
    print(f"{where}: {seen:.2f} page faults for a read of {len(PIECE)} bytes with {kind.__mro__[1].__name__}{when}")
    assert least <= seen <= most, "a read takes other room now"


tell(Plain, 1.0, 4.0)
tell(WithRoom, 0.0, 0.1)
large = bytes(2**20)
del large
tell(Plain, 0.0, 0.1, ", once a megabyte was freed")
PYTHON
python3 seen.py

"""Token buckets in memory that the processes of a gateway share."""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

from sarlens.admission.rate_limit import BucketLevel, BucketRequest

_SLOT = struct.Struct("<8sdd")
"""Hash of the bucket's name, its tokens, and the time of its last withdrawal."""
_SLOTS = 65_536
_MAX_PROBES = 64
_MAX_LOCK_ATTEMPTS = 1000
_EMPTY = bytes(8)


class SharedMemoryTokenBuckets:
    """Token buckets in a file that several processes of a host map into memory.

    The file is a hash table of fixed size. If a part of the table is full, a new bucket replaces the one that has been
    unused for the longest time.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(self._file, _SLOTS * _SLOT.size)
        self._memory = mmap.mmap(self._file, _SLOTS * _SLOT.size)

    async def level(self, bucket: str, capacity: int) -> float:
        """Return the number of tokens in a bucket."""
        with self._lock():
            now = self._clock()
            return self._read(bucket, capacity, now)[2].tokens_at(now, capacity)

    async def consume(self, request: BucketRequest) -> float:
        """Withdraw the tokens and return 0, or return the seconds to wait."""
        with self._lock():
            now = self._clock()
            offset, name, level = self._read(request.bucket, request.capacity, now)
            wait_s, level = level.withdraw(request, now)
            _SLOT.pack_into(self._memory, offset, name, *level)
        return wait_s

    def _read(self, bucket: str, capacity: int, now: float) -> tuple[int, bytes, BucketLevel]:
        """Return the offset, the hashed name and the level of a bucket; a new bucket is full."""
        name = blake2b(bucket.encode(), digest_size=8).digest()
        offset = self._find(name)
        stored, tokens, updated_at = _SLOT.unpack_from(self._memory, offset)
        return offset, name, BucketLevel(tokens, updated_at) if stored == name else BucketLevel(float(capacity), now)

    async def close(self) -> None:
        """Close the file."""
        self._memory.close()
        os.close(self._file)

    def _find(self, name: bytes) -> int:
        """Return the offset of a bucket, or of the slot for a new one."""
        first = int.from_bytes(name) % _SLOTS
        offsets = [(first + i) % _SLOTS * _SLOT.size for i in range(_MAX_PROBES)]
        for offset in offsets:
            if self._memory[offset : offset + 8] in {name, _EMPTY}:
                return offset
        return min(offsets, key=lambda offset: float(_SLOT.unpack_from(self._memory, offset)[2]))

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Exclude other processes; one that is stopped inside the lock doesn't stop the others."""
        for _ in range(_MAX_LOCK_ATTEMPTS):
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                continue
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)

"""Which message ids a session has seen: eight bytes each, so that a million of them fit into eight megabytes."""

import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import chain


class Ids:
    """A set of ids that can only say "perhaps": two of them may share a hash, once in very many."""

    def __init__(self, hashes: Iterable[int] = ()) -> None:
        # Sorted arrays are small; 256 of them keep an insertion from moving megabytes.
        self._buckets: dict[int, array[int]] = {}
        self.update(hashes)

    def __iter__(self) -> Iterator[int]:
        return chain.from_iterable(self._buckets.values())

    def __contains__(self, id: str) -> bool:
        hash = _hash(id)
        bucket = self._buckets.get(hash >> 56, ())
        place = bisect_left(bucket, hash)
        return place < len(bucket) and bucket[place] == hash

    def add(self, id: str) -> None:
        self.update((_hash(id),))

    def update(self, hashes: Iterable[int]) -> None:
        for hash in hashes:
            bucket = self._buckets.setdefault(hash >> 56, array("Q"))
            place = bisect_left(bucket, hash)
            if place == len(bucket) or bucket[place] != hash:
                bucket.insert(place, hash)

    def to_bytes(self) -> bytes:
        """For the index file of an archive: the hashes, big-endian, and a checksum."""
        body = b"".join(hash.to_bytes(8) for hash in self)
        return body + zlib.crc32(body).to_bytes(4)


def from_bytes(data: bytes) -> Ids | None:
    """What ``to_bytes`` made of an archive, which is never empty; None when it did not make this."""
    body, checksum = data[:-4], data[-4:]
    if not body or len(body) % 8 or zlib.crc32(body).to_bytes(4) != checksum:
        return None
    return Ids(int.from_bytes(body[place : place + 8]) for place in range(0, len(body), 8))


def _hash(id: str) -> int:
    # Not hash(): that differs from process to process.
    return int.from_bytes(blake2b(id.encode(), digest_size=8).digest())

"""The cache of this process: the latest used, within so many bytes."""

from cachetools import LRUCache

ENTRY_BYTES = 250
"""Of an entry beside its value: key, objects and table slots, measured on CPython 3.11 and rounded up."""


class MemoryCache:
    """Bounded by bytes, not by entries: a summary is a hundred labels."""

    def __init__(self, max_bytes: int) -> None:
        self._entries: LRUCache[bytes, bytes] = LRUCache(max_bytes, getsizeof=lambda value: ENTRY_BYTES + len(value))

    def __len__(self) -> int:
        """Entries."""
        return len(self._entries)

    @property
    def size(self) -> int:
        """Bytes, estimated."""
        return int(self._entries.currsize)

    def get(self, key: bytes) -> bytes | None:
        """The value, which is now the latest used."""
        return self._entries.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Keep a value; the least lately used go. One that is larger than all the room is not kept."""
        if ENTRY_BYTES + len(value) <= self._entries.maxsize:
            self._entries[key] = value

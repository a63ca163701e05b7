"""A file that is wanted in memory: an order's manifest."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

from planet_provider.exceptions import UnexpectedResponseError
from planet_provider.wording import file_size


class MemoryStaging:
    """Bytes on their way into memory.

    :param name: How errors name the file.
    :param limit: Bytes that are taken at most.
    """

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._limit = limit
        self.content = bytearray()
        self.validator: str | None = None

    @property
    def position(self) -> int:
        """Bytes held."""
        return len(self.content)

    def __enter__(self) -> MemoryStaging:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def replay(self) -> Iterator[bytes]:
        """Yield the bytes held."""
        yield bytes(self.content)

    def remember(self, validator: str | None) -> None:
        """Note the source's strong ETag."""
        self.validator = validator

    def write(self, *chunks: bytes | memoryview) -> None:
        """Append bytes.

        :raises UnexpectedResponseError: They are more than the limit.
        """
        if len(self.content) + sum(map(len, chunks)) > self._limit:
            raise UnexpectedResponseError(f"{self._name} is larger than {file_size(self._limit)}; refused.")
        for chunk in chunks:
            self.content += chunk

    def reset(self) -> None:
        """Drop all bytes and the ETag."""
        self.content.clear()
        self.validator = None

    def publish(self) -> None:
        """Do nothing: the bytes are where they are wanted."""

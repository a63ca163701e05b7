"""Digests: what a file has to be, and what a stream of bytes is."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Literal, Protocol, cast

from planet_provider.builders import checks

Checksum = Literal["sha256", "md5"]

#: How a file was verified: by a digest; by the size that Planet gave; only by the length that the server
#: announced for the body, where Planet gave neither digest nor size; or, in a verified zip, by its CRC-32.
Verified = Literal["sha256", "md5", "size", "length", "crc32"]

CHECKSUMS: tuple[Checksum, ...] = ("sha256", "md5")

#: Bytes read from a store at once when hashing.
READ_BYTES = 1 << 20

_DIGEST = {"md5": re.compile(r"[0-9a-f]{32}"), "sha256": re.compile(r"[0-9a-f]{64}")}


class Hash(Protocol):
    """The part of hashlib's objects that is used here."""

    def update(self, data: bytes | memoryview, /) -> None: ...

    def hexdigest(self) -> str: ...


def new_hash(checksum: Checksum) -> Hash:
    """Start a digest. MD5 is used against accidents, not against forgers, so FIPS hosts may allow it."""
    return hashlib.new(checksum, usedforsecurity=False)


def check_checksum(value: object, field: str = "checksum") -> Checksum:
    """Check the name of a digest: ``sha256`` or ``md5``, in any capitalisation."""
    return cast("Checksum", checks.choice(value, CHECKSUMS, field, fold_case=True))


def is_digest(value: str, checksum: Checksum) -> bool:
    """Tell whether a string has the form of a digest, in lower-case hexadecimal."""
    return _DIGEST[checksum].fullmatch(value) is not None


def hash_stream(
    stream: BinaryIO, checksum: Checksum, *, moved: Callable[[int], None] | None = None
) -> tuple[int, str]:
    """Read a stream to its end with bounded memory.

    :param moved: Told the number of bytes of each read; may raise to stop.
    :return: Bytes and digest.
    """
    digest, size = new_hash(checksum), 0
    while chunk := stream.read(READ_BYTES):
        digest.update(chunk)
        size += len(chunk)
        if moved is not None:
            moved(len(chunk))
    return size, digest.hexdigest()


@dataclass(frozen=True)
class Expected:
    """What is known of a file before it is read.

    :param size: Bytes.
    :param md5: In hexadecimal.
    :param sha256: In hexadecimal.
    """

    size: int | None = None
    md5: str | None = None
    sha256: str | None = None

    def digest(self, preferred: Checksum) -> tuple[Checksum, str] | None:
        """Return the digest to check: the preferred one, else the other, else none."""
        for checksum in sorted(CHECKSUMS, key=lambda name: name != preferred):
            value = self.sha256 if checksum == "sha256" else self.md5
            if value is not None:
                return checksum, value
        return None

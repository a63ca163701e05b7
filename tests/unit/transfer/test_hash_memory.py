"""Files are hashed in bounded memory: piece by piece, however large they are."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from planet_provider.transfer import verify_file
from planet_provider.transfer.digests import Checksum

SIZE = 64 << 20
#: What may be allocated at most: a few pieces.
BOUND = 8 << 20


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A large file that takes no room on the disk."""
    path = tmp_path / "large.tif"
    with path.open("wb") as out:
        out.truncate(SIZE)
    return path


@pytest.mark.parametrize("checksum", ["sha256", "md5"])
def test_a_large_file_is_validated_in_bounded_memory(file: Path, checksum: Checksum, traced: None) -> None:
    digest = hashlib.new(checksum)
    for _ in range(SIZE >> 20):
        digest.update(bytes(1 << 20))
    tracemalloc.reset_peak()
    assert verify_file(file, digest.hexdigest(), checksum=checksum) == SIZE
    assert tracemalloc.get_traced_memory()[1] < BOUND


def test_the_measure_sees_a_file_that_is_read_at_once(file: Path, traced: None) -> None:
    assert len(file.read_bytes()) == SIZE
    assert tracemalloc.get_traced_memory()[1] > BOUND

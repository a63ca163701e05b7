"""What a disk refuses: an error that names the file, the folder, the system's words and the remedy."""

from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path

import pytest

from planet_provider.exceptions import StorageError
from planet_provider.transfer.digests import Expected
from planet_provider.transfer.stores.base import read, write
from planet_provider.transfer.stores.errors import FileLocation, reason_of
from planet_provider.transfer.stores.local import LocalStore
from planet_provider.transfer.stores.spool import ObjectStore
from planet_provider.transfer.stores.staging import FileStaging

PLACE = FileLocation("PSScene/a.tif", "/data/orders/x", 5_000_000)


def test_a_full_disk() -> None:
    """Linux has a device that is full always."""
    with open("/dev/full", "r+b", buffering=0) as file:
        staging = FileStaging(file, PLACE)
        with pytest.raises(StorageError) as caught:
            staging.write(b"x" * 100)
        with pytest.raises(StorageError):
            staging.write_ahead(10, b"x")
    said = str(caught.value)
    assert said.startswith(
        "PSScene/a.tif: No space left on device, in /data/orders/x. Free at least 5.0 MB there."
    )
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.file, again.folder, again.reason) == (
        "PSScene/a.tif",
        "/data/orders/x",
        "No space left on device",
    )
    assert again.retryable


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EDQUOT, "Free at least 1.0 MB"),
        (errno.EFBIG, "ulimit -f"),
        (errno.EACCES, "Let the task's user"),
        (errno.EROFS, "Mount it for writing"),
        (errno.EIO, "Look at that file system"),
    ],
)
def test_remedies(number: int, remedy: str) -> None:
    said = str(PLACE.error(OSError(number, os.strerror(number)), held=4_000_000))
    assert os.strerror(number) in said
    assert remedy in said


def test_an_error_without_a_number_keeps_its_words_and_no_signed_link() -> None:
    link = "https://bucket.example/a?X-Amz-Signature=0123456789abcdef"
    error = FileLocation("a", "sftp://host/orders").error(OSError(f"lost {link}"))
    assert "lost https://bucket.example/a" in str(error)
    assert "0123456789abcdef" not in str(error) + reason_of(OSError(link))
    assert reason_of(error) == error.reason


def test_where_a_folder_stands_nothing_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "PSScene/a.tif").mkdir(parents=True)
    with pytest.raises(StorageError, match="A folder stands where the file has to be") as caught:
        LocalStore(tmp_path).stage("PSScene/a.tif", Expected(3))
    assert (caught.value.file, caught.value.folder) == ("PSScene/a.tif", str(tmp_path / "PSScene"))
    assert list((tmp_path / "PSScene").iterdir()) == [tmp_path / "PSScene/a.tif"]


@pytest.mark.parametrize("name", ["PSScene/a.tif", "PSScene/deeper/still/a.tif"])
def test_where_a_file_stands_no_folder_can_be(tmp_path: Path, name: str) -> None:
    (tmp_path / "PSScene").write_bytes(b"mine")
    with pytest.raises(StorageError, match="A file stands where a folder has to be"):
        write(LocalStore(tmp_path), name, b"x")
    assert (tmp_path / "PSScene").read_bytes() == b"mine"


def test_a_missing_file_is_no_error_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        LocalStore(tmp_path).open("a")
    with pytest.raises(StorageError, match="Is a directory"):
        read(LocalStore(tmp_path.parent), tmp_path.name, 10)


def test_a_spool_folder_that_is_not_there(tmp_path: Path) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    store = ObjectStore(MemoryFileSystem(), "/x", spool_dir=tmp_path / "gone")
    with pytest.raises(StorageError, match="gone"):
        store.stage("a", Expected())

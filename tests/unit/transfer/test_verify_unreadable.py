"""A file that can't be read is one problem among the others."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import BinaryIO

import pytest
from obstore.store import MemoryStore

from planet_provider.exceptions import ChecksumError, TransferError
from planet_provider.transfer import verify, verify_file
from planet_provider.transfer.digests import Expected
from planet_provider.transfer.files import agrees_in_place
from planet_provider.transfer.manifest import Entry
from planet_provider.transfer.progress import TransferProgress
from planet_provider.transfer.stores.base import write
from planet_provider.transfer.stores.bucket import BucketStore
from planet_provider.transfer.stores.local import LocalStore

#: A file whose beginning the system refuses to read, no matter who asks: no page is ever mapped there.
UNREADABLE = Path("/proc/self/mem")

SHA256 = hashlib.sha256(b"abc").hexdigest()


def manifest(*names: str) -> str:
    return json.dumps({"files": [{"path": name, "digests": {"sha256": SHA256}} for name in names]})


def test_the_others_are_told_too(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(manifest("a", "broken", "missing", "altered"))
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "altered").write_bytes(b"abd")
    (tmp_path / "broken").symlink_to(UNREADABLE)
    with pytest.raises(ChecksumError) as caught:
        verify(tmp_path)
    problems = {one["path"]: one for one in caught.value.problems}
    assert {path: one["problem"] for path, one in problems.items()} == {
        "broken": "unreadable",
        "missing": "missing",
        "altered": "sha256",
    }
    assert problems["broken"]["got"] == "Input/output error"
    assert "broken is unreadable: Input/output error" in str(caught.value)
    assert "2 of 4 files are missing, short or altered and 1 of 4 files can't be read" in str(caught.value)


def test_one_file(tmp_path: Path) -> None:
    with pytest.raises(ChecksumError, match="is unreadable: Input/output error") as caught:
        verify_file(UNREADABLE, SHA256)
    assert caught.value.problems[0]["problem"] == "unreadable"
    with pytest.raises(ChecksumError, match="is unreadable: Is a directory"):
        verify_file(tmp_path, SHA256)


def test_a_bucket_that_refuses_one_object() -> None:
    class Refusing(BucketStore):
        def open(self, name: str) -> BinaryIO:
            if name == "refused":
                raise TransferError("the object store refused: AccessDenied", file=name)
            return super().open(name)

    store = Refusing(MemoryStore(), "order", uri="memory://order")
    write(store, "manifest.json", manifest("a", "refused", "missing").encode())
    for name in ("a", "refused"):
        write(store, name, b"abc")
    with pytest.raises(ChecksumError, match="refused is unreadable: the object store refused") as caught:
        verify(store)
    assert {one["path"] for one in caught.value.problems} == {"refused", "missing"}


def test_a_download_takes_it_for_missing(tmp_path: Path) -> None:
    (tmp_path / "broken").symlink_to(UNREADABLE)
    entry = Entry(path="broken", expected=Expected(sha256=SHA256))
    assert agrees_in_place(LocalStore(tmp_path), entry, "sha256", TransferProgress()) is None

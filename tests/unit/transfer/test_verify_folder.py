"""What an order's folder holds beside the manifest's files: known to its record, on its way, or unexpected."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore

from planet_provider.exceptions import ChecksumError, InvalidInputError
from planet_provider.transfer import verify, verify_file
from planet_provider.transfer.stores.base import Store, write
from planet_provider.transfer.stores.bucket import BucketStore
from planet_provider.transfer.stores.local import LocalStore

FILES = {"PSScene/a.tif": b"a" * 1000, "PSScene/b.tif": b"b" * 2000}


def entry(path: str, content: bytes) -> dict[str, Any]:
    return {
        "path": path,
        "size": len(content),
        "digests": {"sha256": hashlib.sha256(content).hexdigest()},
    }


def recorded(path: str, content: bytes, **more: Any) -> dict[str, Any]:
    return {"path": path, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), **more}


@pytest.fixture(params=["local", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        made: Store = LocalStore(tmp_path)
    else:
        made = BucketStore(MemoryStore(), "order", uri="memory://order")
    for path, content in FILES.items():
        write(made, path, content)
    write(made, "manifest.json", json.dumps({"files": [entry(*file) for file in FILES.items()]}).encode())
    write(
        made,
        "planet-transfer.json",
        json.dumps({"files": [recorded(*one) for one in FILES.items()]}).encode(),
    )
    return made


def problems(caught: pytest.ExceptionInfo[ChecksumError]) -> dict[str, str]:
    return {one["path"]: one["problem"] for one in caught.value.problems}


def test_every_unexpected_file_is_listed_and_none_deleted(store: Store) -> None:
    for name in ("c.tif", "PSScene/a.tif.aux.xml", "PSScene/deeper/d"):
        write(store, name, b"x")
    with pytest.raises(ChecksumError, match="3 files are unexpected") as caught:
        verify(store, on_unexpected="fail")
    assert problems(caught) == dict.fromkeys(
        ["PSScene/a.tif.aux.xml", "PSScene/deeper/d", "c.tif"], "unexpected"
    )
    assert {"c.tif", "PSScene/a.tif.aux.xml", "PSScene/deeper/d"} <= set(store.names())


def test_unexpected_files_are_told_beside_others(store: Store) -> None:
    write(store, "c.tif", b"x")
    write(store, "PSScene/a.tif", b"short")
    with pytest.raises(
        ChecksumError, match="1 of 2 files is missing, short or altered and 1 file is"
    ) as caught:
        verify(store, on_unexpected="fail")
    assert problems(caught) == {"PSScene/a.tif": "size", "c.tif": "unexpected"}


def test_a_warning_is_the_default(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    write(store, "c.tif", b"x")
    with caplog.at_level(logging.WARNING):
        found = verify(store)
    assert (found.validated, found.unexpected) == (2, ("c.tif",))
    assert "c.tif" in caplog.text


def test_they_may_be_ignored(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    write(store, "c.tif", b"x")
    found = verify(store, on_unexpected="ignore")
    assert found.unexpected == ()
    assert "c.tif" not in caplog.text


def test_what_a_transfer_leaves_for_its_next_try_is_expected(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    write(store, "a.tif", b"a")
    write(store, "manifest.json", json.dumps({"files": [entry("a.tif", b"a")]}).encode())
    for name in ("a.tif.part", "a.tif.part.json", ".planet-transfer-0123.part", "other.tif.part"):
        (tmp_path / name).write_bytes(b"x")
    assert verify(store).unexpected == ("other.tif.part",)


def test_what_globs_left_out_is_expected_where_it_is(store: Store) -> None:
    kept = [recorded("PSScene/a.tif", FILES["PSScene/a.tif"])]
    write(store, "planet-transfer.json", json.dumps({"files": kept, "include": ["*a.tif"]}).encode())
    found = verify(store, on_unexpected="fail")
    assert found.validated == 2
    store.remove("PSScene/b.tif")
    assert verify(store, on_unexpected="fail").left_out == ("PSScene/b.tif",)


def test_results_that_the_manifest_does_not_list_are_compared_with_the_record(store: Store) -> None:
    write(store, "loose.txt", b"loose")
    unpacked = recorded("scenes/x.tif", b"unpacked", archive="scenes.zip")
    record = {"files": [recorded("loose.txt", b"loose")], "unpacked": [unpacked]}
    write(store, "planet-transfer.json", json.dumps(record).encode())
    with pytest.raises(ChecksumError) as caught:
        verify(store, on_unexpected="fail")
    assert problems(caught) == {"scenes/x.tif": "missing"}
    write(store, "scenes/x.tif", b"unpacked")
    assert verify(store, on_unexpected="fail").validated == 4
    write(store, "loose.txt", b"moose")
    with pytest.raises(ChecksumError) as caught:
        verify(store)
    assert problems(caught) == {"loose.txt": "sha256"}


def test_some_files_alone(store: Store) -> None:
    write(store, "PSScene/b.tif", b"altered")
    assert verify(store, only=["PSScene/a.tif"]).validated == 1


def test_one_file_of_a_store(store: Store) -> None:
    digest = hashlib.sha256(FILES["PSScene/a.tif"]).hexdigest()
    assert verify_file((store, "PSScene/a.tif"), digest) == 1000
    with pytest.raises(ChecksumError, match="is missing"):
        verify_file((store, "PSScene/z.tif"), digest)


def test_on_unexpected_is_checked(store: Store) -> None:
    with pytest.raises(InvalidInputError, match="on_unexpected='maybe'"):
        verify(store, on_unexpected="maybe")  # type: ignore[arg-type]

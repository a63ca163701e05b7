"""Files on a local disk: whole or not there, and taken up again."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from pathlib import Path

import pytest

from planet_provider.exceptions import StorageError, UnsafePathError
from planet_provider.transfer.digests import Expected
from planet_provider.transfer.stores.base import read, write
from planet_provider.transfer.stores.local import LocalStore

CONTENT = b"0123456789" * 1000
EXPECTED = Expected(len(CONTENT), None, hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "order")


def entries(store: LocalStore) -> list[str]:
    return sorted(str(path.relative_to(store.root)) for path in store.root.rglob("*") if path.is_file())


def leave_half(store: LocalStore, expected: Expected = EXPECTED, etag: str | None = '"e"') -> None:
    with store.stage("a.tif", expected) as staging:
        staging.remember(etag)
        staging.write(CONTENT[:4000])


def test_a_published_file_is_alone(store: LocalStore) -> None:
    with store.stage("PSScene/a.tif", EXPECTED) as staging:
        staging.remember('"e"')
        staging.write(CONTENT)
        assert store.size("PSScene/a.tif") is None
        assert entries(store) == ["PSScene/a.tif.part", "PSScene/a.tif.part.json"]
        staging.publish()
    assert entries(store) == ["PSScene/a.tif"]
    assert read(store, "PSScene/a.tif", 10**6) == CONTENT
    assert store.size("PSScene/a.tif") == len(CONTENT)


def test_a_broken_file_is_taken_up_again(store: LocalStore) -> None:
    leave_half(store)
    assert entries(store) == ["a.tif.part", "a.tif.part.json"]
    with store.stage("a.tif", EXPECTED) as staging:
        assert (staging.position, staging.validator) == (4000, '"e"')
        assert b"".join(staging.replay()) == CONTENT[:4000]
        staging.write(CONTENT[4000:])
        staging.publish()
    assert read(store, "a.tif", 10**6) == CONTENT


def test_the_record_holds_no_link(store: LocalStore) -> None:
    leave_half(store)
    record = json.loads((store.root / "a.tif.part.json").read_text())
    assert set(record) == {"version", "size", "md5", "sha256", "etag"}


@pytest.mark.parametrize(
    "other",
    [
        Expected(len(CONTENT), None, "0" * 64),
        Expected(len(CONTENT) + 1, None, EXPECTED.sha256),
        Expected(len(CONTENT), "0" * 32, EXPECTED.sha256),
        Expected(None, None, None),
    ],
)
def test_a_part_of_other_content_is_not_taken_up(store: LocalStore, other: Expected) -> None:
    leave_half(store)
    with store.stage("a.tif", other) as staging:
        assert (staging.position, staging.validator) == (0, None)


@pytest.mark.parametrize("record", [None, b"", b"[]", b"{}", b"\xff", b'{"etag": null}'])
def test_a_part_without_a_good_record_is_not_taken_up(store: LocalStore, record: bytes | None) -> None:
    leave_half(store)
    path = store.root / "a.tif.part.json"
    path.unlink() if record is None else path.write_bytes(record)
    with store.stage("a.tif", EXPECTED) as staging:
        assert staging.position == 0


def test_a_part_that_is_too_long_is_not_taken_up(store: LocalStore) -> None:
    leave_half(store)
    with (store.root / "a.tif.part").open("ab") as part:
        part.write(CONTENT)
    with store.stage("a.tif", EXPECTED) as staging:
        assert staging.position == 0


def test_bytes_without_a_digest_are_not_kept(store: LocalStore) -> None:
    leave_half(store, Expected(len(CONTENT)))
    assert entries(store) == []


def test_nothing_is_left_of_a_file_that_did_not_begin(store: LocalStore) -> None:
    with store.stage("a.tif", EXPECTED) as staging:
        staging.remember(None)
    assert entries(store) == []


def test_a_part_in_use_is_left_alone_and_both_files_come_out_whole(store: LocalStore) -> None:
    with store.stage("a.tif", EXPECTED) as first:
        first.write(CONTENT[:100])
        with store.stage("a.tif", EXPECTED) as second:
            assert second.position == 0
            second.write(CONTENT)
            second.publish()
        assert read(store, "a.tif", 10**6) == CONTENT
        first.write(CONTENT[100:])
        first.publish()
    assert read(store, "a.tif", 10**6) == CONTENT
    assert entries(store) == ["a.tif"]


def test_where_nothing_can_be_locked_files_come_out_whole_and_are_not_resumed(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    leave_half(store)
    with store.stage("a.tif", EXPECTED) as first, store.stage("a.tif", EXPECTED) as second:
        assert (first.position, second.position) == (0, 0)
        for staging in (first, second):
            staging.write(CONTENT)
        for staging in (first, second):
            staging.publish()
    assert read(store, "a.tif", 10**6) == CONTENT
    assert entries(store) == ["a.tif"]


def test_private_parts_of_killed_tasks_are_swept_and_those_in_use_are_not(store: LocalStore) -> None:
    with store.stage("a.tif", EXPECTED) as first, store.stage("a.tif", EXPECTED) as second:
        stale = store.root / ".planet-transfer-0123456789abcdef.part"
        stale.write_bytes(b"x")
        second.write(CONTENT[:10])
        first.write(CONTENT)
        first.publish()
        assert not stale.exists()
        assert len(entries(store)) == 2
        second.write(CONTENT[10:])
        second.publish()
    assert entries(store) == ["a.tif"]


def test_a_published_file_replaces_an_older_one(store: LocalStore) -> None:
    write(store, "manifest.json", b"old")
    write(store, "manifest.json", b"new")
    assert read(store, "manifest.json", 100) == b"new"
    assert entries(store) == ["manifest.json"]


def test_the_older_file_stays_if_the_new_one_breaks(store: LocalStore) -> None:
    write(store, "a.tif", b"old")
    leave_half(store)
    assert read(store, "a.tif", 100) == b"old"


def test_a_folder_that_is_a_link_to_elsewhere_is_refused(store: LocalStore, tmp_path: Path) -> None:
    store.root.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (store.root / "PSScene").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafePathError, match="symbolic link"):
        store.stage("PSScene/a.tif", EXPECTED)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_part_that_is_a_link_is_not_followed(store: LocalStore, tmp_path: Path) -> None:
    store.root.mkdir()
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    (store.root / "a.tif.part").symlink_to(victim)
    with pytest.raises(StorageError, match="A symbolic link stands there: remove it"):
        store.stage("a.tif", EXPECTED)
    assert victim.read_bytes() == b"mine"


def test_files_get_the_usual_permissions(store: LocalStore) -> None:
    umask = os.umask(0o027)
    try:
        write(store, "a", b"x")
    finally:
        os.umask(umask)
    assert (store.root / "a").stat().st_mode & 0o777 == 0o640


def test_what_is_not_there(store: LocalStore) -> None:
    assert store.size("a") is None
    assert read(store, "a", 10) is None
    store.remove("a")
    write(store, "a", b"12345678901")
    assert read(store, "a", 10) is None
    store.remove("a")
    assert store.size("a") is None

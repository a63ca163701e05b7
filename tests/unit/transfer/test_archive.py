"""Zips are unpacked whole and where they belong, or refused before anything is written."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import random
import stat
import struct
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import MemoryStore

from planet_provider.exceptions import (
    ArchiveError,
    ChecksumError,
    TransferError,
    UnsafePathError,
)
from planet_provider.transfer.archive import Limits, folder_of, unpack
from planet_provider.transfer.digests import Expected
from planet_provider.transfer.manifest import Entry
from planet_provider.transfer.stores.base import Store, read, write
from planet_provider.transfer.stores.bucket import BucketStore
from planet_provider.transfer.stores.local import LocalStore

FILES = {
    "PSScene/a.tif": random.Random(1).randbytes(300_000),
    "PSScene/b.json": b'{"type": "Feature"}' * 500,
    "empty.txt": b"",
}


def digest(content: bytes, name: str = "sha256") -> str:
    return hashlib.new(name, content).hexdigest()


def manifest_of(files: Mapping[str, bytes]) -> bytes:
    listed = [
        {
            "path": path,
            "size": len(content),
            "media_type": "image/tiff",
            "digests": {"md5": digest(content, "md5"), "sha256": digest(content)},
            "annotations": {"planet/item_id": "20260101_000000_00_0000", "planet/item_type": "PSScene"},
        }
        for path, content in files.items()
    ]
    return json.dumps({"name": "", "files": listed}).encode()


def zipped(files: Mapping[str, bytes], **changes: Any) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            for attribute, value in changes.items():
                setattr(info, attribute, value)
            bundle.writestr(info, content)
    return buffer.getvalue()


@pytest.fixture(params=["local", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return LocalStore(tmp_path)
    return BucketStore(MemoryStore(), "order", uri="memory://order")


def held(store: Store) -> dict[str, bytes]:
    return {name: read(store, name, 1 << 30) or b"" for name in store.names() if name != "scenes.zip"}


def unpacked(store: Store, content: bytes, **options: Any) -> dict[str, bytes]:
    write(store, "scenes.zip", content)
    unpack(store, "scenes.zip", **options)
    return held(store)


def refused(store: Store, content: bytes, error: type[Exception], match: str, **options: Any) -> Exception:
    write(store, "scenes.zip", content)
    with pytest.raises(error, match=match) as caught:
        unpack(store, "scenes.zip", **options)
    assert held(store) == {}, "nothing was written"
    return caught.value


def test_members_go_to_the_folder_of_the_archives_name(store: Store) -> None:
    files = {**FILES, "manifest.json": manifest_of(FILES)}
    write(store, "scenes.zip", zipped(files))
    records = unpack(store, "scenes.zip", threads=3)
    assert held(store) == {f"scenes/{name}": content for name, content in files.items()}
    assert [record.name for record in records] == [f"scenes/{name}" for name in files]
    first = records[0]
    assert (first.sha256, first.md5) == (
        digest(FILES["PSScene/a.tif"]),
        digest(FILES["PSScene/a.tif"], "md5"),
    )
    assert (first.verified, first.archive, first.downloaded) == ("sha256", "scenes.zip", True)
    assert (first.item_id, first.path) == ("20260101_000000_00_0000", store.uri("scenes/PSScene/a.tif"))
    assert records[-1].verified == "crc32"


def test_what_is_there_and_agrees_is_not_written_again(store: Store) -> None:
    assert unpacked(store, zipped(FILES))
    write(store, "scenes/PSScene/b.json", b"x" * len(FILES["PSScene/b.json"]))
    again = unpack(store, "scenes.zip")
    assert {record.source: record.downloaded for record in again} == {
        "PSScene/a.tif": False,
        "PSScene/b.json": True,
        "empty.txt": False,
    }
    assert held(store) == {f"scenes/{name}": content for name, content in FILES.items()}
    assert all(record.downloaded for record in unpack(store, "scenes.zip", overwrite=True))
    assert again[0].sha256 == digest(FILES["PSScene/a.tif"])


def test_the_orders_manifest_knows_members_too(store: Store) -> None:
    known = {"PSScene/a.tif": Entry(path="PSScene/a.tif", expected=Expected(sha256="0" * 64))}
    write(store, "scenes.zip", zipped(FILES))
    with pytest.raises(ChecksumError, match=r"scenes/PSScene/a\.tif: sha256"):
        unpack(store, "scenes.zip", known=known)
    assert store.size("scenes/PSScene/a.tif") is None


def test_a_member_unlike_its_manifest_is_not_published(store: Store) -> None:
    listed = {**FILES, "PSScene/a.tif": bytes(300_000)}
    write(store, "scenes.zip", zipped({**FILES, "manifest.json": manifest_of(listed)}))
    with pytest.raises(ChecksumError) as caught:
        unpack(store, "scenes.zip")
    assert caught.value.problems[0]["path"] == "scenes/PSScene/a.tif"
    assert store.size("scenes/PSScene/a.tif") is None
    assert store.size("scenes/manifest.json") is None, "it comes last"


def test_a_member_that_the_manifest_lists_and_the_zip_lacks(store: Store) -> None:
    files = {"a": b"a", "manifest.json": manifest_of({"a": b"a", "b": b"b"})}
    error = refused(store, zipped(files), ChecksumError, "lists b, which it doesn't hold")
    assert pickle.loads(pickle.dumps(error)).problems[0]["problem"] == "missing"


def test_a_flipped_byte_is_found_by_the_crc(store: Store) -> None:
    content = bytearray(zipped({"a.bin": FILES["PSScene/a.tif"]}))
    content[50_000] ^= 1
    refused(store, bytes(content), ChecksumError, "a.bin")


@pytest.mark.parametrize("cut", [1, 0.5, 0.99])
def test_a_zip_that_is_cut_is_refused(store: Store, cut: float) -> None:
    content = zipped(FILES)
    end = int(cut) if cut >= 1 else int(len(content) * cut)
    with pytest.raises(ArchiveError, match="no zip that can be read"):
        unpacked(store, content[:end])
    assert held(store) == {}


@pytest.mark.parametrize(
    "name",
    ["../x", "a/../../x", "/etc/x", "..\\x", "C:/x", "a//x", "a/./x", "x\x01", "..", "con\u202etxt", ". ./x"],
)
def test_names_that_lead_elsewhere_are_refused(store: Store, name: str) -> None:
    refused(store, zipped({"good.txt": b"x", name: b"x"}), UnsafePathError, "Delivered file")


@pytest.mark.parametrize("names", [("a", "A"), ("a", "a/b"), ("a/b", "A"), ("ﬀ", "ff")])
def test_names_that_meet_are_refused(store: Store, names: tuple[str, str]) -> None:
    refused(store, zipped(dict.fromkeys(names, b"x")), UnsafePathError, "Delivered file")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicates_are_refused(store: Store) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        bundle.writestr("a", b"one")
        bundle.writestr("a", b"two")
    refused(store, buffer.getvalue(), UnsafePathError, "take the place")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_special_files_are_refused(store: Store, kind: int) -> None:
    content = zipped({"a": b"/etc/passwd"}, external_attr=(kind | 0o777) << 16)
    refused(store, content, UnsafePathError, "link or a special file")


def test_encrypted_members_are_refused(store: Store) -> None:
    content = bytearray(zipped({"a": b"secret"}))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.index(mark) + offset
        content[at] |= 1
    refused(store, bytes(content), ArchiveError, "encrypted")


def test_other_ways_of_packing_are_refused(store: Store) -> None:
    content = zipped({"a": b"x" * 1000}, compress_type=zipfile.ZIP_LZMA)
    refused(store, content, ArchiveError, "method 14")


@pytest.mark.parametrize(
    ("limits", "match"),
    [
        (Limits(members=2), "3 members, more than 2"),
        (Limits(bytes=300_000), "would become"),
        (Limits(ratio=1, free_bytes=0), "would become"),
    ],
)
def test_archives_beyond_the_limits_are_refused(store: Store, limits: Limits, match: str) -> None:
    refused(store, zipped(FILES), ArchiveError, match, limits=limits)


def test_a_bomb_is_refused_unread(store: Store) -> None:
    bomb = zipped({f"{index}.bin": bytes(30 << 20) for index in range(3)})
    limits = Limits(free_bytes=20 << 20)
    refused(store, bomb, ArchiveError, "would become 94.4 MB, more than 21.0 MB", limits=limits)


def test_a_member_that_is_larger_than_it_says_is_not_published(store: Store) -> None:
    content = bytearray(zipped({"a.bin": bytes(1 << 20)}))
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", content, content.index(mark) + offset, 1000)
    refused(store, bytes(content), ChecksumError, "a.bin")


def test_members_that_share_bytes_are_refused(store: Store) -> None:
    content = bytearray(zipped({"a": bytes(100_000), "b": bytes(100_000)}))
    second = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 4)
    struct.pack_into("<I", content, second + 42, 0)  # b begins where a does
    refused(store, bytes(content), TransferError, "overlap|b")


def test_a_copy_of_an_archive_is_compared_with_its_digest() -> None:
    store = BucketStore(MemoryStore(), "order", uri="memory://order")
    refused(store, zipped(FILES), ChecksumError, "scenes.zip: sha256", expected=Expected(sha256="0" * 64))
    content = zipped(FILES)
    assert unpacked(store, content, expected=Expected(sha256=digest(content)))


def test_folders_in_a_zip_make_no_files(store: Store) -> None:
    buffer = io.BytesIO(zipped({"a/b": b"x"}))
    with zipfile.ZipFile(buffer, "a") as bundle:
        for name in ("a/", "other/"):
            bundle.writestr(zipfile.ZipInfo(name), b"")
    assert unpacked(store, buffer.getvalue()) == {"scenes/a/b": b"x"}


@pytest.mark.parametrize(
    ("archive", "folder"),
    [("scenes.zip", "scenes"), ("a/b.ZIP", "a/b"), ("a.b.zip", "a.b"), ("plain", "plain.unpacked")],
)
def test_folders_of_archives(archive: str, folder: str) -> None:
    assert folder_of(archive) == folder


@given(
    st.lists(
        st.one_of(
            st.text(min_size=1, max_size=30),
            st.lists(
                st.sampled_from(["..", ".", "a", "B", "", " ", "c:", "~", "\\", "…", "x "]), min_size=1
            ).map("/".join),
        ),
        min_size=1,
        max_size=4,
        unique=True,
    )
)
def test_no_name_whatever_leads_outside(names: list[str]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        for name in names:
            info = zipfile.ZipInfo("placeholder")
            info.filename = info.orig_filename = name
            try:
                bundle.writestr(info, b"content")
            except (UnicodeEncodeError, ValueError):
                return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        order = root / "orders" / "order"
        store = LocalStore(order)
        write(store, "scenes.zip", buffer.getvalue())
        try:
            records = unpack(store, "scenes.zip")
        except TransferError:
            records = []
        written = {path for path in root.rglob("*") if path.is_file()} - {order / "scenes.zip"}
        assert all(path.is_relative_to(order / "scenes") for path in written)
        assert {Path(record.path) for record in records} == written


def unicode_path(name: str, shown: str) -> bytes:
    """Return a zip's extra field that gives a member another name."""
    content = struct.pack("<BL", 1, zlib.crc32(name.encode())) + shown.encode()
    return struct.pack("<HH", 0x7075, len(content)) + content


@pytest.mark.parametrize("shown", ["../evil.tif", "/evil.tif", "b/../../evil.tif"])
def test_the_name_that_is_used_is_the_name_that_is_checked(tmp_path: Path, shown: str) -> None:
    store = LocalStore(tmp_path / "order")
    content = zipped({"a.tif": b"x"}, extra=unicode_path("a.tif", shown))
    if sys.version_info >= (3, 13):
        with pytest.raises(UnsafePathError):
            unpacked(store, content)
        assert held(store) == {}
    else:  # which take no notice of the field
        assert unpacked(store, content) == {"scenes/a.tif": b"x"}
    assert not list(tmp_path.glob("**/evil.tif"))


@pytest.mark.parametrize("where", ["central", "local"])
def test_a_header_that_is_not_utf8_is_an_error_of_ours(tmp_path: Path, where: str) -> None:
    content = bytearray(zipped({"é.tif": b"x" * 100}))
    at = content.rindex(b"\xc3\xa9") if where == "central" else content.index(b"\xc3\xa9")
    content[at : at + 2] = b"\xff\xff"
    with pytest.raises(TransferError):
        unpacked(LocalStore(tmp_path), bytes(content))


def test_a_member_that_differs_is_replaced_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = LocalStore(tmp_path)
    write(store, "scenes/empty.txt", b"other")
    unpacked(store, zipped(FILES))
    assert "empty.txt differs from the archive's content. It is replaced." in caplog.text

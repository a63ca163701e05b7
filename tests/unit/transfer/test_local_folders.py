"""Folders on a local disk: none outside, none lost with the power, and no part left beside a whole file."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from planet_provider.exceptions import UnsafePathError
from planet_provider.transfer.digests import Expected
from planet_provider.transfer.stores.base import write
from planet_provider.transfer.stores.local import LocalStore

CONTENT = b"0123456789" * 1000
EXPECTED = Expected(len(CONTENT), None, hashlib.sha256(CONTENT).hexdigest())


SETTLE = """
import sys
from planet_provider.transfer.stores.local import LocalStore

LocalStore(sys.argv[1]).settled("a.tif")
"""


def test_no_folder_is_made_where_a_link_leads(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    (root / "PSScene").symlink_to(outside)
    (root / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("PSScene/sub/deep/a.tif", "dangling/sub/a.tif"):
        with pytest.raises(UnsafePathError, match="symbolic link"):
            LocalStore(root).stage(name, EXPECTED)
    assert list(outside.iterdir()) == []
    assert not (tmp_path / "nowhere").exists()


def test_a_root_behind_a_link_is_the_users_affair(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "disk")
    write(LocalStore(tmp_path / "data/orders"), "PSScene/a.tif", b"x")
    assert (tmp_path / "disk/orders/PSScene/a.tif").read_bytes() == b"x"


def test_new_folders_are_durable_before_the_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def note(handle: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", note)
    store = LocalStore(tmp_path / "a/b")
    write(store, "c/d/x.tif", b"x")
    entries = [str(tmp_path), *(str(tmp_path / path) for path in ("a", "a/b", "a/b/c"))]
    assert synced == [*entries, str(tmp_path / "a/b/c/d/x.tif.part"), str(tmp_path / "a/b/c/d")]
    synced.clear()
    write(store, "c/d/y.tif", b"y")
    assert synced == [str(tmp_path / "a/b/c/d/y.tif.part"), str(tmp_path / "a/b/c/d")]


def leave_part(folder: Path) -> tuple[Path, Path]:
    write(LocalStore(folder), "a.tif", CONTENT)
    part, record = folder / "a.tif.part", folder / "a.tif.part.json"
    part.write_bytes(b"y" * 900)
    record.write_text("{}")
    return part, record


@pytest.mark.parametrize("left", ["both", "part", "record"])
def test_what_is_left_beside_a_whole_file_goes(tmp_path: Path, left: str) -> None:
    part, record = leave_part(tmp_path)
    if left == "part":
        record.unlink()
    if left == "record":
        part.unlink()
    LocalStore(tmp_path).settled("a.tif")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_a_part_of_a_living_transfer_stays(tmp_path: Path) -> None:
    part, record = leave_part(tmp_path)
    with part.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        subprocess.run([sys.executable, "-c", SETTLE, str(tmp_path)], check=True)
    assert part.exists()
    assert record.exists()


def test_a_link_in_a_parts_place_stays_and_so_does_what_it_leads_to(tmp_path: Path) -> None:
    part, _ = leave_part(tmp_path)
    (tmp_path / "mine").write_bytes(b"mine")
    part.unlink()
    part.symlink_to(tmp_path / "mine")
    LocalStore(tmp_path).settled("a.tif")
    assert (tmp_path / "mine").read_bytes() == b"mine"
    assert part.is_symlink()

"""Files compared with their manifest."""

from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from planet_provider.exceptions import (
    ChecksumError,
    InvalidInputError,
    TransferError,
    UnsafePathError,
)
from planet_provider.transfer import verify, verify_file
from planet_provider.transfer.progress import Progress

FILES = {f"PSScene/{index}.tif": bytes([index]) * 1000 * index for index in range(6)}


def entry(path: str, content: bytes, *digests: str) -> dict[str, Any]:
    return {
        "path": path,
        "size": len(content),
        "digests": {name: hashlib.new(name, content).hexdigest() for name in digests},
    }


@pytest.fixture
def order(tmp_path: Path) -> Path:
    entries = []
    for path, content in FILES.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
        entries.append(entry(path, content, "md5", "sha256"))
    (tmp_path / "manifest.json").write_text(json.dumps({"name": "x", "files": entries}))
    return tmp_path


@pytest.mark.guide("checksum-sha256")
@pytest.mark.parametrize("checksum", ["sha256", "md5", "MD5"])
def test_an_order_that_agrees(order: Path, checksum: Any) -> None:
    told: list[Progress] = []
    found = verify(order, checksum=checksum, max_concurrency=2, progress=told.append)
    assert found.validated == 6
    assert found.bytes == sum(map(len, FILES.values())) == told[-1].bytes_done
    assert (found.by_other_digest, found.by_size, found.left_out) == ((), (), ())
    assert told[-1].files_done == 6


@pytest.mark.parametrize("form", [str, Path, lambda path: f"{path}/", lambda path: f"{path}/manifest.json"])
def test_the_folder_or_its_manifest(order: Path, form: Any) -> None:
    assert verify(form(order)).directory == str(order)


@pytest.mark.guide("checksum-sha256")
def test_every_problem_is_listed(order: Path) -> None:
    (order / "PSScene/1.tif").unlink()
    (order / "PSScene/2.tif").write_bytes(b"short")
    altered = bytearray(FILES["PSScene/4.tif"])
    altered[17] ^= 1
    (order / "PSScene/4.tif").write_bytes(altered)
    with pytest.raises(ChecksumError, match="3 of 6 files") as caught:
        verify(order)
    problems = {problem["path"]: problem for problem in caught.value.problems}
    assert {path: problem["problem"] for path, problem in problems.items()} == {
        "PSScene/1.tif": "missing",
        "PSScene/2.tif": "size",
        "PSScene/4.tif": "sha256",
    }
    assert problems["PSScene/2.tif"] | {} == {
        "path": "PSScene/2.tif",
        "problem": "size",
        "expected": 2000,
        "got": 5,
    }
    assert problems["PSScene/4.tif"]["got"] == hashlib.sha256(altered).hexdigest()
    for path in problems:
        assert path in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).problems == caught.value.problems


def test_a_message_stays_short_and_the_list_whole(tmp_path: Path) -> None:
    entries = [entry(f"{index}.tif", b"x", "md5") for index in range(100)]
    (tmp_path / "manifest.json").write_text(json.dumps({"files": entries}))
    with pytest.raises(ChecksumError, match="and 80 more") as caught:
        verify(tmp_path)
    assert len(caught.value.problems) == 100


def test_a_folder_where_a_file_should_be_is_missing(order: Path) -> None:
    (order / "PSScene/1.tif").unlink()
    (order / "PSScene/1.tif").mkdir()
    with pytest.raises(ChecksumError, match=r"1\.tif is missing"):
        verify(order)


def test_weaker_comparisons_are_told(tmp_path: Path) -> None:
    entries = [entry("a", b"aa", "md5"), entry("b", b"bb"), entry("c", b"cc", "sha256")]
    for name in "abc":
        (tmp_path / name).write_bytes(name.encode() * 2)
    (tmp_path / "manifest.json").write_text(json.dumps({"files": entries}))
    found = verify(tmp_path, checksum="sha256")
    assert (found.by_other_digest, found.by_size) == (("a",), ("b",))


def test_only_what_the_record_leaves_out_may_be_missing(order: Path) -> None:
    kept = [{"path": path} for path in list(FILES)[:3]]
    (order / "planet-transfer.json").write_text(json.dumps({"files": kept}))
    (order / "PSScene/5.tif").unlink()
    assert verify(order).left_out == ("PSScene/5.tif",)
    (order / "PSScene/4.tif").write_bytes(b"altered though not asked for")
    (order / "PSScene/0.tif").unlink()
    with pytest.raises(ChecksumError) as caught:
        verify(order)
    assert [problem["path"] for problem in caught.value.problems] == ["PSScene/0.tif", "PSScene/4.tif"]


def test_no_manifest_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(TransferError, match=r"no manifest\.json") as caught:
        verify(tmp_path)
    assert not isinstance(caught.value, ChecksumError)


def test_a_manifest_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"files": [entry("../../etc/passwd", b"")]}))
    with pytest.raises(UnsafePathError):
        verify(tmp_path)


@pytest.mark.guide("asset-validate")
def test_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(b"abc")
    digest = hashlib.md5(b"abc").hexdigest()
    assert verify_file(path, digest, "md5") == 3
    assert verify_file(str(path), digest.upper(), "md5") == 3
    with pytest.raises(ChecksumError) as caught:
        verify_file(path, "0" * 32, "md5")
    assert caught.value.problems == (
        {"path": str(path), "problem": "md5", "expected": "0" * 32, "got": digest},
    )
    with pytest.raises(ChecksumError, match="missing"):
        verify_file(tmp_path / "b.tif", digest, "md5")


@pytest.mark.parametrize(
    ("expected", "checksum"), [("xyz", "md5"), ("0" * 32, "sha256"), (None, "md5"), ("0", "crc")]
)
def test_what_cannot_be_compared_is_refused(tmp_path: Path, expected: Any, checksum: Any) -> None:
    with pytest.raises(InvalidInputError):
        verify_file(tmp_path, expected, checksum)


@pytest.mark.parametrize("value", [0, -1, 1.5, "4", True])
def test_max_concurrency_is_checked(order: Path, value: Any) -> None:
    with pytest.raises(InvalidInputError, match="max_concurrency"):
        verify(order, max_concurrency=value)

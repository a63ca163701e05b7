"""Orders that arrive: whole, verified, recorded, and only what is missing."""

from __future__ import annotations

import json
import logging
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from transfer_support import (
    HASTY,
    QUICK,
    answer_manifest_with,
    answer_order_with,
    assert_whole,
    big_file,
    files_below,
    order_id,
    place_order,
    session,
    storage_requests,
)

from client_support import session_of
from planet_provider.client.http.session import PlanetSession
from planet_provider.exceptions import (
    InvalidInputError,
    OrderError,
    OrderFailedError,
    TransferError,
    UnexpectedResponseError,
    UnsafePathError,
)
from planet_provider.sandbox import Fault, Sandbox
from planet_provider.transfer import Progress, download_order, verify

__all__ = ["order_id", "session"]

pytestmark = pytest.mark.planet_sandbox(**QUICK)


@pytest.mark.guide("order-download")
def test_an_order_arrives_whole(
    planet_sandbox: Sandbox, session: PlanetSession, order_id: str, tmp_path: Path
) -> None:
    told: list[Progress] = []
    result = download_order(session, order_id, tmp_path, progress=told.append, progress_interval=0.01)
    folder = tmp_path / order_id
    manifest = assert_whole(folder)
    assert result.directory == str(folder)
    assert result.manifest == str(folder / "manifest.json")
    assert (result.downloaded, result.skipped) == (len(manifest["files"]), 0)
    assert result.bytes == sum(entry["size"] for entry in manifest["files"]) == told[-1].bytes_done
    assert told[-1].files_done == told[-1].files_total == len(manifest["files"])
    assert told[-1].bytes_total == result.bytes
    for record, entry in zip(result.files, manifest["files"], strict=True):
        assert record.as_dict() == {
            "path": str(folder / entry["path"]),
            "item_id": entry["annotations"]["planet/item_id"],
            "asset_type": entry["annotations"].get("planet/asset_type"),
            "media_type": entry["media_type"],
            "bytes": entry["size"],
            **entry["digests"],
        }
        assert (record.verified, record.downloaded) == ("sha256", True)
    assert verify(folder).validated == len(manifest["files"])


def test_the_manifest_is_what_was_delivered_and_comes_last(
    session: PlanetSession, order_id: str, tmp_path: Path, planet_sandbox: Sandbox
) -> None:
    body = json.dumps(json.loads(_manifest(session, order_id, tmp_path / "first")), indent=7) + " \n"
    answer_manifest_with(planet_sandbox, body)
    folder = tmp_path / order_id
    download_order(session, order_id, tmp_path)
    assert (folder / "manifest.json").read_bytes() == body.encode()
    times = {path.name: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert sorted(times, key=times.__getitem__)[-2:] == ["planet-transfer.json", "manifest.json"]


def test_the_transfer_record_tells_all_but_links(
    session: PlanetSession, order_id: str, tmp_path: Path
) -> None:
    result = download_order(session, order_id, tmp_path, exclude="*.xml")
    text = (tmp_path / order_id / "planet-transfer.json").read_text()
    record = json.loads(text)
    assert record["order_id"] == order_id
    assert (record["include"], record["exclude"]) == (None, ["*.xml"])
    assert datetime.fromisoformat(record["started_at"]) <= datetime.fromisoformat(record["finished_at"])
    assert [file["path"] for file in record["files"]] == [file.name for file in result.files]
    for file in record["files"]:
        assert file["source"] == f"{order_id}/{file['path']}"
        assert file["verified"] == "sha256"
        assert file["item_type"] == "PSScene"
    assert "://" not in text
    assert "token" not in text


@pytest.mark.guide("download-no-overwrite")
def test_files_that_agree_are_not_fetched_again(
    planet_sandbox: Sandbox, session: PlanetSession, order_id: str, tmp_path: Path
) -> None:
    first = download_order(session, order_id, tmp_path)
    before = len(storage_requests(planet_sandbox))
    again = download_order(session, order_id, tmp_path)
    assert len(storage_requests(planet_sandbox)) == before
    assert (again.downloaded, again.skipped) == (0, len(first.files))
    assert [record.as_dict() for record in again.files] == [record.as_dict() for record in first.files]


@pytest.mark.parametrize("change", ["missing", "short", "empty", "altered"])
def test_a_file_that_differs_is_fetched_again_and_it_alone(
    planet_sandbox: Sandbox,
    session: PlanetSession,
    order_id: str,
    tmp_path: Path,
    change: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = download_order(session, order_id, tmp_path)
    victim = Path(first.files[0].path)
    content = victim.read_bytes()
    changed = {
        "missing": None,
        "short": content[:-1],
        "empty": b"",
        "altered": content[:-1] + bytes([content[-1] ^ 1]),
    }[change]
    victim.unlink() if changed is None else victim.write_bytes(changed)
    before = len(storage_requests(planet_sandbox))
    again = download_order(session, order_id, tmp_path, overwrite=False)
    assert again.downloaded == 1
    why = {"missing": None, "short": "bytes, not", "empty": "it has 0 bytes", "altered": "sha256"}[change]
    said = [one.getMessage() for one in caplog.records if "is replaced" in one.getMessage()]
    assert len(said) == (why is not None)
    assert all(str(victim) in line and str(why) in line for line in said)
    assert [request.path.endswith(victim.name) for request in storage_requests(planet_sandbox)[before:]] == [
        True
    ]
    assert victim.read_bytes() == content


def test_overwrite_fetches_everything_anew(
    planet_sandbox: Sandbox, session: PlanetSession, order_id: str, tmp_path: Path
) -> None:
    first = download_order(session, order_id, tmp_path)
    before = len(storage_requests(planet_sandbox))
    again = download_order(session, order_id, tmp_path, overwrite=True)
    assert len(storage_requests(planet_sandbox)) - before == again.downloaded == len(first.files)


def test_there_is_no_manifest_while_a_file_is_missing(
    planet_sandbox: Sandbox, session: PlanetSession, order_id: str, tmp_path: Path
) -> None:
    first = download_order(session, order_id, tmp_path)
    Path(first.files[0].path).unlink()
    planet_sandbox.faults.add(Fault(kind="corrupt", origin="storage", path="PSScene", times=None))
    with pytest.raises(TransferError):
        download_order(session, order_id, tmp_path, retry_policy=HASTY)
    assert "manifest.json" not in files_below(tmp_path / order_id)


def test_globs_choose_and_a_later_choice_adds(session: PlanetSession, order_id: str, tmp_path: Path) -> None:
    folder = tmp_path / order_id
    images = download_order(session, order_id, tmp_path, include=["*_AnalyticMS.tif"])
    assert all(record.path.endswith("_AnalyticMS.tif") for record in images.files)
    assert len(files_below(folder)) == len(images.files) + 2
    assert verify(folder).left_out
    masks = download_order(session, order_id, tmp_path, include="*udm2.tif")
    assert verify(folder).validated == len(images.files) + len(masks.files)
    Path(images.files[0].path).unlink()
    with pytest.raises(TransferError, match="is missing"):
        verify(folder)


def test_globs_that_choose_nothing_are_refused(session: PlanetSession, order_id: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="include="):
        download_order(session, order_id, tmp_path, include="*.jp2")
    assert files_below(tmp_path) == {}


def test_md5_where_it_is_asked_for(session: PlanetSession, order_id: str, tmp_path: Path) -> None:
    result = download_order(session, order_id, tmp_path, checksum="md5")
    assert {record.verified for record in result.files} == {"md5"}


def test_a_file_without_digest_is_compared_by_size_and_the_record_says_so(
    planet_sandbox: Sandbox, session: PlanetSession, order_id: str, tmp_path: Path
) -> None:
    manifest = json.loads(_manifest(session, order_id, tmp_path / "first"))
    digests = [entry.pop("digests") for entry in manifest["files"]]
    answer_manifest_with(planet_sandbox, json.dumps(manifest))
    result = download_order(session, order_id, tmp_path)
    assert {record.verified for record in result.files} == {"size"}
    assert [record.sha256 for record in result.files] == [digest["sha256"] for digest in digests]
    assert [record.md5 for record in result.files] == [None] * len(digests)
    assert verify(result.directory).by_size == tuple(record.name for record in result.files)
    assert download_order(session, order_id, tmp_path).downloaded == 0


def test_a_result_that_the_manifest_does_not_list_comes_too(
    planet_sandbox: Sandbox, session: PlanetSession, order_id: str, tmp_path: Path
) -> None:
    manifest = json.loads(_manifest(session, order_id, tmp_path / "first"))
    unlisted = manifest["files"].pop(0)
    answer_manifest_with(planet_sandbox, json.dumps(manifest))
    last = download_order(session, order_id, tmp_path).files[-1]
    assert (last.name, last.verified, last.sha256) == (
        unlisted["path"],
        "length",
        unlisted["digests"]["sha256"],
    )
    assert last.bytes == unlisted["size"]


def test_a_listed_file_without_link_is_named(
    planet_sandbox: Sandbox, session: PlanetSession, order_id: str, tmp_path: Path
) -> None:
    lost: list[str] = []
    answer_order_with(
        planet_sandbox,
        session,
        order_id,
        lambda order: lost.append(order["_links"]["results"].pop(0)["name"]),
    )
    with pytest.raises(TransferError, match="no link for it") as caught:
        download_order(session, order_id, tmp_path)
    assert caught.value.file == lost[0].removeprefix(f"{order_id}/")
    assert files_below(tmp_path) == {}


def test_an_order_without_manifest_is_an_error(
    planet_sandbox: Sandbox, session: PlanetSession, order_id: str, tmp_path: Path
) -> None:
    def change(order: dict[str, Any]) -> None:
        results = order["_links"]["results"]
        order["_links"]["results"] = [one for one in results if not one["name"].endswith("manifest.json")]

    answer_order_with(planet_sandbox, session, order_id, change)
    with pytest.raises(TransferError, match=r"has no manifest\.json"):
        download_order(session, order_id, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("results", [["a link"], [{}], [{"name": 7}]])
def test_results_that_cannot_be_understood_are_an_error(
    planet_sandbox: Sandbox, session: PlanetSession, order_id: str, tmp_path: Path, results: Any
) -> None:
    answer_order_with(
        planet_sandbox, session, order_id, lambda order: order["_links"].update(results=results)
    )
    with pytest.raises((UnexpectedResponseError, UnsafePathError)):
        download_order(session, order_id, tmp_path)


def _set_name(name: str) -> Any:
    return lambda order: order["_links"]["results"][0].update(name=name)


@pytest.mark.parametrize(
    "name",
    ["../../evil.tif", "/etc/evil.tif", "{order}/../evil.tif", "{order}/a\\..\\evil", "C:/evil", "{order}/"],
)
def test_an_unsafe_result_is_refused_before_any_byte(
    planet_sandbox: Sandbox, session: PlanetSession, order_id: str, tmp_path: Path, name: str
) -> None:
    answer_order_with(planet_sandbox, session, order_id, _set_name(name.replace("{order}", order_id)))
    with pytest.raises(UnsafePathError):
        download_order(session, order_id, tmp_path)
    assert not [request for request in planet_sandbox.requests if request.origin == "storage"]
    assert list(tmp_path.iterdir()) == []


def test_two_results_in_one_place_are_refused_before_any_byte(
    planet_sandbox: Sandbox, session: PlanetSession, order_id: str, tmp_path: Path
) -> None:
    def clash(order: dict[str, Any]) -> None:
        results = order["_links"]["results"]
        results[0]["name"] = results[1]["name"].upper().replace(order_id.upper(), order_id)

    answer_order_with(planet_sandbox, session, order_id, clash)
    with pytest.raises(UnsafePathError, match="take the place"):
        download_order(session, order_id, tmp_path)
    assert not [request for request in planet_sandbox.requests if request.origin == "storage"]


def test_an_unsafe_manifest_path_is_refused_before_any_file(
    planet_sandbox: Sandbox, session: PlanetSession, order_id: str, tmp_path: Path
) -> None:
    answer_manifest_with(planet_sandbox, json.dumps({"files": [{"path": "../../evil.tif", "size": 1}]}))
    with pytest.raises(UnsafePathError):
        download_order(session, order_id, tmp_path)
    assert storage_requests(planet_sandbox) == []
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_that_cannot_be_read_is_fetched_again(
    planet_sandbox: Sandbox, session: PlanetSession, order_id: str, tmp_path: Path
) -> None:
    answer_manifest_with(planet_sandbox, "<html>busy</html>", times=1)
    download_order(session, order_id, tmp_path)
    assert_whole(tmp_path / order_id)


def test_a_manifest_that_stays_unreadable_is_an_error(
    planet_sandbox: Sandbox, session: PlanetSession, order_id: str, tmp_path: Path
) -> None:
    answer_manifest_with(planet_sandbox, "<html>busy</html>")
    with pytest.raises(UnexpectedResponseError, match=r"manifest\.json"):
        download_order(session, order_id, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("state", "results", "kind", "text"),
    [
        ("queued", None, OrderError, "is queued and has no results yet"),
        ("running", None, OrderError, "is running and has no results yet"),
        ("failed", None, OrderFailedError, "will have none"),
        ("success", None, OrderError, "cloud store"),
        ("success", [], OrderError, "cloud store"),
    ],
)
def test_an_order_without_results_is_an_error(
    planet_sandbox: Sandbox,
    session: PlanetSession,
    order_id: str,
    tmp_path: Path,
    state: str,
    results: Any,
    kind: type[OrderError],
    text: str,
) -> None:
    def change(order: dict[str, Any]) -> None:
        order["state"] = state
        order["_links"]["results"] = results

    answer_order_with(planet_sandbox, session, order_id, change)
    with pytest.raises(kind, match=text) as caught:
        download_order(session, order_id, tmp_path)
    assert (caught.value.order_id, caught.value.state) == (order_id, state)


@pytest.mark.parametrize("delivery", ["failed", "pending"])
def test_an_undelivered_file_is_an_error_unless_it_is_left_out(
    planet_sandbox: Sandbox, session: PlanetSession, order_id: str, tmp_path: Path, delivery: str
) -> None:
    changed: list[str] = []

    def change(order: dict[str, Any]) -> None:
        result = order["_links"]["results"][0]
        result["delivery"] = delivery
        changed.append(result["name"].removeprefix(f"{order_id}/"))

    answer_order_with(planet_sandbox, session, order_id, change)
    with pytest.raises(TransferError) as caught:
        download_order(session, order_id, tmp_path)
    assert caught.value.file == changed[0]
    download_order(session, order_id, tmp_path, exclude=changed)
    assert changed[0] not in files_below(tmp_path / order_id)


def test_an_archive_is_downloaded_as_the_file_it_is(
    planet_sandbox: Sandbox, session: PlanetSession, tmp_path: Path
) -> None:
    archived = place_order(
        session,
        delivery={"archive_type": "zip", "single_archive": True, "archive_filename": "{{name}}.zip"},
    )
    result = download_order(session, archived, tmp_path)
    names = {path for path in files_below(tmp_path / archived) if not path.endswith(".json")}
    assert {record.name for record in result.files} >= names
    assert verify(result.directory)


def test_no_log_line_and_no_error_shows_a_link(
    planet_sandbox: Sandbox,
    session: PlanetSession,
    order_id: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    planet_sandbox.faults.add(
        Fault(kind="truncate", origin="storage", path="PSScene", times=2),
        Fault(kind="expire", origin="storage", path="PSScene", times=2),
        Fault(kind="corrupt", origin="storage", path="PSScene", times=None, skip=4),
    )
    with pytest.raises(TransferError) as caught:
        download_order(session, order_id, tmp_path, retry_policy=HASTY)
    said = caplog.text + repr(caught.value) + str(caught.value)
    assert planet_sandbox.api_key not in said
    for secret in _secrets(planet_sandbox):
        assert secret not in said


def _secrets(sandbox: Sandbox) -> set[str]:
    names = {"token", "Signature"}
    return {value for request in sandbox.requests for name, value in request.query.items() if name in names}


def test_the_key_never_reaches_the_storage(
    planet_sandbox: Sandbox, session: PlanetSession, order_id: str, tmp_path: Path
) -> None:
    planet_sandbox.faults.add(Fault(kind="truncate", origin="storage", path="PSScene", times=3))
    download_order(session, order_id, tmp_path, retry_policy=HASTY)
    requests = [request for request in planet_sandbox.requests if request.origin == "storage"]
    assert len(requests) > 4
    for request in requests:
        assert "authorization" not in request.headers
        assert planet_sandbox.api_key not in repr(dict(request.headers)) + repr(dict(request.query))


def test_files_are_fetched_at_the_same_time(
    planet_sandbox: Sandbox, session: PlanetSession, order_id: str, tmp_path: Path
) -> None:
    files = json.loads(_manifest(session, order_id, tmp_path / "first"))["files"]
    before = len(storage_requests(planet_sandbox))
    planet_sandbox.faults.add(Fault(kind="stall", origin="storage", path="PSScene", seconds=3.0, times=None))
    download_order(session, order_id, tmp_path, max_concurrency=4)
    at = [request.at for request in storage_requests(planet_sandbox)[before:]]
    assert len(at) == len(files) >= 4
    # Before the first can have ended.
    assert sorted(at)[3] - min(at) < 3.0


def test_no_more_files_at_once_than_connections(
    planet_sandbox: Sandbox, order_id: str, tmp_path: Path
) -> None:
    with session_of(planet_sandbox, max_connections=1) as narrow:
        download_order(narrow, order_id, tmp_path, max_concurrency=16)
    assert_whole(tmp_path / order_id)


@pytest.mark.parametrize(
    "wrong",
    [{"max_concurrency": 0}, {"checksum": "crc32"}, {"include": []}, {"exclude": [""]}],
)
def test_bad_parameters_are_refused_before_any_request(
    planet_sandbox: Sandbox, session: PlanetSession, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(wrong))):
        download_order(session, "6ee06111-84da-4513-8b95-ffb9daca5d08", tmp_path, **wrong)
    assert planet_sandbox.requests == []


def _manifest(session: PlanetSession, order_id: str, folder: Path) -> bytes:
    download_order(session, order_id, folder)
    assert big_file(assert_whole(folder / order_id))
    return (folder / order_id / "manifest.json").read_bytes()

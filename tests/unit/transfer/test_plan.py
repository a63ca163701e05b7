"""Which files an order brings, from its results and its manifest."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from hypothesis import given
from hypothesis import strategies as st

from planet_provider.exceptions import (
    InvalidInputError,
    OrderError,
    TransferError,
    UnexpectedResponseError,
    UnknownStateError,
    UnsafePathError,
)
from planet_provider.hooks.task_errors import as_task_error
from planet_provider.transfer.digests import Expected
from planet_provider.transfer.download.sources import OrderLinks, Result
from planet_provider.transfer.manifest import (
    Entry,
    merged_files,
    merged_members,
    parse_manifest,
    recorded_files,
)
from planet_provider.transfer.plan import Selection, plan_files
from planet_provider.transfer.records import FileRecord

ORDER = "6ee06111-84da-4513-8b95-ffb9daca5d08"
MD5, SHA256 = "0" * 31 + "A", "1" * 63 + "B"
EVERYTHING = Selection()


def results(*paths: str, delivery: str = "success") -> dict[str, Result]:
    return {path: Result(f"{ORDER}/{path}", delivery) for path in (*paths, "manifest.json")}


def manifest(*paths: str) -> dict[str, Entry]:
    return {path: Entry(path=path, expected=Expected(1, MD5, SHA256)) for path in paths}


def paths_of(files: list[Any]) -> list[str]:
    return [file.path for file in files]


def encoded(*files: dict[str, Any]) -> bytes:
    return json.dumps({"name": "x", "files": files}).encode()


def test_manifest_entries_are_read() -> None:
    content = encoded(
        {
            "path": "PSScene/a.tif",
            "media_type": "image/tiff",
            "size": 12,
            "digests": {"md5": MD5, "sha256": SHA256},
            "annotations": {
                "planet/item_id": "a",
                "planet/item_type": "PSScene",
                "planet/asset_type": "ortho_udm2",
            },
        },
        {"path": "b.json", "digests": {"md5": ""}, "annotations": None},
    )
    first, second = parse_manifest(content).values()
    assert first.expected == Expected(12, MD5.lower(), SHA256.lower())
    assert (first.media_type, first.item_id, first.item_type, first.asset_type) == (
        "image/tiff",
        "a",
        "PSScene",
        "ortho_udm2",
    )
    assert second == Entry(path="b.json")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"files": {}}',
        b'{"files": [3]}',
        b'{"files": [{}]}',
        b"\xff\xfe",
        b"[" * 100_000,
        encoded({"path": "a", "size": -1}),
        encoded({"path": "a", "size": "12"}),
        encoded({"path": "a", "digests": {"md5": "xyz"}}),
        encoded({"path": "a", "digests": {"sha256": MD5}}),
        encoded({"path": "a", "digests": [1]}),
    ],
)
def test_what_is_no_manifest_is_refused(content: bytes) -> None:
    with pytest.raises(UnexpectedResponseError, match=r"manifest\.json"):
        parse_manifest(content)


@given(
    st.binary()
    | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_any_bytes_are_a_manifest_or_an_error_of_ours(content: bytes) -> None:
    try:
        parse_manifest(content)
    except (UnexpectedResponseError, UnsafePathError):
        return


@pytest.mark.parametrize("path", ["../x", "/x", "a\\b", ""])
def test_unsafe_manifest_paths_are_refused(path: str) -> None:
    with pytest.raises(UnsafePathError):
        parse_manifest(encoded({"path": path}))


def test_manifest_paths_that_clash_are_refused() -> None:
    with pytest.raises(UnsafePathError):
        parse_manifest(encoded({"path": "a"}, {"path": "A"}))


def test_files_come_in_the_manifests_order_and_unlisted_ones_last() -> None:
    plan = plan_files(ORDER, results("z", "extra", "a"), manifest("a", "z"), EVERYTHING)
    assert paths_of(plan) == ["a", "z", "extra"]
    assert [file.source for file in plan] == [f"{ORDER}/{path}" for path in ("a", "z", "extra")]
    assert plan[2].entry.expected == Expected()


def test_a_listed_file_without_link_is_an_error_that_names_it() -> None:
    with pytest.raises(
        TransferError, match=r"lists b\.tif and 1 more file, but the order has no link"
    ) as caught:
        plan_files(ORDER, results("a"), manifest("a", "b.tif", "c"), EVERYTHING)
    assert caught.value.file == "b.tif"


def test_a_listed_file_without_link_does_no_harm_if_it_is_not_wanted() -> None:
    assert paths_of(plan_files(ORDER, results("a"), manifest("a", "b"), Selection(exclude=("b",)))) == ["a"]


def test_an_archive_may_stand_for_the_files_that_the_manifest_lists() -> None:
    plan = plan_files(ORDER, results("order.zip"), manifest("PSScene/a.tif"), EVERYTHING, archived=True)
    assert paths_of(plan) == ["order.zip"]


def test_a_manifest_alone_is_an_error() -> None:
    with pytest.raises(TransferError, match="cloud store"):
        plan_files(ORDER, results(), manifest("a"), EVERYTHING)


@pytest.mark.parametrize(
    "name", ["planet-transfer.json", "Planet-Transfer.json", "planet-transfer.json/a.tif"]
)
def test_a_delivered_file_cannot_take_the_place_of_the_record(name: str) -> None:
    with pytest.raises(UnsafePathError, match=r"planet-transfer\.json"):
        plan_files(ORDER, results(name), {}, EVERYTHING)
    with pytest.raises(UnsafePathError, match=r"planet-transfer\.json"):
        plan_files(ORDER, results("a"), manifest(name, "a"), EVERYTHING)


@pytest.mark.parametrize("archive", [["a.zip"], {"a": 1}, 5, None])
def test_an_odd_archive_in_the_record_makes_it_count_for_nothing(archive: Any) -> None:
    record = json.dumps({"unpacked": [{"path": "a/b.tif", "archive": archive}]}).encode()
    earlier = recorded_files(record, "unpacked")
    assert merged_members([], earlier, manifest("a.zip")) == []


def test_a_result_and_a_manifest_path_that_clash_are_refused() -> None:
    with pytest.raises(UnsafePathError):
        plan_files(ORDER, results("a"), manifest("a/b"), EVERYTHING)


@pytest.mark.parametrize(
    ("delivery", "kind", "text"),
    [
        ("failed", TransferError, "failed to deliver a"),
        ("pending", TransferError, "a not delivered yet"),
        ("lost", UnknownStateError, "unknown delivery 'lost'"),
    ],
)
def test_undelivered_results_are_errors(delivery: str, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        plan_files(ORDER, results("a", delivery=delivery), manifest("a"), EVERYTHING)


@pytest.mark.parametrize(
    ("include", "exclude", "left"),
    [
        (None, None, ["PSScene/a.tif", "PSScene/a.xml", "b.TIF"]),
        ("*.tif", None, ["PSScene/a.tif"]),
        (["*.tif", "b.*"], None, ["PSScene/a.tif", "b.TIF"]),
        (None, ["*.xml"], ["PSScene/a.tif", "b.TIF"]),
        (["PSScene/*"], "*.xml", ["PSScene/a.tif"]),
        (None, [], ["PSScene/a.tif", "PSScene/a.xml", "b.TIF"]),
    ],
)
def test_globs_choose(include: Any, exclude: Any, left: list[str]) -> None:
    all_paths = ["PSScene/a.tif", "PSScene/a.xml", "b.TIF"]
    plan = plan_files(ORDER, results(*all_paths), manifest(*all_paths), Selection.of(include, exclude))
    assert paths_of(plan) == left


def test_globs_that_leave_nothing_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"include=.*leaves no file of order"):
        plan_files(ORDER, results("a.tif"), manifest("a.tif"), Selection.of("*.tiff", None))


@pytest.mark.parametrize(("include", "exclude"), [("", None), ([], None), ([3], None), (None, [""])])
def test_what_is_no_glob_is_refused(include: Any, exclude: Any) -> None:
    with pytest.raises(InvalidInputError):
        Selection.of(include, exclude)


def record(name: str) -> FileRecord:
    return FileRecord(
        path=f"/x/{name}",
        name=name,
        source=name,
        bytes=1,
        md5=MD5,
        sha256=SHA256,
        verified="sha256",
        downloaded=True,
    )


def test_an_earlier_transfers_files_stay_in_the_record_while_the_manifest_says_the_same() -> None:
    old = {path: {"path": path, "bytes": 1, "md5": MD5, "sha256": SHA256} for path in ("b", "gone")}
    old["changed"] = {"path": "changed", "bytes": 2, "md5": MD5, "sha256": SHA256}
    merged = merged_files([record("a")], old, manifest("a", "b", "changed"))
    assert [file["path"] for file in merged] == ["a", "b"]


@pytest.mark.parametrize(
    "content", [None, b"", b"[]", b"{", b'{"files": [1]}', b'{"files": [{}]}', b'{"files": 3}']
)
def test_a_record_that_cannot_be_read_counts_for_nothing(content: bytes | None) -> None:
    assert recorded_files(content) == {}


def test_a_file_record_is_plain_json_for_an_xcom() -> None:
    shown = record("a").as_dict()
    assert list(shown) == ["path", "item_id", "asset_type", "media_type", "bytes", "md5", "sha256"]
    assert json.loads(json.dumps(shown)) == shown


@pytest.mark.parametrize("links", [None, [], ["manifest.json"], ["a.tif", "manifest.json"]])
def test_an_order_that_went_to_a_cloud_says_where(links: list[str] | None) -> None:
    secret = "not-to-be-shown"
    bucket = {"bucket": "imagery", "path_prefix": "fields", "aws_access_key_id": secret}
    # Of a file in the cloud there is no link here.
    named = [
        {"name": name, "delivery": "success"}
        | ({"location": "https://x/"} if name == "manifest.json" else {})
        for name in links or ()
    ]
    order = {
        "id": ORDER,
        "state": "success",
        "delivery": {"amazon_s3": bucket, "archive_type": "zip"},
        "_links": {"results": None if links is None else named},
    }
    with pytest.raises(OrderError, match=r"amazon_s3 \(bucket=imagery, path_prefix=fields\)") as caught:
        OrderLinks(None, order)  # type: ignore[arg-type]
    assert not caught.value.retryable
    assert isinstance(as_task_error(caught.value), AirflowFailException)
    assert secret not in str(caught.value)


def test_hints_of_a_lost_order_are_counted_and_bounded() -> None:
    order = {"id": ORDER, "state": "failed", "_links": {}, "error_hints": ["x" * 1000] * 400}
    with pytest.raises(OrderError, match=r"\(400 times\)") as caught:
        OrderLinks(None, order)  # type: ignore[arg-type]
    assert len(caught.value.hints) == 1
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("results", [None, [], ["manifest.json"]])
@pytest.mark.parametrize(
    ("hosting", "place"),
    [
        ({"sentinel_hub": {"collection_id": "c-1"}}, r"sentinel_hub \(collection_id=c-1\)"),
        ({"sentinel_hub": {"create_configuration": True}}, "sentinel_hub, so"),
        ({"another_host": {}}, "another_host, so"),
    ],
)
def test_an_order_that_is_only_hosted_says_where(
    results: list[str] | None, hosting: dict[str, Any], place: str
) -> None:
    found = results and [{"name": name, "location": "https://x/", "delivery": "success"} for name in results]
    order = {"id": ORDER, "state": "success", "hosting": hosting, "_links": {"results": found}}
    with pytest.raises(OrderError, match=place) as caught:
        OrderLinks(None, order)  # type: ignore[arg-type]
    assert isinstance(as_task_error(caught.value), AirflowFailException)


def test_a_hosted_order_with_files_is_downloaded() -> None:
    files = [{"name": name, "location": "https://x/"} for name in ("a.tif", "manifest.json")]
    order = {"id": ORDER, "state": "success", "hosting": {"sentinel_hub": {}}, "_links": {"results": files}}
    assert set(OrderLinks(None, order).results) == {"a.tif", "manifest.json"}  # type: ignore[arg-type]


@pytest.mark.parametrize(("state", "final"), [("failed", True), ("cancelled", True), ("running", False)])
def test_only_an_order_that_goes_on_is_worth_a_retry(state: str, final: bool) -> None:
    with pytest.raises(OrderError) as caught:
        OrderLinks(None, {"id": ORDER, "state": state, "_links": {}})  # type: ignore[arg-type]
    assert caught.value.retryable is not final
    assert isinstance(as_task_error(caught.value), AirflowFailException) is final

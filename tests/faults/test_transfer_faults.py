"""Bodies that break, stall, lie or change: each ends whole or in an error, never in a wrong file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from transfer_support import (
    HASTY,
    QUICK,
    answer_manifest_with,
    assert_whole,
    big_file,
    files_below,
    order_id,
    order_requests,
    session,
    storage_requests,
)

from client_support import session_of
from planet_provider.client.api import orders
from planet_provider.client.http.session import PlanetSession
from planet_provider.exceptions import (
    ChecksumError,
    IncompleteTransferError,
    LinkExpiredError,
    OrderError,
    ServerError,
    TransferError,
)
from planet_provider.sandbox import Fault, Sandbox
from planet_provider.transfer import Progress, RetryPolicy, download_order

__all__ = ["order_id", "session"]

pytestmark = pytest.mark.planet_sandbox(**QUICK)

IMAGE = r"_AnalyticMS\.tif"


class Download:
    """Downloads an order's images, one at a time, and looks at what the storage was asked."""

    def __init__(self, sandbox: Sandbox, session: PlanetSession, order_id: str, folder: Path) -> None:
        self.sandbox = sandbox
        self.session = session
        self.order_id = order_id
        self.folder = folder

    def fault(self, kind: Any, **settings: Any) -> None:
        settings = {"origin": "storage", "path": IMAGE, **settings}
        self.sandbox.faults.add(Fault(kind=kind, **settings))

    def run(self, **settings: Any) -> Any:
        settings = {"max_concurrency": 1, "retry_policy": HASTY, **settings}
        return download_order(self.session, self.order_id, self.folder, **settings)

    def whole(self, **settings: Any) -> dict[str, Any]:
        self.run(**settings)
        return assert_whole(self.folder / self.order_id)

    def images(self) -> list[tuple[str | None, str | None, int | None]]:
        """Range, If-Range and status of each request for an image."""
        return [
            (request.headers.get("range"), request.headers.get("if-range"), request.status)
            for request in storage_requests(self.sandbox, "_AnalyticMS.tif")
        ]

    def published(self) -> dict[str, bytes]:
        return {
            path: content
            for path, content in files_below(self.folder).items()
            if not path.endswith((".part", ".part.json"))
        }


@pytest.fixture
def download(planet_sandbox: Sandbox, session: PlanetSession, order_id: str, tmp_path: Path) -> Download:
    return Download(planet_sandbox, session, order_id, tmp_path)


def etag_of(manifest: dict[str, Any]) -> str:
    image = next(entry for entry in manifest["files"] if entry["path"].endswith("_AnalyticMS.tif"))
    return f'"{image["digests"]["md5"]}"'


def test_a_cut_body_goes_on_where_it_broke(download: Download) -> None:
    download.fault("truncate", after_bytes=100_000)
    manifest = download.whole()
    assert download.images()[:2] == [
        (None, None, 200),
        ("bytes=100000-", etag_of(manifest), 206),
    ]


def test_a_body_cut_many_times_goes_on_as_long_as_it_gets_further(download: Download) -> None:
    download.fault("truncate", after_bytes=10_000, times=12)
    manifest = download.whole()
    starts = [start for start, _, _ in download.images()[:13]]
    assert starts == [None, *(f"bytes={10_000 * count}-" for count in range(1, 13))]
    assert big_file(manifest)["size"] > 120_000


def test_a_body_that_gets_no_further_is_given_up(download: Download) -> None:
    download.fault("truncate", after_bytes=70_000)
    download.fault("truncate", after_bytes=0, times=None)
    with pytest.raises(
        IncompleteTransferError, match=r"5 tries in a row got no further than 70\.0 kB"
    ) as caught:
        download.run()
    assert caught.value.file is not None
    assert caught.value.file.endswith("_AnalyticMS.tif")
    assert len(download.images()) == 6
    assert [path for path in download.published() if path.endswith(".tif")] == []


def test_what_was_given_up_is_continued_by_the_next_try(download: Download) -> None:
    download.fault("truncate", after_bytes=70_000)
    download.fault("truncate", after_bytes=0, times=4)
    with pytest.raises(IncompleteTransferError):
        download.run(include="*_AnalyticMS.tif", retry_policy=RetryPolicy(cuts=4, pause_seconds=0.01))
    told: list[Progress] = []
    manifest = download.whole(progress=told.append)
    assert download.images()[5] == ("bytes=70000-", etag_of(manifest), 206)
    assert told[-1].bytes_reused == 70_000


def test_a_stalled_body_goes_on_where_it_stalled(
    planet_sandbox: Sandbox, order_id: str, tmp_path: Path
) -> None:
    with session_of(planet_sandbox, timeout=5.0) as hasty:
        download = Download(planet_sandbox, hasty, order_id, tmp_path)
        download.fault("stall", after_bytes=100_000, seconds=600)
        download.whole()
        assert download.images()[1][0] == "bytes=100000-"


@pytest.mark.parametrize("after_bytes", [0, 60, None])
def test_a_corrupt_body_is_fetched_afresh(download: Download, after_bytes: int | None) -> None:
    download.fault("corrupt", after_bytes=after_bytes)
    download.whole()
    assert download.images()[:2] == [(None, None, 200), (None, None, 200)]


def test_a_body_that_is_corrupt_twice_is_an_error_and_nothing_is_published(download: Download) -> None:
    download.fault("corrupt", times=None)
    with pytest.raises(
        ChecksumError, match=r"expected sha256 [0-9a-f]{64}, got [0-9a-f]{64}, twice"
    ) as caught:
        download.run()
    [problem] = caught.value.problems
    assert problem["path"] == caught.value.file
    assert problem["problem"] == "sha256"
    assert problem["expected"] != problem["got"]
    assert len(download.images()) == 2
    assert not any(path.endswith(("_AnalyticMS.tif", "manifest.json")) for path in download.published())
    assert not any(path.endswith(".part") for path in files_below(download.folder))


def test_a_corrupt_rest_of_a_resumed_body_is_found(download: Download) -> None:
    download.fault("truncate", after_bytes=100_000)
    download.fault("corrupt", skip=1)
    download.whole()
    assert [start for start, _, _ in download.images()[:3]] == [None, "bytes=100000-", None]


def test_a_corrupt_part_of_an_earlier_try_is_found(download: Download) -> None:
    download.fault("truncate", after_bytes=70_000)
    download.fault("truncate", after_bytes=0, times=4)
    with pytest.raises(IncompleteTransferError):
        download.run(retry_policy=RetryPolicy(cuts=4, pause_seconds=0.01))
    [part] = download.folder.rglob("*.part")
    content = bytearray(part.read_bytes())
    content[1234] ^= 1
    part.write_bytes(content)
    download.whole()


def test_a_server_without_ranges_sends_the_file_again(download: Download) -> None:
    download.fault("truncate", after_bytes=100_000)
    download.fault("no_range", skip=1)
    download.whole()
    assert [(start, status) for start, _, status in download.images()[:2]] == [
        (None, 200),
        ("bytes=100000-", 200),
    ]


def test_cuts_by_a_server_without_ranges_come_to_an_end(download: Download) -> None:
    download.fault("truncate", after_bytes=100_000, times=None)
    download.fault("no_range", times=None)
    with pytest.raises(IncompleteTransferError):
        download.run()
    assert len(download.images()) == 6


def test_a_body_without_length_arrives(download: Download) -> None:
    download.fault("no_length", path="", times=None)
    download.whole()


def test_a_body_without_length_that_is_cut_goes_on(download: Download) -> None:
    download.fault("no_length", times=None)
    download.fault("truncate", after_bytes=100_000)
    download.whole()
    assert download.images()[1][0] == "bytes=100000-"


def test_other_content_at_the_first_try_is_fetched_afresh(download: Download) -> None:
    download.fault("etag")
    download.whole()


def test_content_that_changes_between_two_pieces_starts_over(download: Download) -> None:
    download.fault("truncate", after_bytes=100_000)
    download.fault("etag")
    manifest = download.whole()
    # The first piece was the other content's; If-Range tells the server so, which sends the whole file.
    assert download.images()[1] == ("bytes=100000-", f'"{etag_of(manifest).strip(chr(34))[::-1]}"', 200)


def test_content_that_stays_changed_is_an_error(download: Download) -> None:
    download.fault("etag", times=None)
    with pytest.raises(ChecksumError):
        download.run()


@pytest.mark.parametrize("origin", ["api", "storage"])
def test_an_expired_link_is_renewed(download: Download, origin: str) -> None:
    download.fault("expire", origin=origin, path="token=" if origin == "api" else IMAGE, skip=origin == "api")
    before = len(order_requests(download.sandbox))
    download.whole()
    assert len(order_requests(download.sandbox)) - before == 2


def test_links_that_expire_for_all_files_at_once_are_renewed_once(download: Download) -> None:
    before = len(order_requests(download.sandbox))
    download.fault("expire", path="PSScene", times=4)
    download.fault("delay", path="PSScene", seconds=3.0, times=4)  # so that all four are under way
    download.whole(max_concurrency=4)
    assert len(order_requests(download.sandbox)) - before == 2


def test_a_link_that_expires_in_the_middle_of_a_file_is_renewed_and_the_file_goes_on(
    download: Download,
) -> None:
    download.fault("truncate", after_bytes=100_000)
    download.fault("expire", skip=1)
    download.whole()
    assert [(start, status) for start, _, status in download.images()[:3]] == [
        (None, 200),
        ("bytes=100000-", 400),
        ("bytes=100000-", 206),
    ]


@pytest.mark.planet_sandbox(**QUICK | {"link_seconds": 60.0})
def test_links_that_expire_by_the_clock_are_renewed(download: Download) -> None:
    def late(progress: Progress) -> None:
        if progress.files_done and not late_once:
            late_once.append(True)
            download.sandbox.clock.advance(120)

    late_once: list[bool] = []
    download.fault("stall", path="", seconds=1.0, times=None)  # so that the others are not there by then
    before = len(order_requests(download.sandbox))
    download.whole(progress=late, progress_interval=0.02, max_concurrency=1)
    assert late_once
    assert len(order_requests(download.sandbox)) - before == 2


def test_links_that_stay_refused_are_an_error(download: Download) -> None:
    download.fault("expire", times=None)
    with pytest.raises(LinkExpiredError, match="refused, though it was renewed") as caught:
        download.run()
    assert caught.value.file is not None
    assert caught.value.file.endswith("_AnalyticMS.tif")


@pytest.mark.parametrize("status", [400, 401, 404, 407, 409, 410, 412, 451, 499])
def test_whatever_the_storage_has_against_a_link_renews_it(download: Download, status: int) -> None:
    download.fault("status", status=status)
    before = len(order_requests(download.sandbox))
    download.whole()
    assert len(order_requests(download.sandbox)) - before == 2


def test_a_storage_that_has_something_against_every_link_is_left_to_a_retry(download: Download) -> None:
    download.fault("status", status=400, body="<Error><Code>ExpiredToken</Code></Error>", times=None)
    before = len(order_requests(download.sandbox))
    with pytest.raises(LinkExpiredError) as caught:
        download.run()
    assert caught.value.retryable
    assert len(order_requests(download.sandbox)) - before == 2, "renewed once"


def test_a_file_that_is_gone_after_the_renewal_is_an_error(download: Download) -> None:
    order = description(download)
    results = order["_links"]["results"]
    order["_links"]["results"] = [result for result in results if "Analytic" not in result["name"]]
    answer_second_get_with(download, order)
    download.fault("expire")
    with pytest.raises(TransferError, match="has no link for it"):
        download.run()


def test_a_storage_that_answers_nonsense_to_a_range_starts_over(download: Download) -> None:
    download.fault("truncate", after_bytes=100_000)
    download.fault("status", skip=1, status=206, body="x" * 10, headers={"Content-Range": "bytes 5-14/99999"})
    download.whole()
    assert [start for start, _, _ in download.images()[:3]] == [None, "bytes=100000-", None]


def lie_about_size(download: Download, difference: int) -> int:
    """Have the manifest tell another size of an image; return it."""
    manifest = download_order(download.session, download.order_id, download.folder / "reference").manifest
    body = json.loads(Path(manifest).read_bytes())
    image = next(entry for entry in body["files"] if entry["path"].endswith("_AnalyticMS.tif"))
    image["size"] += difference
    answer_manifest_with(download.sandbox, json.dumps(body))
    return int(image["size"])


@pytest.mark.parametrize("difference", [-1000, -1, 1])
@pytest.mark.parametrize("with_length", [True, False])
def test_a_size_other_than_the_manifests_is_an_error(
    download: Download, difference: int, with_length: bool
) -> None:
    size = lie_about_size(download, difference)
    if not with_length:
        download.fault("no_length", times=None)
    with pytest.raises(ChecksumError, match=f"expected size {size}, got") as caught:
        download.run(include="*_AnalyticMS.tif")
    assert caught.value.problems[0]["expected"] == size
    assert files_below(download.folder / download.order_id) == {}


def test_errors_of_the_storage_are_retried(download: Download) -> None:
    download.fault("status", status=503, times=2)
    download.fault("drop", times=1)
    download.whole()


def test_errors_that_stay_are_raised_as_what_they_are(download: Download) -> None:
    download.fault("status", status=503, times=None)
    with pytest.raises(ServerError):
        download.run()
    assert not any(path.endswith("manifest.json") for path in download.published())


def test_a_cut_manifest_is_resumed(download: Download) -> None:
    download.fault("truncate", path=r"manifest\.json", after_bytes=500)
    download.whole()


def test_everything_at_once(download: Download) -> None:
    """Whatever happens, the result is whole or an error, and an error leaves no manifest."""
    download.fault("truncate", path="PSScene", times=3, skip=1)
    download.fault("corrupt", path="PSScene", times=2, skip=2)
    download.fault("expire", path="PSScene", times=2, skip=5)
    download.fault("no_range", path="PSScene", times=2, skip=3)
    download.fault("etag", path="PSScene", times=1, skip=4)
    download.fault("no_length", path="PSScene", times=None)
    for _ in range(6):
        try:
            download.run(max_concurrency=3)
        except TransferError:
            assert not any(path.endswith("manifest.json") for path in download.published())
            continue
        break
    assert_whole(download.folder / download.order_id)


def test_published_files_are_always_right(download: Download) -> None:
    download.fault("corrupt", path="AnalyticMS", times=None)
    with pytest.raises(ChecksumError):
        download.run(max_concurrency=4)
    download.sandbox.faults.clear()
    reference = {
        Path(record.path).name: record.sha256
        for record in download_order(download.session, download.order_id, download.folder / "reference").files
    }
    for path, content in download.published().items():
        if not path.startswith("reference"):
            assert hashlib.sha256(content).hexdigest() == reference[Path(path).name]


def test_an_order_that_has_lost_its_results_when_links_are_renewed_is_an_error(download: Download) -> None:
    order = description(download)
    order["_links"]["results"] = None
    answer_second_get_with(download, order)
    download.fault("expire")
    with pytest.raises(OrderError, match="lists no results"):
        download.run()


def description(download: Download) -> dict[str, Any]:
    return dict(download.session.send(orders.get(download.order_id)))


def answer_second_get_with(download: Download, order: dict[str, Any]) -> None:
    """Let the first GET of the order pass, and answer the next one with another description."""
    download.sandbox.faults.add(
        Fault(kind="status", origin="api", path="/orders/v2/", status=200, body=json.dumps(order), skip=1)
    )

"""One asset of an item: named by the storage, verified by the MD5 that Planet gives."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from transfer_support import HASTY, QUICK, files_below, session

from client_support import item_ids
from planet_provider.client.api import data
from planet_provider.client.http.session import PlanetSession
from planet_provider.exceptions import (
    AssetError,
    AssetUnavailableError,
    ChecksumError,
    InvalidInputError,
    LinkExpiredError,
    UnexpectedResponseError,
)
from planet_provider.sandbox import Fault, Sandbox
from planet_provider.transfer import FileRecord, Progress, download_asset

__all__ = ["session"]

pytestmark = pytest.mark.planet_sandbox(**QUICK | {"activation_seconds": 0.0})

ASSET = "ortho_analytic_4b"


class Asset:
    """An asset of the sandbox."""

    def __init__(self, sandbox: Sandbox, session: PlanetSession, folder: Path) -> None:
        self.sandbox = sandbox
        self.session = session
        self.folder = folder
        self.item_id = item_ids(session)[0]

    def describe(self) -> dict[str, Any]:
        return dict(self.session.send(data.assets("PSScene", self.item_id))[ASSET])

    def activate(self) -> None:
        self.session.send(data.activate(self.describe()["_links"]["activate"]))
        deadline = time.monotonic() + 60
        while self.describe()["status"] != "active":
            assert time.monotonic() < deadline, "the asset is not active"
            time.sleep(0.02)

    def answer_with(self, **changes: Any) -> None:
        """Have the API describe the asset otherwise."""
        body = json.dumps({ASSET: self.describe() | changes})
        self.sandbox.faults.add(
            Fault(kind="status", origin="api", path="/assets", status=200, body=body, times=None)
        )

    def download(self, **settings: Any) -> FileRecord:
        return download_asset(
            self.session, "PSScene", self.item_id, ASSET, self.folder, retry_policy=HASTY, **settings
        )

    def bodies(self) -> list[str | None]:
        """The ranges of the requests for bytes, but for those that asked for one byte."""
        ranges = [
            request.headers.get("range") for request in self.sandbox.requests if request.origin == "storage"
        ]
        return [asked for asked in ranges if asked != "bytes=0-0"]


@pytest.fixture
def asset(planet_sandbox: Sandbox, session: PlanetSession, tmp_path: Path) -> Asset:
    found = Asset(planet_sandbox, session, tmp_path)
    found.activate()
    return found


@pytest.mark.guide("asset-download")
def test_an_asset_arrives_under_the_storages_name(asset: Asset) -> None:
    told: list[Progress] = []
    record = asset.download(progress=told.append)
    [(name, content)] = files_below(asset.folder).items()
    assert name.startswith(asset.item_id)
    assert name.endswith(".tif")
    assert record.as_dict() == {
        "path": str(asset.folder / name),
        "item_id": asset.item_id,
        "asset_type": ASSET,
        "media_type": "image/tiff",
        "bytes": len(content),
        "md5": asset.describe()["md5_digest"],
        "sha256": None,
    }
    assert hashlib.md5(content).hexdigest() == record.md5
    assert (record.verified, record.downloaded, record.item_type) == ("md5", True, "PSScene")
    assert (told[-1].files_done, told[-1].bytes_done, told[-1].bytes_total) == (1, len(content), len(content))


def test_an_asset_that_is_there_and_agrees_is_not_fetched_again(asset: Asset) -> None:
    first = asset.download()
    again = asset.download()
    assert len(asset.bodies()) == 1
    assert (again.downloaded, again.as_dict()) == (False, first.as_dict())
    Path(first.path).write_bytes(b"x" * first.bytes)
    assert asset.download().downloaded
    assert asset.download(overwrite=True).downloaded


def test_another_file_of_its_name_is_not_replaced_in_silence(
    asset: Asset, caplog: pytest.LogCaptureFixture
) -> None:
    first = asset.download()
    assert "It is replaced" not in caplog.text
    Path(first.path).write_bytes(b"somebody else's")
    assert asset.download().downloaded
    assert f"{first.path} differs from what Planet has now: " in caplog.text


@pytest.mark.parametrize("name", ["../../evil.tif", "a/b.tif", "/etc/evil.tif", "..", ""])
def test_an_unsafe_name_of_the_storage_is_not_used(asset: Asset, name: str) -> None:
    content = b"TIFF" * 100
    asset.answer_with(md5_digest=hashlib.md5(content).hexdigest())
    asset.sandbox.faults.add(
        Fault(
            kind="status",
            origin="storage",
            status=200,
            body=content.decode(),
            headers={"Content-Type": "image/tiff", "Content-Disposition": f'attachment; filename="{name}"'},
            times=None,
        )
    )
    record = asset.download()
    assert Path(record.path).name == f"{asset.item_id}_{ASSET}.tif"
    assert list(files_below(asset.folder)) == [f"{asset.item_id}_{ASSET}.tif"]


@pytest.mark.parametrize(
    ("media_type", "suffix"),
    [
        ("application/json", ".json"),
        ("text/xml; charset=utf-8", ".xml"),
        ("binary/octet-stream", ".tif"),
    ],
)
def test_without_a_name_the_suffix_follows_the_media_type(asset: Asset, media_type: str, suffix: str) -> None:
    asset.answer_with(md5_digest=None)
    asset.sandbox.faults.add(
        Fault(
            kind="status",
            origin="storage",
            status=200,
            body="{}",
            headers={"Content-Type": media_type},
            times=None,
        )
    )
    record = asset.download(checksum="sha256")
    assert Path(record.path).name == f"{asset.item_id}_{ASSET}{suffix}"
    assert (record.verified, record.sha256, record.md5) == ("size", hashlib.sha256(b"{}").hexdigest(), None)


def test_a_name_of_ones_own(asset: Asset) -> None:
    assert asset.download(file_name="scene.tif").path == str(asset.folder / "scene.tif")
    with pytest.raises(InvalidInputError, match="file_name"):
        asset.download(file_name="../scene.tif")


def test_a_cut_asset_goes_on_where_it_broke(asset: Asset) -> None:
    asset.sandbox.faults.add(Fault(kind="truncate", origin="storage", skip=1, after_bytes=100_000))
    record = asset.download()
    assert asset.bodies() == [None, "bytes=100000-"]
    assert hashlib.md5(Path(record.path).read_bytes()).hexdigest() == record.md5


@pytest.mark.parametrize("skip", [0, 1])
def test_an_expired_link_is_renewed(asset: Asset, skip: int) -> None:
    asset.sandbox.faults.add(Fault(kind="expire", origin="storage", skip=skip))
    before = sum(request.path.endswith("/assets") for request in asset.sandbox.requests)
    asset.download()
    assert sum(request.path.endswith("/assets") for request in asset.sandbox.requests) - before == 2


def test_a_link_that_stays_refused_is_an_error(asset: Asset) -> None:
    asset.sandbox.faults.add(Fault(kind="expire", origin="storage", times=None))
    with pytest.raises(LinkExpiredError):
        asset.download()


def test_a_corrupt_asset_is_an_error_and_nothing_is_left(asset: Asset) -> None:
    asset.sandbox.faults.add(Fault(kind="corrupt", origin="storage", times=None))
    with pytest.raises(ChecksumError, match="md5"):
        asset.download()
    assert files_below(asset.folder) == {}


def test_an_inactive_asset_is_an_error(
    planet_sandbox: Sandbox, session: PlanetSession, tmp_path: Path
) -> None:
    inactive = Asset(planet_sandbox, session, tmp_path)
    with pytest.raises(AssetError, match="is inactive; activate it") as caught:
        inactive.download()
    assert (caught.value.item_id, caught.value.asset_type) == (inactive.item_id, ASSET)


def test_an_asset_that_is_not_there_is_an_error(asset: Asset) -> None:
    with pytest.raises(AssetUnavailableError, match="has no asset nothing_of_the_kind"):
        download_asset(asset.session, "PSScene", asset.item_id, "nothing_of_the_kind", asset.folder)


def test_an_asset_without_permission_is_an_error(asset: Asset) -> None:
    asset.answer_with(_permissions=[])
    with pytest.raises(AssetUnavailableError, match="may not download"):
        asset.download()


@pytest.mark.parametrize("changes", [{"location": None}, {"md5_digest": "xyz"}])
def test_a_description_that_cannot_be_used_is_an_error(asset: Asset, changes: dict[str, Any]) -> None:
    asset.answer_with(**changes)
    with pytest.raises(UnexpectedResponseError):
        asset.download()


def test_the_key_never_reaches_the_storage(asset: Asset) -> None:
    asset.download()
    requests = [request for request in asset.sandbox.requests if request.origin == "storage"]
    assert len(requests) == 2
    assert not any("authorization" in request.headers for request in requests)

"""Downloading orders and assets, to a local folder and to S3, and verifying what came."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, ObjectStoragePath
from airflow_support import FakeTaskInstance, Runner, Scenes

from planet_provider.exceptions import (
    AssetError,
    AssetUnavailableError,
    ChecksumError,
    InvalidInputError,
    NotFoundError,
    OrderError,
    PlanetError,
    TransferError,
)
from planet_provider.hooks.planet import PlanetHook
from planet_provider.operators.assets import PlanetActivateAssetOperator, PlanetDownloadAssetOperator
from planet_provider.operators.checksum import PlanetValidateChecksumOperator
from planet_provider.operators.orders import PlanetDownloadOrderOperator
from planet_provider.sandbox import Fault, Sandbox

FILE_KEYS = {"path", "item_id", "asset_type", "media_type", "bytes", "md5", "sha256"}


@pytest.fixture
def order_id(planet: Sandbox, scenes: Scenes) -> str:
    """An order that has succeeded."""
    products = [scenes.items | {"product_bundle": "visual"}]
    placed = PlanetHook().create_order({"name": "download", "products": products})["id"]
    planet.clock.advance(600)
    return str(placed)


def download(order_id: str, destination: Any, **parameters: Any) -> PlanetDownloadOrderOperator:
    return PlanetDownloadOrderOperator(
        task_id="download", order_id=order_id, destination=destination, **parameters
    )


def validate(path: Any, **parameters: Any) -> PlanetValidateChecksumOperator:
    return PlanetValidateChecksumOperator(task_id="validate", path=path, **parameters)


@pytest.mark.guide("order-download")
@pytest.mark.guide("checksum-sha256")
def test_an_order_to_a_folder(
    planet: Sandbox, runner: Runner, ti: FakeTaskInstance, order_id: str, scenes: Scenes, tmp_path: Path
) -> None:
    result = runner.run(download(order_id, str(tmp_path)), ti)
    files = ti.xcoms["files"]
    folder = tmp_path / order_id
    assert result == {
        "order_id": order_id,
        "directory": str(folder),
        "manifest": str(folder / "manifest.json"),
        "files": len(files),
        "bytes": sum(file["bytes"] for file in files),
    }
    assert ti.xcoms == {**result, "files": files, "return_value": result}
    assert {file["item_id"] for file in files} >= set(scenes.item_ids)
    assert {"ortho_visual"} <= {file["asset_type"] for file in files}
    for file in files:
        assert set(file) == FILE_KEYS
        content = Path(file["path"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest(), hashlib.md5(content).hexdigest()) == (
            file["bytes"],
            file["sha256"],
            file["md5"],
        )
    assert (folder / "manifest.json").exists()
    assert "http" not in json.dumps(ti.xcoms)
    assert all(not request.authorized for request in planet.requests if request.origin == "storage")


@pytest.mark.guide("download-no-overwrite")
def test_a_second_run_fetches_nothing(
    planet: Sandbox, runner: Runner, ti: FakeTaskInstance, order_id: str, tmp_path: Path
) -> None:
    first = runner.run(download(order_id, str(tmp_path)))
    fetched = stored(planet)
    assert runner.run(download(order_id, str(tmp_path)), ti) == first
    assert stored(planet) == fetched + 1, "the manifest alone"
    runner.run(download(order_id, str(tmp_path), overwrite=True))
    assert stored(planet) > fetched + 2


def stored(planet: Sandbox) -> int:
    return sum(request.origin == "storage" for request in planet.requests)


def test_globs(runner: Runner, ti: FakeTaskInstance, order_id: str, tmp_path: Path) -> None:
    runner.run(download(order_id, str(tmp_path), include=["**/*.tif", "*.tif"], exclude=["*udm2*"]), ti)
    names = [Path(file["path"]).name for file in ti.xcoms["files"]]
    assert names
    assert all(name.endswith(".tif") and "udm2" not in name for name in names)
    assert runner.run(validate(str(tmp_path / order_id)))["validated"] == len(names)


@pytest.mark.guide("checksum-md5")
def test_md5(runner: Runner, order_id: str, tmp_path: Path) -> None:
    result = runner.run(download(order_id, str(tmp_path), checksum="md5", max_concurrency=1))
    assert runner.run(validate(result["directory"], checksum="MD5"))["checksum"] == "md5"


@pytest.mark.parametrize("as_text", [True, pytest.param(False, marks=pytest.mark.ci)])
def test_an_order_to_s3(runner: Runner, ti: FakeTaskInstance, order_id: str, s3: Any, as_text: bool) -> None:
    destination: Any = "s3://store@bucket/orders"
    result = runner.run(download(order_id, destination if as_text else ObjectStoragePath(destination)), ti)
    assert result["directory"] == f"s3://store@bucket/orders/{order_id}"
    assert result["manifest"] == f"{result['directory']}/manifest.json"
    there = {entry["Key"]: entry["Size"] for entry in s3.list_objects_v2(Bucket="bucket")["Contents"]}
    for file in ti.xcoms["files"]:
        key = file["path"].removeprefix("s3://store@bucket/")
        assert there[key] == file["bytes"]
        body = s3.get_object(Bucket="bucket", Key=key)["Body"].read()
        assert hashlib.sha256(body).hexdigest() == file["sha256"]
    with ObjectStoragePath(result["manifest"]).open("rb") as manifest:
        assert json.load(manifest)["files"]
    assert "secret-of-the-store" not in json.dumps(ti.xcoms)
    verified = runner.run(validate(result["directory"]))
    assert (verified["validated"], verified["bytes"]) == (result["files"], result["bytes"])
    assert runner.run(validate(result["manifest"]))["validated"] == result["files"]
    one = ti.xcoms["files"][0]
    assert runner.run(validate(one["path"], expected=one["sha256"]))["bytes"] == one["bytes"]


def test_an_order_that_has_not_ended(planet: Sandbox, runner: Runner, scenes: Scenes, tmp_path: Path) -> None:
    products = [scenes.items | {"product_bundle": "visual"}]
    placed = PlanetHook().create_order({"name": "new", "products": products})["id"]
    with pytest.raises(OrderError) as caught:
        runner.run(download(placed, str(tmp_path)))
    assert isinstance(caught.value, AirflowException)
    assert not isinstance(caught.value, AirflowFailException)
    assert list(tmp_path.rglob("*.tif")) == []


def test_an_order_that_is_not_there(planet: Sandbox, runner: Runner, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        runner.run(download("7d5a4e2b-0c3f-4a8e-9b1d-2f6c8e0a1b3c", str(tmp_path)))
    assert isinstance(caught.value, AirflowFailException)


def test_a_file_that_is_altered_on_the_way_is_not_published(
    planet: Sandbox, runner: Runner, order_id: str, tmp_path: Path
) -> None:
    planet.faults.add(Fault(kind="corrupt", origin="storage", path=r"Visual.*\.tif", times=None))
    with pytest.raises(ChecksumError) as caught:
        runner.run(download(order_id, str(tmp_path)))
    assert isinstance(caught.value, AirflowException)
    assert not list(tmp_path.rglob("*Visual*.tif"))
    assert not list(tmp_path.rglob("manifest.json"))
    planet.faults.clear()
    assert runner.run(download(order_id, str(tmp_path)))["files"] > 2


@pytest.mark.parametrize("checksum", ["sha256", "md5"])
def test_every_bad_file_is_named_at_once(
    runner: Runner, ti: FakeTaskInstance, order_id: str, tmp_path: Path, checksum: str
) -> None:
    runner.run(download(order_id, str(tmp_path)), ti)
    missing, short, altered = (Path(file["path"]) for file in ti.xcoms["files"][:3])
    missing.unlink()
    short.write_bytes(short.read_bytes()[:-1])
    content = bytearray(altered.read_bytes())
    content[len(content) // 2] ^= 1
    altered.write_bytes(content)
    with pytest.raises(ChecksumError) as caught:
        runner.run(validate(str(tmp_path / order_id), checksum=checksum))
    error = caught.value
    problems = {Path(one["path"]).name: one["problem"] for one in error.problems}
    assert problems == {missing.name: "missing", short.name: "size", altered.name: checksum}
    assert all(name in str(error) for name in problems)
    assert isinstance(error, AirflowException)


@pytest.mark.guide("asset-validate")
@pytest.mark.parametrize(
    ("content", "expected", "checksum"),
    [(b"abc", "900150983cd24fb0d6963f7d28e17f72", "md5"), (b"", hashlib.sha256(b"").hexdigest(), "sha256")],
)
def test_one_file(
    runner: Runner, ti: FakeTaskInstance, tmp_path: Path, content: bytes, expected: str, checksum: str
) -> None:
    file = tmp_path / "file.tif"
    file.write_bytes(content)
    result = runner.run(validate(str(file), expected=expected.upper(), checksum=checksum), ti)
    assert result == {"validated": 1, "bytes": len(content), "path": str(file), "checksum": checksum}
    assert ti.xcoms == {**result, "return_value": result}
    file.write_bytes(content + b"x")
    with pytest.raises(ChecksumError, match=str(file)):
        runner.run(validate(str(file), expected=expected, checksum=checksum))
    file.unlink()
    with pytest.raises(ChecksumError, match="missing"):
        runner.run(validate(str(file), expected=expected, checksum=checksum))


def test_a_folder_without_a_manifest(runner: Runner, tmp_path: Path) -> None:
    with pytest.raises(TransferError, match="no manifest"):
        runner.run(validate(str(tmp_path)))


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"path": "relative/order"}, "path='relative/order': must be an absolute path"),
        ({"path": "gopher://host/x"}, "path='gopher://host/x'"),
        ({"path": "/x", "checksum": "crc32"}, "checksum='crc32'"),
        ({"path": "/x", "expected": "12"}, "expected='12'"),
        ({"path": "/x", "expected": ""}, "expected=''"),
        ({"path": "/x", "max_concurrency": 0}, "max_concurrency=0"),
        ({"path": None}, "path=None"),
    ],
)
def test_bad_input_to_the_validation(runner: Runner, parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        runner.run(validate(**parameters))
    assert said in str(caught.value)
    assert isinstance(caught.value, AirflowFailException)


class TestAssets:
    @pytest.fixture
    def asset(self, scenes: Scenes) -> dict[str, str]:
        return {
            "item_type": scenes.item_type,
            "item_id": scenes.item_ids[0],
            "asset_type": "ortho_visual",
        }

    @pytest.mark.guide("asset-activate")
    def test_activate(
        self, planet: Sandbox, runner: Runner, ti: FakeTaskInstance, asset: dict[str, str]
    ) -> None:
        activate = PlanetActivateAssetOperator(task_id="activate", **asset)
        reference = runner.run(activate, ti)
        assert reference == {**asset, "status": "activating", "md5_digest": None}
        assert ti.xcoms == {**reference, "return_value": reference}
        assert activations(planet) == 1
        assert runner.run(activate)["status"] == "activating"
        planet.clock.advance(60)
        active = runner.run(activate)
        assert active["status"] == "active"
        assert len(active["md5_digest"]) == 32
        assert activations(planet) == 1, "harmless to repeat, and not repeated"

    @pytest.mark.guide("asset-download")
    @pytest.mark.parametrize("place", ["local", "s3"])
    def test_download(
        self,
        planet: Sandbox,
        runner: Runner,
        ti: FakeTaskInstance,
        asset: dict[str, str],
        tmp_path: Path,
        s3: Any,
        place: str,
    ) -> None:
        destination = str(tmp_path) if place == "local" else "s3://store@bucket/assets"
        runner.run(PlanetActivateAssetOperator(task_id="activate", **asset))
        planet.clock.advance(60)
        fetch = PlanetDownloadAssetOperator(task_id="download", destination=destination, **asset)
        record = runner.run(fetch, ti)
        assert set(record) == FILE_KEYS
        assert ti.xcoms == {**record, "return_value": record}
        assert (record["item_id"], record["asset_type"]) == (asset["item_id"], "ortho_visual")
        assert record["path"].startswith(f"{destination}/")
        with ObjectStoragePath(record["path"]).open("rb") as file:
            content = file.read()
        assert (len(content), hashlib.md5(content).hexdigest()) == (record["bytes"], record["md5"])
        assert runner.run(fetch) == record
        # As the example does it: the digest from the record, in a task of its own.
        assert runner.run(validate(record["path"], expected=record["md5"], checksum="md5"))["validated"] == 1
        with pytest.raises(ChecksumError):
            runner.run(validate(record["path"], expected="0" * 32, checksum="md5"))

    def test_an_asset_that_is_not_active(
        self, planet: Sandbox, runner: Runner, asset: dict[str, str], tmp_path: Path
    ) -> None:
        with pytest.raises(AssetError, match=r"not active|inactive") as caught:
            runner.run(PlanetDownloadAssetOperator(task_id="x", destination=str(tmp_path), **asset))
        assert isinstance(caught.value, AirflowException)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("kind", [PlanetActivateAssetOperator, PlanetDownloadAssetOperator])
    @pytest.mark.parametrize(
        ("change", "error"),
        [
            ({"asset_type": "ortho_nothing"}, AssetUnavailableError),
            ({"item_id": "20010101_000000_00_0000"}, NotFoundError),
        ],
    )
    def test_what_there_is_not(
        self,
        planet: Sandbox,
        runner: Runner,
        asset: dict[str, str],
        tmp_path: Path,
        kind: Any,
        change: dict[str, str],
        error: type[PlanetError],
    ) -> None:
        more = {"destination": str(tmp_path)} if kind is PlanetDownloadAssetOperator else {}
        with pytest.raises(error) as caught:
            runner.run(kind(task_id="x", **asset | change, **more))
        assert isinstance(caught.value, AirflowFailException)


def activations(planet: Sandbox) -> int:
    return sum(request.path.endswith("/activate") for request in planet.requests)

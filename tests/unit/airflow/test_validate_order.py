"""Orders validated, repaired and unpacked by operators, on disk and in S3."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from airflow_support import FakeTaskInstance, Runner, Scenes

from planet_provider.builders.delivery import zip_archive
from planet_provider.exceptions import (
    ChecksumError,
    InvalidInputError,
    LinkExpiredError,
    TransferError,
)
from planet_provider.hooks.planet import PlanetHook
from planet_provider.hooks.storage import store_at
from planet_provider.operators.checksum import PlanetValidateChecksumOperator
from planet_provider.operators.orders import PlanetDownloadOrderOperator
from planet_provider.sandbox import Fault, Sandbox
from planet_provider.transfer.stores.base import Store, read, write


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.ci)])
def destination(request: pytest.FixtureRequest, tmp_path: Path, s3: Any) -> str:
    return str(tmp_path) if request.param == "local" else "s3://store@bucket/orders"


def place(planet: Sandbox, scenes: Scenes, **more: Any) -> str:
    products = [scenes.items | {"product_bundle": "visual"}]
    placed = PlanetHook().create_order({"name": "validate", "products": products, **more})["id"]
    planet.clock.advance(600)
    return str(placed)


@pytest.fixture
def order_id(planet: Sandbox, scenes: Scenes) -> str:
    return place(planet, scenes)


@pytest.fixture(params=[True, False], ids=["one archive", "an archive each"])
def zip_order_id(request: pytest.FixtureRequest, planet: Sandbox, scenes: Scenes) -> str:
    return place(planet, scenes, delivery=zip_archive(single_archive=request.param))


def download(order_id: str, destination: str, **parameters: Any) -> PlanetDownloadOrderOperator:
    return PlanetDownloadOrderOperator(
        task_id="download", order_id=order_id, destination=destination, **parameters
    )


def validate(path: str, **parameters: Any) -> PlanetValidateChecksumOperator:
    return PlanetValidateChecksumOperator(task_id="validate", path=path, **parameters)


def stored(planet: Sandbox) -> list[str]:
    return [request.path for request in planet.requests if request.origin == "storage"]


def spoil(folder: Store, files: list[str]) -> None:
    """Remove the first file, shorten the second one, and alter the third one."""
    missing, short, altered = files
    folder.remove(missing)
    write(folder, short, b"short")
    size = folder.size(altered)
    assert size
    write(folder, altered, bytes(size))


def names(ti: FakeTaskInstance, directory: str, key: str = "files") -> list[str]:
    return [file["path"].removeprefix(f"{directory}/") for file in ti.xcoms[key]]


def test_bad_files_and_those_alone_are_fetched_again(
    planet: Sandbox, runner: Runner, ti: FakeTaskInstance, order_id: str, destination: str
) -> None:
    directory = runner.run(download(order_id, destination), ti)["directory"]
    folder, bad = store_at(directory, "path"), names(ti, directory)[:3]
    spoil(folder, bad)
    with pytest.raises(ChecksumError) as caught:
        runner.run(validate(directory))
    assert {one["path"] for one in caught.value.problems} == set(bad)
    before = len(stored(planet))
    result = runner.run(validate(directory, on_mismatch="redownload"))
    assert sorted(result["redownloaded"]) == sorted(bad)
    assert result["validated"] == len(ti.xcoms["files"])
    fetched = {path.partition(order_id)[2].lstrip("/") for path in stored(planet)[before:]}
    assert fetched == {*bad, "manifest.json"}
    before = len(stored(planet))
    again = runner.run(validate(directory, on_mismatch="redownload"))
    assert (again["redownloaded"], len(stored(planet))) == ([], before)


def test_a_retry_mends_what_the_first_try_could_not(
    planet: Sandbox, runner: Runner, ti: FakeTaskInstance, order_id: str, destination: str
) -> None:
    directory = runner.run(download(order_id, destination), ti)["directory"]
    folder, bad = store_at(directory, "path"), names(ti, directory)[:3]
    spoil(folder, bad)
    planet.faults.add(Fault(kind="status", origin="storage", path=bad[0], status=404, times=None))
    for _ in range(2):
        with pytest.raises(LinkExpiredError):
            runner.run(validate(directory, on_mismatch="redownload"))
        assert folder.size("manifest.json") is None, "where it is, the order is whole"
    with pytest.raises(TransferError, match=r"no manifest\.json"):
        runner.run(validate(directory))
    planet.faults.clear()
    result = runner.run(validate(directory, on_mismatch="redownload", on_unexpected="fail"))
    assert bad[0] in result["redownloaded"]
    assert set(result["redownloaded"]) <= set(bad)
    assert result["validated"] == len(ti.xcoms["files"])
    assert runner.run(validate(directory))["redownloaded"] == []


def test_a_folder_that_is_no_orders_is_not_mended(runner: Runner, tmp_path: Path) -> None:
    for record in (None, "{}"):
        if record is not None:
            (tmp_path / "planet-transfer.json").write_text(record)
        with pytest.raises(TransferError, match=r"no manifest\.json"):
            runner.run(validate(str(tmp_path), on_mismatch="redownload"))


def test_globs_hold_when_files_are_fetched_again(
    runner: Runner, ti: FakeTaskInstance, order_id: str, tmp_path: Path
) -> None:
    directory = runner.run(download(order_id, str(tmp_path), include="*.tif", exclude="*udm2*"), ti)[
        "directory"
    ]
    Path(ti.xcoms["files"][0]["path"]).unlink()
    record = Path(directory, "planet-transfer.json")
    before = json.loads(record.read_bytes())
    result = runner.run(validate(directory, on_mismatch="redownload", on_unexpected="fail"))
    assert result["validated"] == len(ti.xcoms["files"])
    after = json.loads(record.read_bytes())
    assert [after[key] for key in ("include", "exclude")] == [before[key] for key in ("include", "exclude")]
    assert {file["path"] for file in after["files"]} == {file["path"] for file in before["files"]}


def test_unexpected_files(runner: Runner, ti: FakeTaskInstance, order_id: str, destination: str) -> None:
    directory = runner.run(download(order_id, destination), ti)["directory"]
    write(store_at(directory, "path"), "PSScene/mine.txt", b"mine")
    assert runner.run(validate(directory))["unexpected"] == ["PSScene/mine.txt"]
    assert runner.run(validate(directory, on_unexpected="ignore"))["unexpected"] == []
    for on_mismatch in ("fail", "redownload"):
        with pytest.raises(ChecksumError, match=r"mine\.txt is unexpected") as caught:
            runner.run(validate(directory, on_unexpected="fail", on_mismatch=on_mismatch))
        assert isinstance(caught.value, AirflowException)
    assert read(store_at(directory, "path"), "PSScene/mine.txt", 10) == b"mine"


def test_without_its_record_an_order_cannot_be_fetched_again(
    runner: Runner, ti: FakeTaskInstance, order_id: str, tmp_path: Path
) -> None:
    directory = runner.run(download(order_id, str(tmp_path)), ti)["directory"]
    Path(directory, "planet-transfer.json").unlink()
    Path(ti.xcoms["files"][0]["path"]).unlink()
    with pytest.raises(TransferError, match=r"no planet-transfer\.json"):
        runner.run(validate(directory, on_mismatch="redownload"))


def test_zips_are_unpacked_verified_and_left_alone_the_next_time(
    planet: Sandbox, runner: Runner, ti: FakeTaskInstance, zip_order_id: str, destination: str
) -> None:
    unpack = download(zip_order_id, destination, unpack=True)
    result = runner.run(unpack, ti)
    directory, folder = result["directory"], store_at(result["directory"], "path")
    unpacked = ti.xcoms["unpacked"]
    assert result["unpacked"] == len(unpacked) >= 4
    for file in unpacked:
        content = read(folder, file["path"].removeprefix(f"{directory}/"), 1 << 30)
        assert content is not None
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file["bytes"], file["sha256"])
    archives = [name for name in names(ti, directory) if name.endswith(".zip")]
    assert {name.split("/")[0] for name in names(ti, directory, "unpacked")} == {
        name.removesuffix(".zip") for name in archives
    }
    found = runner.run(validate(directory, on_unexpected="fail"))
    assert found["validated"] == result["files"] + result["unpacked"]
    before = len(stored(planet))
    assert runner.run(unpack) == result
    assert len(stored(planet)) == before + 1, "the manifest alone"
    runner.run(download(zip_order_id, destination))
    assert runner.run(validate(directory, on_unexpected="fail")) == found, "what was unpacked is known still"


def test_what_was_unpacked_is_mended_without_a_download(
    planet: Sandbox, runner: Runner, ti: FakeTaskInstance, zip_order_id: str, destination: str
) -> None:
    directory = runner.run(download(zip_order_id, destination, unpack=True), ti)["directory"]
    bad = names(ti, directory, "unpacked")[:3]
    spoil(store_at(directory, "path"), bad)
    before = len(stored(planet))
    result = runner.run(validate(directory, on_mismatch="redownload"))
    assert sorted(result["redownloaded"]) == sorted(bad)
    assert stored(planet)[before:] == [path for path in stored(planet)[before:] if "manifest" in path]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"on_mismatch": "retry"}, "on_mismatch='retry'"),
        ({"on_unexpected": "delete"}, "on_unexpected='delete'"),
        ({"expected": "0" * 64, "on_mismatch": "redownload"}, "on_mismatch='redownload'"),
    ],
)
def test_bad_input(runner: Runner, tmp_path: Path, parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said) as caught:
        runner.run(validate(str(tmp_path), **parameters))
    assert isinstance(caught.value, AirflowFailException)

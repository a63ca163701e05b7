"""Orders into S3, through s3fs and Airflow's ObjectStoragePath: objects appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transfer_support import HASTY, QUICK, order_id, session, storage_requests

from planet_provider.client.http.session import PlanetSession
from planet_provider.exceptions import ChecksumError, IncompleteTransferError, StorageError
from planet_provider.sandbox import Fault, Sandbox
from planet_provider.transfer import download_order, verify, verify_file

__all__ = ["order_id", "session"]

pytestmark = pytest.mark.planet_sandbox(**QUICK)


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def fs(s3_url: str) -> Any:
    import s3fs

    return s3fs.S3FileSystem(
        key="testing",
        secret="testing",
        endpoint_url=s3_url,
        skip_instance_cache=True,
    )


class StoragePath(SimpleNamespace):
    """What a transfer uses of Airflow's ObjectStoragePath."""

    def __str__(self) -> str:
        return f"s3://aws_default@{self.path}"


@pytest.fixture
def destination(fs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoragePath:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    bucket = f"orders-{uuid.uuid4().hex}"
    fs.mkdir(bucket)
    return StoragePath(fs=fs, path=f"{bucket}/prefix")


def objects(destination: StoragePath) -> dict[str, bytes]:
    destination.fs.invalidate_cache()
    return {
        path.removeprefix(f"{destination.path}/"): destination.fs.cat_file(path)
        for path in destination.fs.find(destination.path.partition("/")[0])
    }


def test_an_order_arrives_whole(
    session: PlanetSession, order_id: str, destination: StoragePath, tmp_path: Path
) -> None:
    result = download_order(session, order_id, destination)
    stored = objects(destination)
    manifest = json.loads(stored.pop(f"{order_id}/manifest.json"))
    stored.pop(f"{order_id}/planet-transfer.json")
    assert {path: hashlib.sha256(content).hexdigest() for path, content in stored.items()} == {
        f"{order_id}/{entry['path']}": entry["digests"]["sha256"] for entry in manifest["files"]
    }
    assert result.directory == f"{destination}/{order_id}"
    assert result.manifest == f"{destination}/{order_id}/manifest.json"
    assert [record.path for record in result.files] == [
        f"s3://aws_default@{destination.path}/{order_id}/{entry['path']}" for entry in manifest["files"]
    ]
    assert list(tmp_path.iterdir()) == []
    destination.fs.invalidate_cache()
    info = destination.fs.info(f"{destination.path}/{order_id}/{result.files[-1].name}")
    assert info["ContentType"] == result.files[-1].media_type


@pytest.mark.ci
def test_an_order_goes_where_airflows_storage_path_leads(
    session: PlanetSession,
    order_id: str,
    destination: StoragePath,
    s3_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from airflow.sdk import ObjectStoragePath

    connection = {
        "conn_type": "aws",
        "login": "testing",
        "password": "testing",
        "extra": {"endpoint_url": s3_url, "region_name": "us-east-1"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_MINE", json.dumps(connection))
    result = download_order(session, order_id, ObjectStoragePath(f"s3://mine@{destination.path}"))
    assert result.directory == f"s3://mine@{destination.path}/{order_id}"
    assert f"{order_id}/manifest.json" in objects(destination)
    for record in result.files:
        assert verify_file(ObjectStoragePath(record.path), record.sha256 or "") == record.bytes
    assert verify(ObjectStoragePath(result.directory)).validated == len(result.files)
    assert verify(ObjectStoragePath(result.manifest)).validated == len(result.files)


@pytest.mark.ci
def test_objects_that_agree_are_skipped_and_others_fetched(
    planet_sandbox: Sandbox, session: PlanetSession, order_id: str, destination: StoragePath
) -> None:
    first = download_order(session, order_id, destination)
    before = len(storage_requests(planet_sandbox))
    assert download_order(session, order_id, destination).downloaded == 0
    assert len(storage_requests(planet_sandbox)) == before
    victim = f"{destination.path}/{order_id}/{first.files[0].name}"
    destination.fs.pipe_file(victim, b"x" * first.files[0].bytes)
    assert download_order(session, order_id, destination).downloaded == 1


@pytest.mark.ci
def test_cuts_are_resumed_on_the_way_to_the_spool(
    planet_sandbox: Sandbox, session: PlanetSession, order_id: str, destination: StoragePath
) -> None:
    planet_sandbox.faults.add(
        Fault(kind="truncate", origin="storage", path=r"AnalyticMS\.tif", after_bytes=100_000)
    )
    download_order(session, order_id, destination, retry_policy=HASTY)
    assert any(
        request.headers.get("range") == "bytes=100000-" for request in storage_requests(planet_sandbox)
    )
    assert verify(_below(destination, order_id)).validated


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(kind="corrupt", origin="storage", path=r"Analytic", times=None), ChecksumError),
        pytest.param(
            Fault(kind="truncate", origin="storage", path=r"Analytic", after_bytes=0, times=None),
            IncompleteTransferError,
            marks=pytest.mark.ci,
        ),
    ],
)
def test_nothing_appears_of_a_file_that_failed(
    planet_sandbox: Sandbox,
    session: PlanetSession,
    order_id: str,
    destination: StoragePath,
    tmp_path: Path,
    fault: Fault,
    error: type[Exception],
) -> None:
    planet_sandbox.faults.add(fault)
    with pytest.raises(error):
        download_order(session, order_id, destination, retry_policy=HASTY)
    names = set(objects(destination))
    assert not any("Analytic" in name or "manifest.json" in name for name in names)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.ci
def test_verify_lists_every_altered_missing_and_short_object(
    session: PlanetSession, order_id: str, destination: StoragePath
) -> None:
    result = download_order(session, order_id, destination)
    folder = _below(destination, order_id)
    assert verify(folder).validated == len(result.files)
    assert verify(_below(folder, "manifest.json"), checksum="md5").validated == len(result.files)
    paths = [f"{folder.path}/{record.name}" for record in result.files]
    destination.fs.rm_file(paths[0])
    destination.fs.pipe_file(paths[1], b"short")
    destination.fs.pipe_file(paths[2], b"x" * result.files[2].bytes)
    with pytest.raises(ChecksumError) as caught:
        verify(folder)
    assert [(problem["path"], problem["problem"]) for problem in caught.value.problems] == [
        (result.files[0].name, "missing"),
        (result.files[1].name, "size"),
        (result.files[2].name, "sha256"),
    ]


def test_one_object(destination: StoragePath) -> None:
    destination.fs.pipe_file(f"{destination.path}/a.tif", b"abc")
    path = _below(destination, "a.tif")
    assert verify_file(path, hashlib.sha256(b"abc").hexdigest()) == 3
    with pytest.raises(ChecksumError) as caught:
        verify_file(path, "0" * 64)
    assert caught.value.problems[0]["path"] == f"{destination}/a.tif"
    with pytest.raises(ChecksumError, match="missing"):
        verify_file(_below(destination, "b.tif"), "0" * 64)


@pytest.mark.ci
def test_a_large_object_goes_in_parts(destination: StoragePath, tmp_path: Path) -> None:
    from planet_provider.transfer.digests import Expected
    from planet_provider.transfer.stores.spool import ObjectStore

    store = ObjectStore(destination.fs, destination.path, spool_dir=tmp_path)
    chunk = bytes(range(256)) * 4096
    with store.stage("big.tif", Expected()) as staging:
        for _ in range(40):
            staging.write(chunk)
        staging.publish()
    assert store.size("big.tif") == 40 << 20
    assert verify_file(_below(destination, "big.tif"), hashlib.sha256(chunk * 40).hexdigest()) == 40 << 20


@pytest.mark.ci
def test_a_bucket_that_is_not_there_is_an_error_and_is_not_made(
    session: PlanetSession, order_id: str, fs: Any
) -> None:
    missing = StoragePath(fs=fs, path=f"missing-{uuid.uuid4().hex}/prefix")
    with pytest.raises(StorageError, match=r"bucket does not exist.*It is not there"):
        download_order(session, order_id, missing)
    assert not fs.exists(missing.path.partition("/")[0])


def _below(path: StoragePath, name: str) -> StoragePath:
    return StoragePath(fs=path.fs, path=f"{path.path}/{name}", name=name, parent=path)

"""A transfer whose task Airflow kills: it ends in good order, within the seconds that Airflow leaves it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException
from airflow_support import FakeTaskInstance, Runner, Scenes

from planet_provider.exceptions import TransferKilledError
from planet_provider.hooks.planet import PlanetHook
from planet_provider.operators.orders import PlanetDownloadOrderOperator
from planet_provider.sandbox import Fault, Sandbox
from planet_provider.transfer.stores import multipart

pytestmark = pytest.mark.planet_sandbox(scene_pixels=400)

#: Bytes of an image after which its body stalls; it has more than 100,000.
STALLED_AT = 60_000


@pytest.fixture
def order_id(planet: Sandbox, scenes: Scenes) -> str:
    """An order that has succeeded, whose images don't come to their end."""
    products = [scenes.items | {"product_bundle": "visual"}]
    placed = PlanetHook().create_order({"name": "killed", "products": products})["id"]
    planet.clock.advance(600)
    planet.faults.add(
        Fault(kind="stall", origin="storage", path=r"\.tif", after_bytes=STALLED_AT, seconds=300, times=None)
    )
    return str(placed)


@contextmanager
def killed(operator: PlanetDownloadOrderOperator, ready: Callable[[], bool]) -> Iterator[None]:
    """Send SIGTERM once something is so, handled as Airflow's task runner handles it."""

    def send() -> None:
        deadline = time.monotonic() + 60
        while not ready() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        sender.join()
        signal.signal(signal.SIGTERM, before)


def download(order_id: str, destination: str) -> PlanetDownloadOrderOperator:
    return PlanetDownloadOrderOperator(task_id="download", order_id=order_id, destination=destination)


def test_uploads_into_a_bucket_are_aborted(
    s3: Any, order_id: str, runner: Runner, ti: FakeTaskInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PART_BYTES", "_MEGABYTE"):
        monkeypatch.setattr(multipart, name, 16 << 10)

    def uploads() -> list[Any]:
        return list(s3.list_multipart_uploads(Bucket="bucket").get("Uploads", []))

    operator = download(order_id, "s3://store@bucket/planet")
    with (
        killed(operator, lambda: bool(uploads())),
        pytest.raises(TransferKilledError, match="download: Airflow ended") as caught,
    ):
        runner.run(operator, ti)
    assert isinstance(caught.value, AirflowException)
    assert uploads() == []
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket="bucket").get("Contents", [])]
    assert not [key for key in keys if key.endswith((".tif", "manifest.json"))]


def test_what_has_arrived_on_a_disk_is_taken_up_by_the_next_try(
    planet: Sandbox, order_id: str, runner: Runner, ti: FakeTaskInstance, tmp_path: Path
) -> None:
    operator = download(order_id, str(tmp_path))

    def parts() -> list[Path]:
        return [part for part in tmp_path.rglob("*.tif.part") if part.stat().st_size >= STALLED_AT]

    with killed(operator, lambda: len(parts()) > 1), pytest.raises(TransferKilledError):
        runner.run(operator, ti)
    assert len(parts()) > 1
    assert not list(tmp_path.rglob("manifest.json"))
    planet.faults.clear()
    asked = len(planet.requests)
    runner.run(download(order_id, str(tmp_path)), ti)
    assert list(tmp_path.rglob("manifest.json"))
    resumed = [one for one in planet.requests[asked:] if one.headers.get("range", "").startswith("bytes=")]
    assert len(resumed) >= 2


def test_a_kill_at_another_time_is_nothing() -> None:
    download("0a8b7c9e-1111-4222-8333-444455556666", "/data").on_kill()

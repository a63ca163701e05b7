"""Bars in notebooks and scripts."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from client_support import ORDERABLE, order_request, session_of
from planet_provider.client.api import data, orders
from planet_provider.exceptions import ConfigurationError
from planet_provider.notebook import (
    DownloadBar,
    StateBar,
    wait_for_asset,
    wait_for_order,
)
from planet_provider.sandbox import Sandbox
from planet_provider.transfer import Progress, download_asset, download_order

pytestmark = pytest.mark.planet_sandbox(rate_limits=False, scene_pixels=64)


def drawn(stream: io.StringIO) -> list[str]:
    """What the bar showed, one entry a time."""
    return [line.strip() for line in re.split(r"[\r\n]", stream.getvalue()) if line.strip()]


@pytest.mark.guide("order-wait-bar")
def test_a_bar_shows_each_state_of_an_order(planet_sandbox: Sandbox) -> None:
    stream = io.StringIO()
    with session_of(planet_sandbox) as session, StateBar(file=stream) as bar:
        order_id = session.send(orders.create(order_request(session)))["id"]

        def callback(seen: dict[str, Any]) -> None:
            bar(seen)
            planet_sandbox.clock.advance(planet_sandbox.config.running_seconds + 60)

        wait_for_order(session, order_id, callback=callback, poll_interval=0.01)
    shown = drawn(stream)
    assert any(line.startswith(f"order {order_id}: queued [") for line in shown)
    assert shown[-1].startswith(f"order {order_id}: success [")


def test_a_bar_shows_an_assets_status(planet_sandbox: Sandbox) -> None:
    stream = io.StringIO()
    with session_of(planet_sandbox) as session, StateBar(file=stream) as bar:
        item_id = session.send(data.quick_search(["PSScene"], ORDERABLE, page_size=1))[0]["id"]

        def callback(seen: dict[str, Any]) -> None:
            bar(seen)
            planet_sandbox.clock.advance(600)

        wait_for_asset(session, "PSScene", item_id, "ortho_visual", callback=callback, poll_interval=0.01)
    assert re.fullmatch(rf"{item_id} ortho_visual: active \[\d\d:\d\d\]", drawn(stream)[-1])


@pytest.mark.guide("download-progress")
def test_a_bar_shows_how_far_a_download_is(planet_sandbox: Sandbox, tmp_path: Path) -> None:
    with session_of(planet_sandbox) as session:
        order_id = session.send(orders.create(order_request(session, count=2)))["id"]
        planet_sandbox.clock.advance(3600)
        shown = []
        for _ in ("fetched", "there already"):
            stream = io.StringIO()
            with DownloadBar("June", file=stream) as bar:
                transfer = download_order(session, order_id, tmp_path, progress=bar, progress_interval=0.01)
            shown.append(drawn(stream)[-1])
        files = len(transfer.files)
        assert all(line.startswith("June: 100%") for line in shown)
        assert all(f"{files}/{files} files" in line for line in shown)
        for asset in session.send(data.assets("PSScene", transfer.files[0].item_id or "")).values():
            if asset["type"] == "ortho_visual":
                session.send(data.activate(asset["_links"]["activate"]))
        planet_sandbox.clock.advance(3600)
        stream = io.StringIO()
        with DownloadBar(file=stream) as bar:
            item_id = transfer.files[0].item_id or ""
            download_asset(session, "PSScene", item_id, "ortho_visual", tmp_path, progress=bar)
        assert "1/1 files" in drawn(stream)[-1]


def test_a_bar_goes_back_and_grows() -> None:
    stream = io.StringIO()
    with DownloadBar(file=stream) as bar:
        bar(Progress(0, 1, 600, 1000, 1.0))
        bar(Progress(0, 1, 0, 1000, 2.0))
        bar(Progress(0, 1, 2000, 1000, 3.0))
    shown = drawn(stream)
    assert [line.split("%")[0] for line in shown[-4:-1]] == ["60", "0", "100"]


def test_what_came_before_is_no_speed() -> None:
    with DownloadBar(file=io.StringIO()) as bar:
        bar(Progress(0, 1, 900, 1000, 1.0, bytes_reused=900))
        assert (bar._bar.n, bar._bar.initial) == (900, 900)


@pytest.mark.parametrize("kind", [StateBar, DownloadBar])
def test_without_tqdm_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ConfigurationError, match=r"airflow-provider-planet\[notebook\]"):
        kind()


def test_it_needs_neither_airflow_nor_tqdm(tmp_path: Path) -> None:
    code = "import sys; sys.modules |= dict.fromkeys(['airflow', 'tqdm']); import planet_provider.notebook"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)

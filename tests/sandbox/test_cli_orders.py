"""``planet orders``: the SDK's command line."""

from __future__ import annotations

import ast
import json
import uuid
import zipfile
from pathlib import Path

import pytest
from sdk import BUNDLE, ITEM_TYPE, Cli, Feature, ids, json_lines, order_of, succeeded, unique
from shapely.geometry import mapping, shape

from planet_provider.sandbox import Fault, run

pytest_plugins = ("sdk",)


def requested(cli: Cli, items: list[Feature], *options: str) -> str:
    """Build a request with ``planet orders request``."""
    selection = ",".join(item["id"] for item in items)
    return succeeded(cli.orders("request", selection, "--item-type", ITEM_TYPE, "--bundle", BUNDLE, *options))


def test_cli_order_from_request_to_checksum(cli: Cli, orderable: list[Feature], tmp_path: Path) -> None:
    name = unique("cli")
    request = requested(cli, orderable[:2], "--name", name, "--email")
    assert json.loads(request)["metadata"] == {"stac": {}}
    (order,) = json_lines(cli.orders("create", "-", stdin=request))
    assert order["state"] == "queued"
    assert succeeded(cli.orders("wait", order["id"], "--delay", "0")).strip() == "success"
    (done,) = json_lines(cli.orders("get", order["id"], "--pretty"))
    assert done["state"] == "success"
    for checksum in ("MD5", "SHA256"):
        succeeded(cli.orders("download", order["id"], "--directory", str(tmp_path), "--checksum", checksum))
    files = [path for path in (tmp_path / order["id"]).rglob("*") if path.is_file()]
    assert len(files) == len(done["_links"]["results"])

    tif = next(path for path in files if path.suffix == ".tif")
    tif.write_bytes(b"altered")
    kept = cli.orders("download", order["id"], "--directory", str(tmp_path), "--checksum", "md5")
    assert kept.exit_code == 1
    assert "checksums do not match" in kept.output
    succeeded(
        cli.orders("download", order["id"], "--directory", str(tmp_path), "--checksum", "md5", "--overwrite")
    )


def test_cli_request_options(cli: Cli, orderable: list[Feature], tmp_path: Path) -> None:
    """The options that shape a request are understood by the server."""
    clip = json.dumps(mapping(shape(orderable[0]["geometry"]).representative_point().buffer(0.01).envelope))
    request = requested(
        cli, orderable[:1],
        "--name", unique("options"), "--clip", clip, "--no-stac", "--fallback-bundle", "analytic_8b_udm2",
        "--archive-type", "zip", "--single-archive", "--archive-filename", "{{order_id}}.zip",
        "--hosting", "sentinel_hub", "--create-configuration",
    )  # fmt: skip
    (order,) = json_lines(cli.orders("create", "-", stdin=request))
    assert order["products"][0]["product_bundle"] == f"{BUNDLE},analytic_8b_udm2"
    assert list(order["tools"][0]) == ["clip"]
    assert order["hosting"] == {"sentinel_hub": {"create_configuration": True}}
    succeeded(cli.orders("wait", order["id"], "--delay", "0"))
    succeeded(cli.orders("download", order["id"], "--directory", str(tmp_path), "--checksum", "SHA256"))
    with zipfile.ZipFile(tmp_path / order["id"] / f"{order['id']}.zip") as archive:
        assert archive.testzip() is None


def test_cli_refused_clip_area(cli: Cli, orderable: list[Feature]) -> None:
    """The command line passes an area that crosses itself, and shows Planet's refusal."""
    west, south, east, north = shape(orderable[0]["geometry"]).bounds
    ring = [[west, south], [east, north], [east, south], [west, north], [west, south]]
    clip = json.dumps({"type": "Polygon", "coordinates": [ring]})
    name = unique("crossed")
    request = requested(cli, orderable[:1], "--name", name, "--clip", clip)
    refused = cli.orders("create", "-", stdin=request)
    assert refused.exit_code == 1
    assert "AOI is invalid: Self-intersection" in refused.output
    assert json_lines(cli.orders("list", "--name", name)) == []


def test_cli_request_with_tools_and_cloud_delivery(cli: Cli, orderable: list[Feature]) -> None:
    tools = json.dumps([{"toar": {"scale_factor": 10000}}, {"file_format": {"format": "COG"}}])
    cloud = json.dumps({"google_earth_engine": {"project": "project", "collection": "collection"}})
    request = requested(cli, orderable[:1], "--name", unique("tools"), "--tools", tools, "--delivery", cloud)
    assert "metadata" not in json.loads(request)
    (order,) = json_lines(cli.orders("create", request))
    assert [list(tool) for tool in order["tools"]] == [["toar"], ["file_format"]]
    assert order["delivery"] == json.loads(cloud)


def test_cli_create_with_hosting(cli: Cli, orderable: list[Feature], tmp_path: Path) -> None:
    path = tmp_path / "request.json"
    path.write_text(json.dumps(order_of(orderable[:1], unique("hosted"))))
    (order,) = json_lines(
        cli.orders("create", str(path), "--hosting", "sentinel_hub", "--collection-id", str(uuid.uuid4()))
    )
    assert "collection_id" in order["hosting"]["sentinel_hub"]


def test_cli_list(cli: Cli, orderable: list[Feature]) -> None:
    """Every option of the list, in one go and one by one."""
    prefix = unique("list")
    created = [
        json_lines(cli.orders("create", json.dumps(order_of(orderable[:1], f"{prefix}-{number}"))))[0]
        for number in range(3)
    ]
    succeeded(cli.orders("wait", created[-1]["id"], "--delay", "0"))
    newest_first = [order["id"] for order in reversed(created)]

    def listed(*options: str) -> list[str]:
        return [order["id"] for order in json_lines(cli.orders("list", "--name-contains", prefix, *options))]

    assert listed() == newest_first
    assert listed("--state", "success", "--source-type", "scenes") == newest_first
    assert listed("--sort-by", "created_on ASC") == newest_first[::-1]
    assert listed("--limit", "2") == newest_first[:2]
    assert listed("--created-on", f"{created[1]['created_on']}/..") == newest_first[:2]
    assert listed("--last-modified", "../2001-01-01T00:00:00Z") == []
    assert listed("--hosting", "true") == []
    assert listed("--destination-ref", "pl:destinations/none") == []
    assert listed("--user-id", "all") == newest_first
    named = json_lines(cli.orders("list", "--name", f"{prefix}-1", "--pretty"))
    assert ids(named) == {created[1]["id"]}


def test_cli_cancel(cli: Cli, orderable: list[Feature], tmp_path: Path) -> None:
    """A known shortcoming of the SDK: ``cancel`` prints a Python dict instead of JSON."""
    with run(rate_limits=False, queued_seconds=1000) as sandbox:
        own = Cli(sandbox, tmp_path)
        (order,) = json_lines(own.orders("create", json.dumps(order_of(orderable[:1], "queued"))))
        assert isinstance(ast.literal_eval(succeeded(own.orders("cancel", order["id"]))), dict)
        (cancelled,) = json_lines(own.orders("get", order["id"]))
        assert cancelled["state"] == "cancelled"
        again = own.orders("cancel", order["id"])
        assert again.exit_code == 1
        assert "Order not in a cancellable state" in again.output


def test_cli_wait_for_a_state_and_for_too_long(cli: Cli, orderable: list[Feature], tmp_path: Path) -> None:
    with run(rate_limits=False, queued_seconds=1000) as sandbox:
        own = Cli(sandbox, tmp_path)
        (order,) = json_lines(own.orders("create", json.dumps(order_of(orderable[:1], "queued"))))
        assert succeeded(own.orders("wait", order["id"], "--state", "queued")).strip() == "queued"
        late = own.orders("wait", order["id"], "--delay", "0", "--max-attempts", "2")
        assert late.exit_code == 1
        assert "Maximum number of attempts" in late.output
        early = own.orders("download", order["id"], "--directory", str(tmp_path))
        assert early.exit_code == 1
        assert "not a final state" in early.output


@pytest.mark.parametrize("command", ["item-types", "bundles"])
def test_cli_names(cli: Cli, command: str) -> None:
    expected = {"item-types": ITEM_TYPE, "bundles": BUNDLE}[command]
    assert f"- {expected}\n" in succeeded(cli.orders(command))


def test_cli_reports_errors_of_the_api(cli: Cli, orderable: list[Feature]) -> None:
    missing = cli.orders("get", str(uuid.uuid4()))
    assert missing.exit_code == 1
    assert missing.output.startswith("Error: ")
    cli.sandbox.faults.add(Fault(kind="status", path="/orders/v2", status=500, body="no luck"))
    assert "no luck" in cli.orders("list").output
    request = order_of(orderable[:1], unique("bad"))
    request["products"][0]["item_ids"] = ["20010101_000000_00_0000"]
    assert "Unable to accept order" in cli.orders("create", json.dumps(request)).output


@pytest.mark.ci
def test_cli_in_processes_of_their_own(cli: Cli, orderable: list[Feature], tmp_path: Path) -> None:
    """As a shell runs it: create, wait with the status bar, download with progress, list."""
    base = ("orders", "--base-url", f"{cli.sandbox.url}/compute/ops")
    name = unique("spawn")
    request = json.dumps(order_of(orderable[:1], name))
    created = cli.spawn(*base, "create", "-", stdin=request)
    assert created.returncode == 0, created.stderr
    order_id = json.loads(created.stdout)["id"]
    waited = cli.spawn(*base, "wait", order_id, "--delay", "0")
    assert waited.stdout.strip() == "success", waited.stderr
    folder = ("--directory", str(tmp_path), "--checksum", "MD5")
    downloaded = cli.spawn(*base, "download", order_id, *folder)
    assert downloaded.returncode == 0, downloaded.stderr
    assert (tmp_path / order_id / "manifest.json").exists()
    listed = cli.spawn(*base, "list", "--name", name)
    assert json.loads(listed.stdout)["id"] == order_id

"""Where files go, as people write it: what XCom says is what is opened, or the parameter is refused by name."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import jinja2
import pytest
from airflow.sdk import ObjectStoragePath

from planet_provider.exceptions import InvalidInputError
from planet_provider.hooks.storage import location, store_at
from planet_provider.operators.assets import PlanetDownloadAssetOperator
from planet_provider.operators.checksum import PlanetValidateChecksumOperator
from planet_provider.operators.download_order import PlanetDownloadOrderOperator
from planet_provider.operators.search import PlanetSearchOperator

ORDER_ID = "f05b1ed7-11f0-43da-960c-a624f7c355c8"

OPERATORS: dict[str, Callable[[Any], Any]] = {
    "destination": lambda path: PlanetDownloadOrderOperator(task_id="t", order_id=ORDER_ID, destination=path),
    "destination of an asset": lambda path: PlanetDownloadAssetOperator(
        task_id="t", item_type="PSScene", item_id="a", asset_type="udm2", destination=path
    ),
    "path": lambda path: PlanetValidateChecksumOperator(task_id="t", path=path),
    "output_path": lambda path: PlanetSearchOperator(task_id="t", item_types=["PSScene"], output_path=path),
}
EACH = pytest.mark.parametrize("field", OPERATORS)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("/data/planet\n", "/data/planet"),
        (" /data//planet/ ", "/data/planet"),
        ("//data/planet", "/data/planet"),
        (Path("/data/planet\n"), "/data/planet"),
        ("s3://c@bucket//x", "s3://c@bucket/x"),
        ("s3://c@bucket/a//b///c/", "s3://c@bucket/a/b/c"),
        ("s3://c@bucket/x\r\n", "s3://c@bucket/x"),
        ("file:///data//x/", "file:///data/x"),
    ],
)
def test_one_place_has_one_form(given: Any, meant: str) -> None:
    wanted = ObjectStoragePath(meant) if "://" in meant else PurePosixPath(meant)
    assert location(given, "destination") == wanted


def test_the_store_is_at_the_path_that_it_tells(tmp_path: Path) -> None:
    store = store_at(f"file://{tmp_path}//a/\n", "destination")
    assert ObjectStoragePath(store.uri()).path == f"{tmp_path}/a"


@EACH
@pytest.mark.parametrize(
    "wrong",
    [
        "data/planet",
        "./data",
        "~/data",
        "",
        " \n",
        "/data/../planet",
        "/data/./planet",
        "/data\nplanet",
        "/data\0planet",
        "s3://c@bucket/a/../b",
        "s3://c@",
        "s3://",
        "gs:///prefix",
        Path("data/planet"),
    ],
)
def test_what_leads_nowhere_is_refused_when_the_dag_is_parsed(field: str, wrong: Any) -> None:
    with pytest.raises(InvalidInputError, match=f"^{field.partition(' ')[0]}="):
        OPERATORS[field](wrong)


@EACH
def test_a_bucket_without_its_extra_is_refused_when_the_dag_is_parsed(
    field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "s3fs" else find(name, *more)
    )
    with pytest.raises(InvalidInputError, match=r"airflow-provider-planet\[s3\]"):
        OPERATORS[field]("s3://c@bucket/x.ndjson")
    OPERATORS[field]("s3://c@{{ var.value.bucket }}/x.ndjson")


@EACH
def test_a_path_object_is_rendered(field: str) -> None:
    operator = OPERATORS[field](Path("/data") / "{{ ds }}")
    operator.render_template_fields({"ds": "2026-11-30"}, jinja2.Environment())
    assert getattr(operator, field.partition(" ")[0]) == "/data/2026-11-30"

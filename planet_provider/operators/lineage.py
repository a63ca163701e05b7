"""Where data comes from and goes to: item, order, file. For OpenLineage, and for readers of hook lineage.

OpenLineage's classes are imported when its provider asks, so it need not be installed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

#: OpenLineage's namespace of Planet's data.
NAMESPACE = "planet"

#: Files that are named one by one; of more, only their folder is named. Airflow's collector of hook lineage
#: takes 100 assets.
MAX_FILES = 100

#: Schemes that others know under another name, by OpenLineage's naming conventions.
_COMMON_SCHEMES = {"s3a": "s3", "s3n": "s3", "gcs": "gs"}


def placed(order_id: str, products: Iterable[Mapping[str, Any]]) -> OperatorLineage[Any, Any]:
    """Describe a task that has placed an order: from its items to the order.

    :param order_id: Planet order UUID.
    :param products: Of the request.
    """
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import InputDataset, OutputDataset

    items = [
        InputDataset(NAMESPACE, f"{product['item_type']}/{item_id}")
        for product in products
        for item_id in product.get("item_ids") or ()
    ]
    order = OutputDataset(NAMESPACE, _order_name(order_id))
    return OperatorLineage(inputs=items, outputs=[order], run_facets=_order_facet(order_id))


def downloaded(
    files: Sequence[Mapping[str, Any]],
    *,
    directory: str,
    order_id: str | None = None,
    items: Iterable[tuple[str, str]] = (),
) -> OperatorLineage[Any, Any]:
    """Describe a task that has downloaded: from an order, or items, to files.

    :param files: Records ``{path, bytes, sha256, md5, ...}``.
    :param directory: Their folder: path or URI.
    :param order_id: Planet order UUID.
    :param items: Item types and ids.
    """
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import InputDataset, OutputDataset
    from openlineage.client.facet_v2 import dataset_version_dataset, output_statistics_output_dataset

    def statistics(size: int, count: int) -> dict[str, Any]:
        kind = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet
        return {"outputStatistics": kind(size=size, fileCount=count)}

    def version(file: Mapping[str, Any]) -> dict[str, Any]:
        digest = file.get("sha256") or file.get("md5")
        return {"version": dataset_version_dataset.DatasetVersionDatasetFacet(digest)} if digest else {}

    if len(files) > MAX_FILES:
        size = sum(file["bytes"] for file in files)
        outputs = [OutputDataset(*_place(directory), outputFacets=statistics(size, len(files)))]
    else:
        outputs = [
            OutputDataset(
                *_place(file["path"]), facets=version(file), outputFacets=statistics(file["bytes"], 1)
            )
            for file in files
        ]
    inputs = [InputDataset(NAMESPACE, f"{item_type}/{item_id}") for item_type, item_id in items]
    if order_id is not None:
        inputs.append(InputDataset(NAMESPACE, _order_name(order_id)))
    return OperatorLineage(
        inputs=inputs, outputs=outputs, run_facets={} if order_id is None else _order_facet(order_id)
    )


def collect(hook: Any, files: Sequence[Mapping[str, Any]], directory: str) -> None:
    """Tell readers of hook lineage, where there are any, what was written.

    :param hook: Whose doing it was.
    :param files: Records ``{path, ...}``.
    :param directory: Their folder: path or URI.
    """
    collector: Any = get_hook_lineage_collector()  # type: ignore[no-untyped-call]
    paths = [directory] if len(files) > MAX_FILES else [file["path"] for file in files]
    for path in paths:
        collector.add_output_asset(context=hook, uri=public_uri(path))


def public_uri(path: str) -> str:
    """Return a path or URI as others know it: as a URI, without an Airflow connection's id."""
    if "://" not in path:
        return PurePosixPath(path).as_uri()
    namespace, name = _place(path)
    return f"{namespace}/{quote(name)}"


def _order_name(order_id: str) -> str:
    return f"orders/{order_id}"


def _order_facet(order_id: str) -> dict[str, Any]:
    from openlineage.client.facet_v2 import external_query_run

    return {
        "externalQuery": external_query_run.ExternalQueryRunFacet(externalQueryId=order_id, source=NAMESPACE)
    }


def _place(path: str) -> tuple[str, str]:
    """Return OpenLineage's namespace and name of a file."""
    if "://" not in path:
        return "file", path
    # By hand: to urlsplit a key ends at a "#" or "?", which keys may hold.
    scheme, _, rest = path.partition("://")
    bucket, _, key = rest.partition("/")
    return f"{_COMMON_SCHEMES.get(scheme, scheme)}://{bucket.rpartition('@')[2]}", key.lstrip("/")

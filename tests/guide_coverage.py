"""Which rows of the SDK's guide are covered, by what, proved by which tests: writes ``docs/guide-coverage.md``.

The rows and what they are called here are listed below; the tests name a row with
``@pytest.mark.guide("<row>")``. Nothing is run: the tests' source is read.

::

    python tests/guide_coverage.py            # write the page
    python tests/guide_coverage.py --check    # fail where it is out of date
"""

from __future__ import annotations

import ast
import pkgutil
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).resolve().parent
PAGE = TESTS.parent / "docs" / "guide-coverage.md"
PACKAGE = "planet_provider"


class Row(NamedTuple):
    """One thing that the SDK's guide shows.

    :param id: What tests name it by.
    :param title: What it is.
    :param apis: Dotted names below the package: what does it here.
    """

    id: str
    title: str
    apis: tuple[str, ...]


_HOOK = "hooks.planet.PlanetHook"
_TOOLS = "client.order_tools"
_DELIVERY = "client.order_delivery"

ROWS = (
    Row("auth-login", "log in with e-mail and password", ("client.credentials.Login",)),
    Row("auth-oauth", "an OAuth client's id and secret", ("client.credentials.OAuthClient",)),
    Row("auth-key", "an API key", ("client.config.PlanetConfig", f"{_HOOK}.config")),
    Row("auth-env", "a key from the environment", ("client.auth.api_key_from_env",)),
    Row("auth-file", "a key from a secret file", ("client.secret_file.read_secret", f"{_HOOK}.read_secret")),
    Row("auth-store", "store a secret", ("client.secret_file.store_secret", f"{_HOOK}.store_secret")),
    Row(
        "session-context",
        "a session as a context manager",
        (f"{_HOOK}.session", "client.session.PlanetSession", "client.session.AsyncPlanetSession"),
    ),
    Row("session-close", "close a session explicitly", ("client.session.PlanetSession.close",)),
    Row("session-limits-retries", "rate limits and retries", ("client.session.PlanetSession.send",)),
    Row("order-request", "build an order request", ("client.order_request.build",)),
    Row("order-request-name", "its name", ("client.order_request.build",)),
    Row("order-request-products", "its products", ("client.order_request.product",)),
    Row("order-request-fallback", "fallback bundles", ("client.order_request.product",)),
    Row("order-request-archive", "delivery as an archive", (f"{_DELIVERY}.zip_archive",)),
    Row(
        "order-request-delivery",
        "delivery into a cloud",
        tuple(
            f"{_DELIVERY}.{name}"
            for name in (
                "amazon_s3",
                "azure_blob_storage",
                "google_cloud_storage",
                "google_earth_engine",
                "oracle_cloud_storage",
                "s3_compatible",
            )
        ),
    ),
    Row("order-delivery", "its credentials", ("operators.orders.PlanetCreateOrderOperator",)),
    Row("order-request-destination", "delivery to a destination", (f"{_DELIVERY}.destination",)),
    Row("order-request-notifications", "notifications", ("client.order_options.notifications",)),
    Row("order-request-type", "order type full or partial", ("client.order_request.build",)),
    Row("order-request-stac", "STAC metadata", ("client.order_options.stac_metadata",)),
    Row("order-request-hosting", "hosting on Sentinel Hub", ("client.order_options.sentinel_hub",)),
    Row("order-tool-clip", "tool clip", (f"{_TOOLS}.clip",)),
    Row("order-tool-composite", "tool composite", (f"{_TOOLS}.composite",)),
    Row("order-tool-coregister", "tool coregister", (f"{_TOOLS}.coregister",)),
    Row("order-tool-file-format", "tool file format", (f"{_TOOLS}.file_format",)),
    Row("order-tool-reproject", "tool reproject", (f"{_TOOLS}.reproject",)),
    Row("order-tool-tile", "tool tile", (f"{_TOOLS}.tile",)),
    Row("order-tool-toar", "tool TOAR", (f"{_TOOLS}.toar",)),
    Row("order-tool-harmonize", "tool harmonize", (f"{_TOOLS}.harmonize",)),
    Row("order-tool-bandmath", "tool band math", (f"{_TOOLS}.bandmath",)),
    Row(
        "order-create",
        "place an order",
        ("operators.orders.PlanetCreateOrderOperator", "ordering.place.place_order", f"{_HOOK}.create_order"),
    ),
    Row("order-get", "get an order", ("client.orders.get", f"{_HOOK}.get_order")),
    Row("order-list", "list orders, by filters", ("client.orders.list_orders", f"{_HOOK}.list_orders")),
    Row("order-cancel", "cancel an order", ("client.cancelling.cancel_order", f"{_HOOK}.cancel_order")),
    Row(
        "orders-cancel-many",
        "cancel several orders",
        (
            "operators.orders.PlanetCancelOrderOperator",
            "client.cancelling.cancel_orders",
            f"{_HOOK}.cancel_orders",
        ),
    ),
    Row("orders-stats", "count one's orders", ("client.orders.stats", f"{_HOOK}.get_order_stats")),
    Row(
        "order-wait",
        "wait for an order, with a callback",
        ("sensors.orders.PlanetOrderSensor", "ordering.wait.wait_for_order"),
    ),
    Row("order-wait-bar", "a bar that shows its state", ("notebook.StateBar",)),
    Row(
        "order-download",
        "download an order",
        ("operators.orders.PlanetDownloadOrderOperator", "transfer.order.download_order"),
    ),
    Row(
        "download-progress",
        "the progress of a download",
        ("notebook.DownloadBar", "transfer.progress.log_progress"),
    ),
    Row("download-no-overwrite", "files that are there are kept", ("transfer.order.download_order",)),
    Row(
        "checksum-md5",
        "validate an order by MD5",
        ("operators.checksum.PlanetValidateChecksumOperator", "transfer.verify.verify"),
    ),
    Row(
        "checksum-sha256",
        "validate an order by SHA-256",
        ("operators.checksum.PlanetValidateChecksumOperator", "transfer.verify.verify"),
    ),
    Row("paging", "follow pages", ("client.session.PlanetSession.pages",)),
    Row("collect-list", "collect into a list", ("client.collect.items",)),
    Row(
        "collect-featurecollection",
        "collect into a FeatureCollection",
        ("client.collect.feature_collection",),
    ),
    Row("collect-file", "collect into a file", ("transfer.features.write_items", f"{_HOOK}.write_search")),
    Row("filters", "search filters", ("client.filters.combine",)),
    Row(
        "search-quick",
        "search the catalogue",
        ("operators.search.PlanetSearchOperator", "client.data.quick_search", f"{_HOOK}.search"),
    ),
    Row(
        "search-saved-create",
        "save a search",
        (
            "operators.saved_search.PlanetUpsertSearchOperator",
            "client.saved_searches.save_search",
            f"{_HOOK}.create_search",
        ),
    ),
    Row(
        "search-saved-update",
        "change a saved search",
        ("client.saved_searches.save_search", f"{_HOOK}.update_search"),
    ),
    Row("search-saved-list", "list searches", ("client.data.list_searches", f"{_HOOK}.list_searches")),
    Row("search-saved-get", "get a saved search", ("client.data.get_search", f"{_HOOK}.get_search")),
    Row(
        "search-saved-run",
        "run a saved search",
        ("operators.search.PlanetSearchOperator", "client.data.run_search", f"{_HOOK}.run_search"),
    ),
    Row(
        "search-saved-delete",
        "delete a saved search",
        ("client.data.delete_search", f"{_HOOK}.delete_search"),
    ),
    Row(
        "stats",
        "count what a search would find",
        ("operators.stats.PlanetSearchStatsOperator", "client.data.stats", f"{_HOOK}.get_stats"),
    ),
    Row("item-get", "get an item", ("client.data.item", f"{_HOOK}.get_item")),
    Row("item-coverage", "an item's coverage", ("client.data.coverage", f"{_HOOK}.get_item_coverage")),
    Row("asset-get", "get an item's assets", ("client.data.assets", f"{_HOOK}.get_assets")),
    Row(
        "asset-activate",
        "activate an asset",
        ("operators.assets.PlanetActivateAssetOperator", "client.data.activate"),
    ),
    Row(
        "asset-wait", "wait for an asset", ("sensors.assets.PlanetAssetSensor", "client.wait.wait_for_asset")
    ),
    Row(
        "asset-download",
        "download an asset",
        ("operators.assets.PlanetDownloadAssetOperator", "transfer.asset.download_asset"),
    ),
    Row(
        "asset-validate",
        "validate an asset",
        ("operators.checksum.PlanetValidateChecksumOperator", "transfer.verify.verify_file"),
    ),
    Row("errors-tree", "the tree of errors", ("exceptions.PlanetError",)),
)


class CoverageError(Exception):
    """A row that nothing proves, or a marker of no row."""


def proofs() -> dict[str, list[str]]:
    """Return the tests that name each row: ``folder/file.py::Class::test``."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for path in sorted(TESTS.rglob("test_*.py")):
        where = path.relative_to(TESTS).as_posix()
        for test, node in _tests(ast.parse(path.read_text(encoding="utf-8")), where):
            for decorator in node.decorator_list:
                for row in _rows(decorator):
                    found[row].add(test)
    return {row: sorted(tests) for row, tests in found.items()}


def _tests(tree: ast.AST, where: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            yield from _tests(node, f"{where}::{node.name}")
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
            yield f"{where}::{node.name}", node


def _rows(decorator: ast.expr) -> Iterator[str]:
    """Yield what ``pytest.mark.guide(...)`` names in a decorator, also as the mark of a parameter."""
    for node in ast.walk(decorator):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.guide":
            yield from (ast.literal_eval(argument) for argument in node.args)


def missing_apis(rows: Sequence[Row] = ROWS) -> list[str]:
    """Return the names that nothing in the package has."""
    missing = []
    for name in sorted({name for row in rows for name in row.apis}):
        try:
            pkgutil.resolve_name(f"{PACKAGE}.{name}")
        except (ImportError, AttributeError):
            missing.append(name)
    return missing


def page(rows: Sequence[Row] = ROWS, tests: dict[str, list[str]] | None = None) -> str:
    """Return the page.

    :param rows: What the guide shows.
    :param tests: By row, as :func:`proofs` finds them.
    :raises CoverageError: A row has no test or no API, or a test names a row that is none.
    """
    tests = proofs() if tests is None else tests
    empty = [row.id for row in rows if not row.apis or not tests.get(row.id)]
    unknown = sorted(tests.keys() - {row.id for row in rows})
    if empty or unknown:
        raise CoverageError(f"rows without a test or an API: {empty}; markers of no row: {unknown}")
    lines = [
        "# What of the SDK's guide is covered",
        "",
        "Made by `python tests/guide_coverage.py` from the markers `@pytest.mark.guide(...)` of the tests; a test",
        "compares. Names are below `planet_provider`, tests below `tests/`.",
        "",
        "| The guide shows | Here | Proved by |",
        "|---|---|---|",
    ]
    for row in rows:
        apis = "<br>".join(f"`{name}`" for name in row.apis)
        named = "<br>".join(f"`{test}`" for test in tests[row.id])
        lines.append(f"| {row.title} (`{row.id}`) | {apis} | {named} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or with ``--check`` compare it."""
    check = "--check" in (sys.argv[1:] if arguments is None else arguments)
    try:
        text = page()
    except CoverageError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    if not check:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        print(f"{PAGE.name} is out of date: run python tests/guide_coverage.py", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

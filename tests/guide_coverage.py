"""Which rows of the SDK's guide are covered, by what, proved by which tests: writes ``docs/guide-coverage.md``.

The rows and what they are called here are listed below; the tests name a row with
``@pytest.mark.guide("<row>")``. Nothing is run: the tests' source is read.

::

    python tests/guide_coverage.py            # write the page
    python tests/guide_coverage.py --check    # fail where it is out of date
"""

from __future__ import annotations

import pkgutil
import re
import sys
from collections.abc import Sequence
from typing import NamedTuple

from guide_proofs import TESTS, asks_a_server, proofs

DOCS = TESTS.parent / "docs"
PAGE = DOCS / "guide-coverage.md"
PACKAGE = "planet_provider"


class Row(NamedTuple):
    """One thing that the SDK's guide shows.

    :param id: What tests name it by.
    :param title: What it is.
    :param page: The page of the docs that tells of it, and names one of the APIs at least.
    :param apis: Dotted names below the package: what does it here.
    """

    id: str
    title: str
    page: str
    apis: tuple[str, ...]


_HOOK = "hooks.planet.PlanetHook"
_TOOLS = "client.order_tools"
_DELIVERY = "client.order_delivery"

ROWS = (
    Row("auth-login", "log in with e-mail and password", "authentication.md", ("client.credentials.Login",)),
    Row(
        "auth-oauth",
        "an OAuth client's id and secret",
        "authentication.md",
        ("client.credentials.OAuthClient",),
    ),
    Row("auth-key", "an API key", "authentication.md", ("client.config.PlanetConfig", f"{_HOOK}.config")),
    Row("auth-env", "a key from the environment", "authentication.md", ("client.auth.api_key_from_env",)),
    Row(
        "auth-file",
        "a key from a secret file",
        "authentication.md",
        ("client.secret_file.read_secret", f"{_HOOK}.read_secret"),
    ),
    Row(
        "auth-store",
        "store a secret",
        "authentication.md",
        ("client.secret_file.store_secret", f"{_HOOK}.store_secret"),
    ),
    Row(
        "session-context",
        "a session as a context manager",
        "notebooks.md",
        (f"{_HOOK}.session", "client.session.PlanetSession", "client.session.AsyncPlanetSession"),
    ),
    Row(
        "session-close", "close a session explicitly", "notebooks.md", ("client.session.PlanetSession.close",)
    ),
    Row(
        "session-limits-retries",
        "rate limits and retries",
        "errors.md",
        ("client.session.PlanetSession.send",),
    ),
    Row("order-request", "build an order request", "order-requests.md", ("client.order_request.build",)),
    Row("order-request-name", "its name", "order-requests.md", ("client.order_request.build",)),
    Row("order-request-products", "its products", "order-requests.md", ("client.order_request.product",)),
    Row("order-request-fallback", "fallback bundles", "order-requests.md", ("client.order_request.product",)),
    Row(
        "order-request-archive", "delivery as an archive", "order-requests.md", (f"{_DELIVERY}.zip_archive",)
    ),
    Row(
        "order-request-delivery",
        "delivery into a cloud",
        "order-requests.md",
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
    Row(
        "order-delivery",
        "its credentials",
        "order-requests.md",
        ("operators.orders.PlanetCreateOrderOperator",),
    ),
    Row(
        "order-request-destination",
        "delivery to a destination",
        "order-requests.md",
        (f"{_DELIVERY}.destination",),
    ),
    Row(
        "order-request-notifications",
        "notifications",
        "order-requests.md",
        ("client.order_options.notifications",),
    ),
    Row(
        "order-request-type",
        "order type full or partial",
        "order-requests.md",
        ("client.order_request.build",),
    ),
    Row("order-request-stac", "STAC metadata", "order-requests.md", ("client.order_options.stac_metadata",)),
    Row(
        "order-request-hosting",
        "hosting on Sentinel Hub",
        "order-requests.md",
        ("client.order_options.sentinel_hub",),
    ),
    Row("order-tool-clip", "tool clip", "order-requests.md", (f"{_TOOLS}.clip",)),
    Row("order-tool-composite", "tool composite", "order-requests.md", (f"{_TOOLS}.composite",)),
    Row("order-tool-coregister", "tool coregister", "order-requests.md", (f"{_TOOLS}.coregister",)),
    Row("order-tool-file-format", "tool file format", "order-requests.md", (f"{_TOOLS}.file_format",)),
    Row("order-tool-reproject", "tool reproject", "order-requests.md", (f"{_TOOLS}.reproject",)),
    Row("order-tool-tile", "tool tile", "order-requests.md", (f"{_TOOLS}.tile",)),
    Row("order-tool-toar", "tool TOAR", "order-requests.md", (f"{_TOOLS}.toar",)),
    Row("order-tool-harmonize", "tool harmonize", "order-requests.md", (f"{_TOOLS}.harmonize",)),
    Row("order-tool-bandmath", "tool band math", "order-requests.md", (f"{_TOOLS}.bandmath",)),
    Row(
        "order-create",
        "place an order",
        "orders-once.md",
        ("operators.orders.PlanetCreateOrderOperator", "ordering.place.place_order", f"{_HOOK}.create_order"),
    ),
    Row("order-get", "get an order", "upgrade-from-sdk.md", ("client.orders.get", f"{_HOOK}.get_order")),
    Row(
        "order-list",
        "list orders, by filters",
        "upgrade-from-sdk.md",
        ("client.orders.list_orders", f"{_HOOK}.list_orders"),
    ),
    Row(
        "order-cancel",
        "cancel an order",
        "upgrade-from-sdk.md",
        ("client.cancelling.cancel_order", f"{_HOOK}.cancel_order"),
    ),
    Row(
        "orders-cancel-many",
        "cancel several orders",
        "upgrade-from-sdk.md",
        (
            "operators.orders.PlanetCancelOrderOperator",
            "client.cancelling.cancel_orders",
            f"{_HOOK}.cancel_orders",
        ),
    ),
    Row(
        "orders-stats",
        "count one's orders",
        "upgrade-from-sdk.md",
        ("client.orders.stats", f"{_HOOK}.get_order_stats"),
    ),
    Row(
        "order-wait",
        "wait for an order, with a callback",
        "notebooks.md",
        ("sensors.orders.PlanetOrderSensor", "ordering.wait.wait_for_order"),
    ),
    Row("order-wait-bar", "a bar that shows its state", "notebooks.md", ("notebook.StateBar",)),
    Row(
        "order-download",
        "download an order",
        "guide.md",
        ("operators.orders.PlanetDownloadOrderOperator", "transfer.order.download_order"),
    ),
    Row(
        "download-progress",
        "the progress of a download",
        "notebooks.md",
        ("notebook.DownloadBar", "transfer.progress.log_progress"),
    ),
    Row(
        "download-no-overwrite",
        "files that are there are kept",
        "upgrade-from-sdk.md",
        ("transfer.order.download_order",),
    ),
    Row(
        "checksum-md5",
        "validate an order by MD5",
        "guide.md",
        ("operators.checksum.PlanetValidateChecksumOperator", "transfer.verify.verify"),
    ),
    Row(
        "checksum-sha256",
        "validate an order by SHA-256",
        "guide.md",
        ("operators.checksum.PlanetValidateChecksumOperator", "transfer.verify.verify"),
    ),
    Row("paging", "follow pages", "searches.md", ("client.session.PlanetSession.pages",)),
    Row("collect-list", "collect into a list", "searches.md", ("client.collect.items",)),
    Row(
        "collect-featurecollection",
        "collect into a FeatureCollection",
        "searches.md",
        ("client.collect.feature_collection",),
    ),
    Row(
        "collect-file",
        "collect into a file",
        "searches.md",
        ("transfer.features.write_items", f"{_HOOK}.write_search"),
    ),
    Row(
        "filters",
        "search filters",
        "filters.md",
        tuple(
            f"client.filters.{name}"
            for name in (
                "and_filter",
                "or_filter",
                "not_filter",
                "empty_filter",
                "date_range_filter",
                "range_filter",
                "update_filter",
                "geometry_filter",
                "number_in_filter",
                "string_in_filter",
                "asset_filter",
                "permission_filter",
                "std_quality_filter",
                "combine",
                "criteria",
            )
        ),
    ),
    Row(
        "search-quick",
        "search the catalogue",
        "searches.md",
        ("operators.search.PlanetSearchOperator", "client.data.quick_search", f"{_HOOK}.search"),
    ),
    Row(
        "search-saved-create",
        "save a search",
        "searches.md",
        (
            "operators.saved_search.PlanetUpsertSearchOperator",
            "client.saved_searches.save_search",
            f"{_HOOK}.create_search",
        ),
    ),
    Row(
        "search-saved-update",
        "change a saved search",
        "searches.md",
        ("client.saved_searches.save_search", f"{_HOOK}.update_search"),
    ),
    Row(
        "search-saved-list",
        "list searches",
        "searches.md",
        ("client.data.list_searches", f"{_HOOK}.list_searches"),
    ),
    Row(
        "search-saved-get",
        "get a saved search",
        "searches.md",
        ("client.data.get_search", f"{_HOOK}.get_search"),
    ),
    Row(
        "search-saved-run",
        "run a saved search",
        "searches.md",
        ("operators.search.PlanetSearchOperator", "client.data.run_search", f"{_HOOK}.run_search"),
    ),
    Row(
        "search-saved-delete",
        "delete a saved search",
        "searches.md",
        ("client.data.delete_search", f"{_HOOK}.delete_search"),
    ),
    Row(
        "stats",
        "count what a search would find",
        "searches.md",
        ("operators.stats.PlanetSearchStatsOperator", "client.data.stats", f"{_HOOK}.get_stats"),
    ),
    Row("item-get", "get an item", "upgrade-from-sdk.md", ("client.data.item", f"{_HOOK}.get_item")),
    Row(
        "item-coverage",
        "an item's coverage",
        "searches.md",
        ("client.data.coverage", f"{_HOOK}.get_item_coverage"),
    ),
    Row(
        "asset-get",
        "get an item's assets",
        "upgrade-from-sdk.md",
        ("client.data.assets", f"{_HOOK}.get_assets", f"{_HOOK}.get_asset"),
    ),
    Row(
        "asset-activate",
        "activate an asset",
        "upgrade-from-sdk.md",
        (
            "operators.assets.PlanetActivateAssetOperator",
            "client.assets.activate_asset",
            f"{_HOOK}.activate_asset",
        ),
    ),
    Row(
        "asset-wait",
        "wait for an asset",
        "upgrade-from-sdk.md",
        ("sensors.assets.PlanetAssetSensor", "client.wait.wait_for_asset"),
    ),
    Row(
        "asset-download",
        "download an asset",
        "upgrade-from-sdk.md",
        ("operators.assets.PlanetDownloadAssetOperator", "transfer.asset.download_asset"),
    ),
    Row(
        "asset-validate",
        "validate an asset",
        "upgrade-from-sdk.md",
        ("operators.checksum.PlanetValidateChecksumOperator", "transfer.verify.verify_file"),
    ),
    Row("errors-tree", "the tree of errors", "errors.md", ("exceptions.PlanetError",)),
)


class CoverageError(Exception):
    """A row that nothing proves or tells of, or a marker of no row."""


def missing_apis(rows: Sequence[Row] = ROWS) -> list[str]:
    """Return the names that nothing in the package has."""
    missing = []
    for name in sorted({name for row in rows for name in row.apis}):
        try:
            pkgutil.resolve_name(f"{PACKAGE}.{name}")
        except (ImportError, AttributeError):
            missing.append(name)
    return missing


def pages_without_it(rows: Sequence[Row] = ROWS) -> list[str]:
    """Return the rows whose page is not there, or names nothing of theirs."""
    missing = []
    for row in rows:
        file = DOCS / row.page
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        names = (re.escape(name.rsplit(".", 1)[-1]) for name in row.apis)
        if not any(re.search(rf"\b{name}\b", text) for name in names):
            missing.append(row.id)
    return missing


def page(rows: Sequence[Row] = ROWS, tests: dict[str, list[str]] | None = None) -> str:
    """Return the page.

    :param rows: What the guide shows.
    :param tests: By row, as :func:`guide_proofs.proofs` finds them.
    :raises CoverageError: A row has no test, none that asks a sandbox, no API, or no page of the docs; or a
        test names a row that is none.
    """
    tests = proofs() if tests is None else tests
    wrong = {
        "rows without a test or an API": [row.id for row in rows if not row.apis or not tests.get(row.id)],
        "markers of no row": sorted(tests.keys() - {row.id for row in rows}),
        "rows without a test through a socket": [
            row.id for row in rows if not any(map(asks_a_server, tests.get(row.id, ())))
        ],
        "rows whose page is not there, or names nothing of theirs": pages_without_it(rows),
    }
    if any(wrong.values()):
        raise CoverageError("; ".join(f"{what}: {which}" for what, which in wrong.items() if which))
    lines = [
        "# What of the SDK's guide is covered",
        "",
        "Made by `python tests/guide_coverage.py` from the markers `@pytest.mark.guide(...)` of the tests; a test",
        "compares. Names are below `planet_provider`, tests below `tests/`. Of each row's tests one at least asks",
        "a sandbox, through a socket: those are marked with †.",
        "",
        "| The guide shows | Here | Page | Proved by |",
        "|---|---|---|---|",
    ]
    for row in rows:
        apis = "<br>".join(f"`{name}`" for name in row.apis)
        named = "<br>".join(f"`{test}`{' †' if asks_a_server(test) else ''}" for test in tests[row.id])
        told = f"[{row.page.removesuffix('.md')}]({row.page})"
        lines.append(f"| {row.title} (`{row.id}`) | {apis} | {told} | {named} |")
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

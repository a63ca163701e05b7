"""Nothing of the SDK is forgotten: every public call, filter and builder names the test that drives it.

A new call in a later version of the SDK fails here until a test for it is written and named.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import pytest
from planet import DataClient, OrdersClient, data_filter, exceptions, order_request
from planet.cli.data import data as data_commands
from planet.cli.orders import orders as orders_commands

HERE = Path(__file__).parent

DATA_CLIENT = {
    "activate_asset": ["test_sdk_assets.py::test_activate_and_wait_asset"],
    "create_search": ["test_sdk_search.py::test_saved_search_from_creation_to_deletion"],
    "delete_search": ["test_sdk_search.py::test_saved_search_from_creation_to_deletion"],
    "download_asset": ["test_sdk_assets.py::test_download_asset_keeps_or_overwrites"],
    "get_asset": ["test_sdk_assets.py::test_get_asset"],
    "get_item": ["test_sdk_search.py::test_get_item_is_the_item_of_the_search"],
    "get_item_coverage": ["test_sdk_search.py::test_get_item_coverage"],
    "get_search": ["test_sdk_search.py::test_saved_search_from_creation_to_deletion"],
    "get_stats": ["test_sdk_search.py::test_get_stats"],
    "list_item_assets": ["test_sdk_assets.py::test_list_item_assets"],
    "list_searches": ["test_sdk_search.py::test_list_searches_by_type_and_sort"],
    "run_search": ["test_sdk_search.py::test_run_search"],
    "search": [
        "test_sdk_search.py::test_search_of_several_item_types",
        "test_sdk_search.py::test_search_sort",
    ],
    "update_search": ["test_sdk_search.py::test_saved_search_from_creation_to_deletion"],
    "validate_checksum": ["test_sdk_assets.py::test_validate_checksum_finds_a_flipped_byte"],
    "wait_asset": ["test_sdk_assets.py::test_activate_and_wait_asset"],
}

ORDERS_CLIENT = {
    "aggregated_order_stats": ["test_sdk_orders.py::test_aggregated_order_stats"],
    "cancel_order": ["test_sdk_orders.py::test_cancel_order"],
    "cancel_orders": [
        "test_sdk_orders.py::test_cancel_orders_by_id",
        "test_sdk_orders.py::test_cancel_orders_without_ids_cancels_all_queued",
    ],
    "create_order": ["test_sdk_orders.py::test_create_order"],
    "download_asset": ["test_sdk_downloads.py::test_download_asset_takes_the_name_from_the_answer"],
    "download_order": ["test_sdk_downloads.py::test_download_order"],
    "get_order": ["test_sdk_orders.py::test_get_order_through_its_states"],
    "list_orders": [
        "test_sdk_orders.py::test_list_orders_follows_pages",
        "test_sdk_orders.py::test_list_orders_by_time",
    ],
    "validate_checksum": ["test_sdk_downloads.py::test_validate_checksum_refuses_what_it_cannot_check"],
    "wait": ["test_sdk_orders.py::test_wait_calls_back_with_every_state"],
}

FILTERS = {
    "and_filter": ["test_sdk_filters.py::test_and_or_and_not_filters"],
    "asset_filter": ["test_sdk_filters.py::test_asset_filter"],
    "date_range_filter": ["test_sdk_filters.py::test_date_range_filter"],
    "empty_filter": ["test_sdk_filters.py::test_empty_filter_finds_everything"],
    "geometry_filter": [
        "test_sdk_filters.py::test_geometry_filter",
        "test_sdk_filters.py::test_geometry_filter_relation",
    ],
    "not_filter": ["test_sdk_filters.py::test_not_filter_keeps_items_without_the_field"],
    "number_in_filter": ["test_sdk_filters.py::test_number_in_filter"],
    "or_filter": ["test_sdk_filters.py::test_and_or_and_not_filters"],
    "permission_filter": ["test_sdk_filters.py::test_permission_filter"],
    "range_filter": ["test_sdk_filters.py::test_range_filter"],
    "std_quality_filter": ["test_sdk_filters.py::test_std_quality_filter"],
    "string_in_filter": ["test_sdk_filters.py::test_string_in_filter"],
    "update_filter": ["test_sdk_filters.py::test_update_filter"],
}

TOOLS = ["test_sdk_order_request.py::test_tools"]
CLOUDS = ["test_sdk_order_request.py::test_cloud_deliveries"]
BUILDERS = {
    "amazon_s3": CLOUDS,
    "azure_blob_storage": CLOUDS,
    "band_math_tool": TOOLS,
    "build_request": ["test_sdk_order_request.py::test_build_request_with_everything"],
    "clip_tool": [*TOOLS, "test_sdk_downloads.py::test_clip_and_reproject_show_in_the_rasters"],
    "composite_tool": TOOLS,
    "coregister_tool": TOOLS,
    "default_destination": ["test_sdk_order_request.py::test_destinations"],
    "delivery": ["test_sdk_order_request.py::test_archive_delivery"],
    "destination": ["test_sdk_order_request.py::test_destinations"],
    "file_format_tool": TOOLS,
    "google_cloud_storage": CLOUDS,
    "google_earth_engine": CLOUDS,
    "harmonize_tool": ["test_sdk_order_request.py::test_harmonize_tool"],
    "notifications": ["test_sdk_order_request.py::test_notifications"],
    "oracle_cloud_storage": CLOUDS,
    "product": ["test_sdk_order_request.py::test_product_with_fallback_bundles"],
    "reproject_tool": [*TOOLS, "test_sdk_downloads.py::test_clip_and_reproject_show_in_the_rasters"],
    "s3_compatible": CLOUDS,
    "sentinel_hub": ["test_sdk_order_request.py::test_hosting_creates_a_configuration"],
    "tile_tool": TOOLS,
    "toar_tool": TOOLS,
}

ASSET_COMMANDS = ["test_cli_data.py::test_cli_asset_from_inactive_to_validated"]
SEARCH_COMMANDS = ["test_cli_data.py::test_cli_saved_search_from_creation_to_deletion"]
DATA_COMMANDS = {
    "asset-activate": ASSET_COMMANDS,
    "asset-download": ASSET_COMMANDS,
    "asset-get": ASSET_COMMANDS,
    "asset-list": ASSET_COMMANDS,
    "asset-wait": ASSET_COMMANDS,
    "filter": ["test_cli_data.py::test_cli_filter_and_search_in_a_pipe"],
    "item-coverage": ["test_cli_data.py::test_cli_items"],
    "item-get": ["test_cli_data.py::test_cli_items"],
    "item-types": ["test_cli_data.py::test_cli_items"],
    "search": ["test_cli_data.py::test_cli_search"],
    "search-create": SEARCH_COMMANDS,
    "search-delete": SEARCH_COMMANDS,
    "search-get": SEARCH_COMMANDS,
    "search-list": SEARCH_COMMANDS,
    "search-run": SEARCH_COMMANDS,
    "search-update": SEARCH_COMMANDS,
    "stats": ["test_cli_data.py::test_cli_stats"],
}

ORDERS_COMMANDS = {
    "bundles": ["test_cli_orders.py::test_cli_names"],
    "cancel": ["test_cli_orders.py::test_cli_cancel"],
    "create": ["test_cli_orders.py::test_cli_order_from_request_to_checksum"],
    "download": ["test_cli_orders.py::test_cli_order_from_request_to_checksum"],
    "get": ["test_cli_orders.py::test_cli_order_from_request_to_checksum"],
    "item-types": ["test_cli_orders.py::test_cli_names"],
    "list": ["test_cli_orders.py::test_cli_list"],
    "request": ["test_cli_orders.py::test_cli_request_options"],
    "wait": ["test_cli_orders.py::test_cli_wait_for_a_state_and_for_too_long"],
}

STATUSES = ["test_sdk_errors.py::test_every_status_has_its_exception"]
EXCEPTIONS = {
    "APIError": STATUSES,
    "BadGateway": STATUSES,
    "BadQuery": ["test_sdk_errors.py::test_bad_query_for_a_malformed_filter"],
    "ClientError": ["test_sdk_orders.py::test_get_order_refuses_a_bad_id_before_asking"],
    "Conflict": ["test_sdk_errors.py::test_conflict_at_the_concurrency_limit"],
    "FeatureError": ["test_sdk_errors.py::test_client_errors_of_geometry"],
    "GeoJSONError": ["test_sdk_errors.py::test_client_errors_of_geometry"],
    "InvalidAPIKey": ["test_sdk_errors.py::test_invalid_api_key"],
    "MissingResource": ["test_sdk_errors.py::test_missing_resource"],
    "NoPermission": ["test_sdk_errors.py::test_no_permission_over_quota"],
    "PagingError": ["test_sdk_errors.py::test_paging_error_for_a_cycle"],
    "PlanetError": ["test_sdk_auth.py::test_empty_key_is_refused"],
    "ServerError": STATUSES,
    "TooManyRequests": ["test_sdk_errors.py::test_too_many_requests_beyond_three_orders_a_second"],
}
# Declared by the SDK and raised nowhere in it.
NEVER_RAISED = {"InvalidIdentity", "OverQuota"}


def public(names: Iterable[str]) -> set[str]:
    return {name for name in names if not name.startswith("_")}


def functions(owner: type | ModuleType) -> set[str]:
    """Names of the public functions a class or module defines itself."""
    home = owner.__name__ if isinstance(owner, ModuleType) else owner.__module__
    members = inspect.getmembers(owner, inspect.isfunction)
    return public(name for name, member in members if member.__module__ == home)


CASES = {
    "DataClient": (functions(DataClient), DATA_CLIENT),
    "OrdersClient": (functions(OrdersClient), ORDERS_CLIENT),
    "data_filter": (functions(data_filter), FILTERS),
    "order_request": (functions(order_request), BUILDERS),
    "planet data": (set(data_commands.commands), DATA_COMMANDS),
    "planet orders": (set(orders_commands.commands), ORDERS_COMMANDS),
    "exceptions": (
        public(name for name, _ in inspect.getmembers(exceptions, inspect.isclass)) - NEVER_RAISED,
        EXCEPTIONS,
    ),
}


def words_of(node_id: str) -> set[str]:
    """Words of a test and of its module beside the tests."""
    file, _, test = node_id.partition("::")
    nodes = {getattr(node, "name", str(node)): node for node in ast.parse((HERE / file).read_text()).body}
    assert test in nodes, f"{file} has no {test}"
    used = [node for name, node in nodes.items() if name == test or not name.startswith("test_")]
    return set(re.findall(r"[\w-]+", "\n".join(ast.unparse(node) for node in used)))


@pytest.mark.parametrize("owner", CASES)
def test_every_public_name_has_a_test(owner: str) -> None:
    found, named = CASES[owner]
    assert found
    assert found == set(named), "the mapping and the SDK differ"


@pytest.mark.parametrize("owner", CASES)
def test_every_named_test_exists_and_uses_the_name(owner: str) -> None:
    for name, tests in CASES[owner][1].items():
        assert tests, name
        assert any(name in words_of(test) for test in tests), f"{name} occurs in none of {tests}"
        for test in tests:
            words_of(test)

from __future__ import annotations

import json

import pytest

from planet_provider.client.states import (
    AssetStatus,
    OrderState,
    asset_status,
    order_state,
)
from planet_provider.exceptions import UnknownStateError


@pytest.mark.parametrize(
    ("state", "final", "results", "lost"),
    [
        ("queued", False, False, False),
        ("running", False, False, False),
        ("success", True, True, False),
        ("partial", True, True, False),
        ("failed", True, False, True),
        ("cancelled", True, False, True),
    ],
)
def test_what_each_state_means(state: str, final: bool, results: bool, lost: bool) -> None:
    known = order_state(state)
    assert (known.is_final, known.has_results, known.is_lost) == (final, results, lost)
    assert order_state(known) is known
    assert f"{known}" == str(known) == state
    assert json.dumps(known) == f'"{state}"'


def test_the_table_is_complete() -> None:
    assert [str(state) for state in OrderState] == [
        *("queued", "running", "success", "partial", "failed", "cancelled"),
    ]
    assert [str(status) for status in AssetStatus] == ["inactive", "activating", "active"]


@pytest.mark.parametrize("value", ["archived", "SUCCESS", "", None, 7, ["queued"]])
def test_unknown_states_are_errors(value: object) -> None:
    with pytest.raises(UnknownStateError, match="queued, running, success, partial") as caught:
        order_state(value)
    assert repr(value) in str(caught.value)
    with pytest.raises(UnknownStateError, match="inactive, activating, active"):
        asset_status(value)


def test_asset_statuses() -> None:
    assert asset_status("active") is AssetStatus.ACTIVE
    assert f"{asset_status('activating')}" == "activating"

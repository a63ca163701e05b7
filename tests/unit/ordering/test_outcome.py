from __future__ import annotations

import json
from typing import Any

import pytest

from planet_provider.client.states import OrderState
from planet_provider.exceptions import (
    OrderCancelledError,
    OrderError,
    OrderFailedError,
    OrderPartialError,
    UnknownStateError,
)
from planet_provider.ordering.outcome import (
    check_outcome,
    described,
    is_reached,
    summary,
)

API = "https://api.planet.com"
ORDER_ID = "f05b1ed7-11f0-43da-960c-a624f7c355c8"


def result(name: str, **fields: Any) -> dict[str, Any]:
    link = "https://api.planet.com/compute/ops/download/?token=s3cr3t"
    return {"name": f"{ORDER_ID}/{name}", "location": link, "delivery": "success", **fields}


def order(state: str = "success", **fields: Any) -> dict[str, Any]:
    return {
        "id": ORDER_ID,
        "name": "weekly [0123456789ab]",
        "state": state,
        "created_on": "2021-02-03T01:40:08.332Z",
        "last_modified": "2021-02-03T01:43:31.015Z",
        "last_message": "Manifest delivery completed",
        "error_hints": [],
        "products": [
            {"item_type": "PSScene", "item_ids": ["a_1", "b_2"]},
            {"item_type": "SkySatScene", "item_ids": ["c_3"]},
        ],
        "delivery": {"amazon_s3": {"bucket": "b"}},
        "_links": {"results": [result("PSScene/a_1_3B_Visual.tif"), result("SkySatScene/c_3.json")]},
        **fields,
    }


class TestSummary:
    def test_is_plain_and_without_links(self) -> None:
        short = summary(order(error_hints=["see https://s/x?token=s3cr3t"]))
        assert short == {
            "order_id": ORDER_ID,
            "name": "weekly [0123456789ab]",
            "state": "success",
            "created_on": "2021-02-03T01:40:08.332Z",
            "last_modified": "2021-02-03T01:43:31.015Z",
            "last_message": "Manifest delivery completed",
            "error_hints": ["see https://s/x?token=***"],
            "items": 3,
            "results": 2,
            "missing": [],
        }
        assert "s3cr3t" not in json.dumps(short)
        assert type(short["state"]) is str

    @pytest.mark.parametrize(
        ("links", "results"), [(None, None), ({}, None), ({"results": None}, None), ({"results": []}, 0)]
    )
    def test_results_may_be_missing(self, links: Any, results: int | None) -> None:
        assert summary(order(_links=links))["results"] == results

    def test_of_the_least_that_planet_says(self) -> None:
        short = summary({"id": ORDER_ID, "state": "queued"})
        assert (short["items"], short["error_hints"], short["last_message"]) == (0, [], "")

    def test_a_partial_order_tells_what_it_lacks(self) -> None:
        assert summary(order("partial"))["missing"] == [{"item_type": "PSScene", "item_ids": ["b_2"]}]
        failed = [result("PSScene/b_2.tif", delivery="failed"), result("PSScene/a_12.tif")]
        assert summary(order("partial", _links={"results": failed}))["missing"] == [
            {"item_type": "PSScene", "item_ids": ["a_1", "b_2"]},
            {"item_type": "SkySatScene", "item_ids": ["c_3"]},
        ]

    def test_unknown_states(self) -> None:
        with pytest.raises(UnknownStateError):
            summary(order("archived"))


@pytest.mark.parametrize(
    ("state", "reached_by"),
    [
        (None, {"success", "partial", "failed", "cancelled"}),
        ("queued", {"queued", "running", "success", "partial", "failed", "cancelled"}),
        ("running", {"running", "success", "partial", "failed", "cancelled"}),
        ("success", {"success", "partial", "failed", "cancelled"}),
        ("cancelled", {"success", "partial", "failed", "cancelled"}),
    ],
)
def test_when_a_wait_is_over(state: str | None, reached_by: set[str]) -> None:
    awaited = None if state is None else OrderState(state)
    assert {one.value for one in OrderState if is_reached(one, awaited)} == reached_by


class TestOutcome:
    @pytest.mark.parametrize("state", ["success", "queued", "running"])
    def test_good_ones(self, state: str) -> None:
        check_outcome(summary(order(state)), API)

    @pytest.mark.parametrize(
        ("state", "kind", "advice"),
        [
            ("failed", OrderFailedError, "Correct what the hints name"),
            ("cancelled", OrderCancelledError, "Somebody cancelled it"),
            ("partial", OrderPartialError, "allow_partial=True"),
        ],
    )
    def test_bad_ones(self, state: str, kind: type[OrderError], advice: str) -> None:
        ended = order(state, error_hints=["no access to a"], last_message="it is over.")
        with pytest.raises(kind) as caught:
            check_outcome(summary(ended), API)
        error = caught.value
        assert f"Order {ORDER_ID} ended as {state}: no access to a; it is over. " in str(error)
        assert advice in str(error)
        assert str(error).endswith(f"https://www.planet.com/account/#/orders/{ORDER_ID}")
        assert (error.order_id, error.state, error.hints) == (
            ORDER_ID,
            state,
            ("no access to a", "it is over."),
        )

    def test_without_a_reason(self) -> None:
        with pytest.raises(OrderFailedError, match="Planet gave no reason"):
            check_outcome(summary(order("failed", last_message=None)), API)

    def test_partial_where_allowed(self) -> None:
        check_outcome(summary(order("partial")), API, allow_partial=True)
        with pytest.raises(OrderFailedError):
            check_outcome(summary(order("failed")), API, allow_partial=True)

    def test_awaited_states(self) -> None:
        check_outcome(summary(order("cancelled")), API, awaited=OrderState.CANCELLED)
        check_outcome(summary(order("failed")), API, awaited=OrderState.FAILED)
        check_outcome(summary(order("success")), API, awaited=OrderState.RUNNING)
        with pytest.raises(OrderFailedError, match="ended as failed, not running"):
            check_outcome(summary(order("failed")), API, awaited=OrderState.RUNNING)
        with pytest.raises(
            OrderError, match=r"ended as success, not cancelled.*which state the task"
        ) as caught:
            check_outcome(summary(order()), API, awaited=OrderState.CANCELLED)
        assert type(caught.value) is OrderError


def test_equal_hints_are_counted_and_the_message_is_bounded() -> None:
    ended = summary(order("failed", error_hints=["no such band"] * 400, last_message="Order failed"))
    with pytest.raises(OrderFailedError, match=r"ended as failed: no such band \(400 times\)\. ") as caught:
        check_outcome(ended, API)
    assert len(str(caught.value)) < 400
    assert "Order failed" not in str(caught.value)


def test_what_xcoms_and_errors_hold_of_planets_words_is_bounded() -> None:
    texts = [f"{number}: {'x' * 1000}" for number in range(400)]
    ended = summary(order("failed", error_hints=texts, last_message="y" * 5000))
    assert ended["error_hints"][-1] == "and 390 more"
    assert len(json.dumps(ended)) < 5000
    with pytest.raises(OrderFailedError) as caught:
        check_outcome(ended, API)
    assert caught.value.hints == (*ended["error_hints"], ended["last_message"])
    assert len(str(caught.value)) < 5000


@pytest.mark.parametrize(
    ("message", "shown"), [("Order failed", "failed"), ("", "failed"), ("No credit.", "failed: No credit")]
)
def test_a_message_that_repeats_the_state_is_left_out(message: str, shown: str) -> None:
    assert described(summary(order("failed", last_message=message))) == shown

"""Saved searches: a name stands for one, whatever gets lost on the way."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from client_support import ANY, NO_ORDER, Connect, session_of
from planet_provider.builders import filters
from planet_provider.client.api import data
from planet_provider.client.api.saved_searches import find_searches, save_search
from planet_provider.client.http.session import PlanetSession
from planet_provider.exceptions import (
    InvalidInputError,
    NotFoundError,
    ServerError,
    TransportError,
    UnexpectedResponseError,
)
from planet_provider.sandbox import Fault, Sandbox

pytestmark = pytest.mark.planet_sandbox(rate_limits=False)

SEARCH_ID = NO_ORDER.replace("-", "")
CLEAR = filters.range_filter("cloud_cover", lte=0.1)
POST = {"method": "POST", "path": "/searches$"}


@pytest.fixture
def session(planet_sandbox: Sandbox) -> Iterator[PlanetSession]:
    with session_of(planet_sandbox, max_attempts=2) as opened:
        yield opened


def names(session: PlanetSession) -> list[str]:
    listed = session.pages(data.list_searches(search_type="saved", sort="created asc"))
    return [search["name"] for page in listed for search in page]


@pytest.mark.guide("search-saved-create")
@pytest.mark.guide("search-saved-update")
def test_created_then_unchanged_then_updated(session: PlanetSession) -> None:
    first = save_search(session, "weekly", ["PSScene"], ANY)
    again = save_search(session, "weekly", ["PSScene"], ANY)
    other = save_search(session, "monthly", ["PSScene"], ANY)
    changed = save_search(session, "weekly", ["SkySatCollect"], CLEAR, enable_email=True)
    assert [one.action for one in (first, again, other, changed)] == [
        "created",
        "unchanged",
        "created",
        "updated",
    ]
    assert first.id == again.id == changed.id != other.id
    kept = session.send(data.get_search(first.id))
    assert (kept["item_types"], kept["filter"]) == (["SkySatCollect"], CLEAR)
    assert kept["__daily_email_enabled"] is True
    assert names(session) == ["weekly", "monthly"]


def test_quick_searches_of_the_same_name_are_none(session: PlanetSession) -> None:
    session.send(data.quick_search(["PSScene"], ANY, name="weekly"))
    assert save_search(session, "weekly", ["PSScene"], ANY).action == "created"


@pytest.mark.parametrize(
    "fault",
    [Fault(kind="drop_after", **POST), Fault(kind="delay", seconds=600.0, **POST)],
    ids=lambda f: f.kind,
)
def test_a_lost_answer_makes_no_second_one(planet_sandbox: Sandbox, fault: Fault) -> None:
    planet_sandbox.faults.add(fault)
    with session_of(planet_sandbox, timeout=5.0) as session:
        saved = save_search(session, "weekly", ["PSScene"], ANY)
        assert names(session) == ["weekly"]
        assert session.send(data.get_search(saved.id))["name"] == "weekly"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(kind="drop", **POST), TransportError),
        (Fault(kind="status", status=503, **POST), ServerError),
    ],
    ids=["drop", "503"],
)
def test_what_was_not_saved_is_an_error(
    planet_sandbox: Sandbox, session: PlanetSession, fault: Fault, error: type[Exception]
) -> None:
    planet_sandbox.faults.add(fault)
    with pytest.raises(error):
        save_search(session, "weekly", ["PSScene"], ANY)
    assert names(session) == []
    assert save_search(session, "weekly", ["PSScene"], ANY).action == "created"


def test_where_it_cannot_be_found_out_the_first_error_stays(
    planet_sandbox: Sandbox, session: PlanetSession
) -> None:
    planet_sandbox.faults.add(Fault(kind="drop_after", **POST))
    planet_sandbox.faults.add(Fault(kind="status", method="GET", status=503, skip=1, times=None))
    with pytest.raises(TransportError, match="POST /data/v1/searches"):
        save_search(session, "weekly", ["PSScene"], ANY)
    planet_sandbox.faults.clear()
    assert save_search(session, "weekly", ["PSScene"], ANY).action == "unchanged"


def test_of_several_the_oldest_counts(session: PlanetSession, caplog: pytest.LogCaptureFixture) -> None:
    ids = [session.send(data.create_search("weekly", ["PSScene"], ANY))["id"] for _ in range(3)]
    with caplog.at_level(logging.WARNING):
        assert save_search(session, "weekly", ["PSScene"], CLEAR).id == ids[0]
    assert "3 saved searches are named 'weekly'" in caplog.text
    assert all(one in caplog.text for one in ids[1:])
    assert len(find_searches(session, "weekly")) == 3


def test_one_that_goes_meanwhile_is_made_again(planet_sandbox: Sandbox, session: PlanetSession) -> None:
    first = save_search(session, "weekly", ["PSScene"], ANY)
    planet_sandbox.faults.add(Fault(kind="status", method="PUT", status=404))
    second = save_search(session, "weekly", ["PSScene"], CLEAR)
    assert (second.action, second.id != first.id) == ("created", True)


def test_at_the_same_time_it_is_saved_once(planet_sandbox: Sandbox) -> None:
    # Each list is answered late, so that without taking turns all would see that there is none.
    planet_sandbox.faults.add(Fault(kind="delay", method="GET", path="/searches", seconds=0.2, times=None))
    found: list[str] = []

    def save() -> None:
        with session_of(planet_sandbox) as session:
            found.append(save_search(session, "weekly", ["PSScene"], ANY).id)

    threads = [threading.Thread(target=save) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 4
    assert len(set(found)) == 1


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("", ["PSScene"], ANY), "name"),
        (("weekly", [], ANY), "item_types"),
        (("weekly", ["PSScene"], "all"), "search_filter"),
    ],
)
def test_bad_input(
    planet_sandbox: Sandbox, session: PlanetSession, arguments: tuple[Any, ...], field: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        save_search(session, *arguments)
    assert caught.value.field == field
    assert planet_sandbox.requests == []


@pytest.mark.guide("search-saved-delete")
@pytest.mark.parametrize("kind", ["drop_after", "delay"])
def test_a_delete_whose_answer_was_lost_is_done(planet_sandbox: Sandbox, connect: Connect, kind: Any) -> None:
    client = connect(planet_sandbox, timeout=5.0)
    search_id = client.send(data.create_search("weekly", ["PSScene"], ANY))["id"]
    planet_sandbox.faults.add(Fault(kind=kind, method="DELETE", seconds=600.0))
    assert client.send(data.delete_search(search_id)) is None
    deletes = [one.status for one in planet_sandbox.requests if one.method == "DELETE"]
    assert deletes[-1] == 404
    with pytest.raises(NotFoundError):
        client.send(data.get_search(search_id))


def test_a_delete_answered_with_an_error_after_it_was_done(planet_sandbox: Sandbox, connect: Connect) -> None:
    client = connect(planet_sandbox)
    planet_sandbox.faults.add(Fault(kind="status", method="DELETE", status=502))
    assert client.send(data.delete_search(SEARCH_ID)) is None


@pytest.mark.parametrize("status", [None, 429])
def test_deleting_what_never_was_is_an_error(
    planet_sandbox: Sandbox, connect: Connect, status: int | None
) -> None:
    """Also at a repetition, where the first attempt surely was not carried out."""
    client = connect(planet_sandbox)
    if status is not None:
        headers = {"Retry-After": "0"}
        planet_sandbox.faults.add(Fault(kind="status", method="DELETE", status=status, headers=headers))
    with pytest.raises(NotFoundError):
        client.send(data.delete_search(SEARCH_ID))


def test_only_deletes_take_not_found_for_done(planet_sandbox: Sandbox, connect: Connect) -> None:
    planet_sandbox.faults.add(Fault(kind="drop_after", method="GET"))
    with pytest.raises(NotFoundError):
        connect(planet_sandbox).send(data.get_search(SEARCH_ID))


@pytest.mark.parametrize("call", [data.list_searches(), data.get_search(SEARCH_ID)], ids=["list", "get"])
@pytest.mark.parametrize("body", ['{"searches": [{"id": 5}]}', '{"searches": [7]}', "[]"])
def test_searches_that_are_none(planet_sandbox: Sandbox, connect: Connect, call: Any, body: str) -> None:
    planet_sandbox.faults.add(Fault(kind="status", status=200, body=body))
    with pytest.raises(UnexpectedResponseError):
        connect(planet_sandbox).pages(call)


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: data.list_searches(search_type="mine"), "search_type"),  # type: ignore[arg-type]
        (lambda: data.list_searches(sort="published desc"), "sort"),  # type: ignore[arg-type]
        (lambda: data.coverage("PSScene", "a", {}, mode="guess"), "mode"),
        (lambda: data.coverage("PSScene", "a", {}, band=""), "band"),
    ],
)
def test_parameters_that_are_refused(build: Any, field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        build()
    assert caught.value.field == field


@pytest.mark.guide("search-saved-list")
def test_lists_by_kind_and_age(session: PlanetSession) -> None:
    for name in ("a", "b"):
        session.send(data.create_search(name, ["PSScene"], ANY))
    session.send(data.quick_search(["PSScene"], ANY, name="q"))

    def listed(**filters: Any) -> list[str]:
        pages = session.pages(data.list_searches(page_size=1, **filters))
        return [search["name"] for page in pages for search in page]

    assert listed() == ["q", "b", "a"]
    assert listed(sort="created asc") == ["a", "b", "q"]
    assert listed(search_type="saved") == ["b", "a"]
    assert listed(search_type="quick") == ["q"]


@pytest.mark.guide("item-coverage")
def test_coverage_by_mode_and_band(planet_sandbox: Sandbox, session: PlanetSession) -> None:
    item = session.send(data.quick_search(["PSScene"], ANY, page_size=1))[0]
    for mode, band in ((None, None), ("udm2", "cloud"), ("estimate", None)):
        covered = session.send(data.coverage("PSScene", item["id"], item["geometry"], mode=mode, band=band))
        assert covered["status"] == "complete"
    queries = [dict(one.query) for one in planet_sandbox.requests if one.path.endswith("/coverage")]
    assert queries == [{}, {"mode": "UDM2", "band": "cloud"}, {"mode": "estimate"}]

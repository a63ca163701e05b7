"""New imagery at Planet: told of once, in batches, through outages and restarts, without holding up the loop."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from airflow.triggers.base import BaseEventTrigger
from airflow_support import AOI, CONNECTION, Connect, revived

from planet_provider.builders import filters
from planet_provider.exceptions import InvalidInputError, UnexpectedResponseError
from planet_provider.hooks.planet import PlanetHook
from planet_provider.operators.orders import PlanetCreateOrderOperator
from planet_provider.sandbox import Fault, Sandbox
from planet_provider.triggers import imagery
from planet_provider.triggers.imagery import PlanetImageryTrigger
from planet_provider.triggers.imagery_state import ImageryState, moment, stamp

SEARCH = "/data/v1/quick-search"
DAY = timedelta(days=1)
#: CPU seconds that the event loop may be at work in one turn; Airflow warns of 0.2.
LONGEST_TURN = 0.1
ROUNDS = 5

Batch = dict[str, Any]


class FakeStore:
    """An asset's state store, as Airflow 3.3 gives it to a trigger: plain JSON by key.

    :param failing: How many of the next requests fail.
    """

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.failing = 0

    async def aget(self, key: str, default: Any = None) -> Any:
        self._answer()
        return json.loads(self.values[key]) if key in self.values else default

    async def aset(self, key: str, value: Any) -> None:
        self._answer()
        self.values[key] = json.dumps(value)

    def _answer(self) -> None:
        if self.failing:
            self.failing -= 1
            raise RuntimeError("the API server doesn't answer")

    @property
    def state(self) -> dict[str, Any]:
        [value] = self.values.values()
        state: dict[str, Any] = json.loads(value)
        return state


class Watch:
    """A running trigger, and what it told of."""

    def __init__(self, trigger: PlanetImageryTrigger, store: Any) -> None:
        self.trigger = trigger
        if store is not None:
            trigger.asset_state_store = store
        self.batches: list[Batch] = []
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async for event in self.trigger.run():
            assert json.loads(json.dumps(event.payload)) == event.payload, "an event is plain JSON"
            self.batches.append(event.payload)

    @property
    def items(self) -> list[str]:
        return [item_id for batch in self.batches for item_id in batch["item_ids"]]

    async def until(self, condition: Callable[[], bool], seconds: float = 120.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if self.task.done():
                self.task.result()
                pytest.fail("the trigger returned")
            assert time.monotonic() < deadline, "it did not happen"
            await asyncio.sleep(0.01)

    async def told(self, items: set[str]) -> None:
        await self.until(lambda: set(self.items) >= items)


@asynccontextmanager
async def watching(store: Any = None, **given: Any) -> AsyncIterator[Watch]:
    """Run a trigger as a triggerer does, and cancel it."""
    values = {"item_types": ["PSScene"], "geometry": AOI, "poke_interval": 0.05, **given}
    watch = Watch(revived(PlanetImageryTrigger(**values)), store)
    try:
        yield watch
    finally:
        watch.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watch.task


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits that take a moment."""
    monkeypatch.setattr(imagery, "SETTLE_SECONDS", 0.01)
    monkeypatch.setattr(imagery, "FIRST_BACKOFF_SECONDS", 0.02)
    monkeypatch.setattr(imagery, "LONGEST_BACKOFF_SECONDS", 0.1)
    monkeypatch.setattr(imagery, "REFUSED_SECONDS", 0.1)


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    """After a watch: no task."""
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    assert asyncio.all_tasks() - before <= {asyncio.current_task()}


def ago(days: float) -> datetime:
    return datetime.now(timezone.utc) - days * DAY


def published(since: datetime, item_types: tuple[str, ...] = ("PSScene",), geometry: Any = AOI) -> list[Any]:
    """Return what the catalogue holds now, the earliest first."""
    wanted = filters.date_range_filter("published", gte=since)
    return list(PlanetHook().search(item_types, wanted, geometry=geometry, sort="published asc"))


async def catalogue(*given: Any, **more: Any) -> list[Any]:
    return await asyncio.to_thread(published, *given, **more)


def ids(items: list[Any]) -> set[str]:
    found = {item["id"] for item in items}
    assert found
    return found


def looks(planet: Sandbox) -> int:
    return sum(one.path == SEARCH for one in planet.requests)


async def more_looks(watch: Watch, planet: Sandbox, count: int = 3) -> None:
    seen = looks(planet)
    await watch.until(lambda: looks(planet) >= seen + count)


async def test_news_are_told_once_in_batches(planet: Sandbox) -> None:
    since = ago(6)
    there = await catalogue(since)
    async with watching(FakeStore(), published_since=since, max_items=4) as watch:
        await watch.told(ids(there))
        await more_looks(watch, planet)
        batches = watch.batches
    assert watch.items == [item["id"] for item in there]
    assert {batch["item_type"] for batch in batches} == {"PSScene"}
    assert [batch["count"] for batch in batches] == [len(batch["item_ids"]) for batch in batches]
    assert max(batch["count"] for batch in batches) == 4
    times = {item["id"]: moment(item["properties"]["published"]) for item in there}
    for batch in batches:
        told = [times[item_id] for item_id in batch["item_ids"]]
        assert (batch["published_from"], batch["published_to"]) == (stamp(min(told)), stamp(max(told)))


async def test_a_batch_is_what_an_order_takes(planet: Sandbox, runner: Any, ti: Any) -> None:
    async with watching(
        published_since=ago(3), search_filter=filters.asset_filter(["ortho_visual"])
    ) as watch:
        await watch.until(lambda: bool(watch.batches))
    order = PlanetCreateOrderOperator(
        task_id="order", name="new", product_bundle="visual", items=watch.batches[0]
    )
    order_id = await asyncio.to_thread(runner.run, order, ti)
    [product] = planet.orders[order_id]["products"]
    assert product["item_ids"] == watch.batches[0]["item_ids"]


async def test_what_is_published_while_it_watches(planet: Sandbox) -> None:
    begin = ago(0)
    async with watching(FakeStore()) as watch:
        await more_looks(watch, planet, 2)
        assert watch.batches == []
        for _ in range(2):
            planet.clock.advance(DAY.total_seconds())
            await watch.told(ids(await catalogue(begin)))
        await more_looks(watch, planet)
    assert sorted(watch.items) == sorted(ids(await catalogue(begin)))


async def test_each_item_type_has_batches_of_its_own(planet: Sandbox) -> None:
    since, kinds = ago(30), ("PSScene", "SkySatCollect")
    there = await catalogue(since, kinds, None)
    many = len(there)
    assert {item["properties"]["item_type"] for item in there} == set(kinds)
    async with watching(item_types=kinds, geometry=None, published_since=since, max_items=200) as watch:
        await watch.until(lambda: len(watch.items) >= many)
        await more_looks(watch, planet)
    told = {(batch["item_type"], item_id) for batch in watch.batches for item_id in batch["item_ids"]}
    assert told == {(item["properties"]["item_type"], item["id"]) for item in there}
    assert len(watch.items) == many


async def test_what_the_search_knows_of_late_is_told_of(planet: Sandbox) -> None:
    since = ago(3)
    there = await catalogue(since)
    late = there[len(there) // 2]
    without = {"_links": {}, "features": [item for item in there if item is not late]}
    planet.faults.add(Fault(kind="status", status=200, path=SEARCH, body=json.dumps(without)))
    async with watching(FakeStore(), published_since=since, overlap=3 * 86_400) as watch:
        await watch.told(ids(there))
        await more_looks(watch, planet)
    assert watch.batches[0]["item_ids"] == [item["id"] for item in without["features"]]
    assert watch.batches[1]["item_ids"] == [late["id"]]
    assert len(watch.batches) == 2, "what lies in the overlap is told of once"


async def test_old_acquisitions_can_be_left_out(planet: Sandbox) -> None:
    since = ago(60)
    there = await catalogue(since)
    recent = [item for item in there if moment(item["properties"]["acquired"]) > ago(2)]
    assert len(recent) < len(there)
    async with watching(published_since=since, max_age_days=2) as watch:
        await watch.told(ids(recent))
        await more_looks(watch, planet)
    assert set(watch.items) == ids(recent)


async def test_a_restarted_triggerer_goes_on(planet: Sandbox) -> None:
    since, store = ago(3), FakeStore()
    there = await catalogue(since)
    async with watching(store, published_since=since) as first:
        await first.told(ids(there))
        await first.until(lambda: store.state["pending"] == [])
    planet.clock.advance(DAY.total_seconds())
    fresh = ids(await catalogue(since)) - ids(there)
    assert fresh
    async with watching(store, published_since=since) as second:
        await second.told(fresh)
        await more_looks(second, planet)
    assert sorted(second.items) == sorted(fresh)


async def test_a_watch_begins_once_and_not_at_each_start(planet: Sandbox) -> None:
    begin, store = ago(0), FakeStore()
    async with watching(store) as first:
        await more_looks(first, planet)
    planet.clock.advance(DAY.total_seconds())
    expected = ids(await catalogue(begin))
    [(key, value)] = store.values.items()
    assert moment(json.loads(value)["since"]) >= begin
    async with watching(store) as second:
        await second.told(expected)
    assert second.items
    assert list(store.values) == [key]
    assert store.state["since"] <= second.batches[0]["published_from"]


async def test_an_event_that_may_not_have_arrived_is_repeated_as_it_was(
    planet: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    since, store = ago(3), FakeStore()
    there = await catalogue(since)
    with monkeypatch.context() as patched:
        patched.setattr(imagery, "SETTLE_SECONDS", 1000.0)
        async with watching(store, published_since=since, max_items=3) as killed:
            await killed.until(lambda: bool(killed.batches))
    # Otherwise the batch would be another one, and so its order.
    planet.clock.advance(DAY.total_seconds())
    async with watching(store, published_since=since, max_items=5) as second:
        await second.told(ids(there))
        await more_looks(second, planet)
    assert second.batches[0] == killed.batches[0]
    assert len(second.items) == len(set(second.items))


async def test_without_a_state_store_each_start_begins_at_published_since(planet: Sandbox) -> None:
    since = ago(2)
    there = await catalogue(since)
    for _ in range(2):
        async with watching(published_since=since) as watch:
            await watch.told(ids(there))
            await more_looks(watch, planet)
        assert sorted(watch.items) == sorted(ids(there))


async def test_an_outage_is_waited_out_and_logged_once(
    planet: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    since = ago(3)
    there = await catalogue(since)
    planet._state.recorder.clear()
    planet.faults.add(Fault(kind="status", status=503, path=SEARCH, times=6))
    planet.faults.add(Fault(kind="drop", path=SEARCH, times=4))
    async with watching(FakeStore(), published_since=since) as watch:
        await watch.told(ids(there))
        await more_looks(watch, planet)
    assert sorted(watch.items) == sorted(ids(there))
    messages = [one.getMessage() for one in caplog.records if "look for new imagery" in one.getMessage()]
    assert len(messages) == 2, messages
    assert "can't look for new imagery now" in messages[0]
    assert "can look for new imagery again" in messages[1]


async def test_a_refused_credential_is_waited_out_until_it_is_mended(
    planet: Sandbox, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    since = ago(3)
    there = await catalogue(since)
    connect({"password": "PLAK-which-nobody-knows"})
    async with watching(FakeStore(), published_since=since) as watch:
        await more_looks(watch, planet, 4)
        assert watch.batches == []
        connect()
        await watch.told(ids(there))
    errors = [one.getMessage() for one in caplog.records if one.name == imagery.log.name]
    errors = [one for one in errors if "can't" in one]
    assert len(errors) == 1
    assert "waiting won't fix it" in errors[0]
    assert "PLAK" not in caplog.text


async def test_a_connection_that_comes_later(
    planet: Sandbox, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = await catalogue(since := ago(3))
    monkeypatch.delenv(CONNECTION)
    async with watching(published_since=since) as watch:
        await watch.until(lambda: watch.trigger._failures >= 3)
        connect()
        await watch.told(ids(there))


async def test_an_odd_item_hides_no_other_and_is_logged_once(
    planet: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    good = (await catalogue(since := ago(3)))[0]
    odd = [
        {"id": f"odd{at}", "properties": {"item_type": "PSScene", "published": at}}
        for at in (None, 7, "soon")
    ]
    rows = [None, 7, {}, {"id": "bare"}, {"id": "null", "properties": None}, *odd, good]
    broken = {"_links": {}, "features": rows}
    planet.faults.add(Fault(kind="status", status=200, path=SEARCH, body=json.dumps(broken), times=None))
    async with watching(published_since=since) as watch:
        await watch.told({good["id"]})
        await more_looks(watch, planet)
    said = [one.getMessage() for one in caplog.records]
    for item_id in ("bare", "null", "oddsoon"):
        assert sum(f"skips the item {item_id}," in line for line in said) == 1


async def test_a_state_store_that_fails_loses_and_repeats_nothing(planet: Sandbox) -> None:
    since, store = ago(6), FakeStore()
    there = await catalogue(since)
    store.failing = 4  # the first of all: it must not start over
    async with watching(store, published_since=since, max_items=4) as watch:
        await watch.until(lambda: bool(watch.batches))
        store.failing = 5
        await watch.told(ids(there))
        await more_looks(watch, planet)
        assert store.failing == 0
    assert watch.items == [item["id"] for item in there]


async def test_a_state_that_is_not_understood_is_not_thrown_away(
    planet: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    since, store = ago(3), FakeStore()
    there = await catalogue(since)
    async with watching(store, published_since=since) as first:
        await first.told(ids(there))
    [key] = store.values
    kept = store.values[key] = json.dumps({"watermark": "2024-05-01T00:00:00Z", "of": "another version"})
    async with watching(store, published_since=since) as second:
        await second.until(lambda: second.trigger._failures >= 3)
        assert second.batches == []
        assert store.values == {key: kept}
        assert caplog.text.count("delete that key, and the watch starts over") == 1
        assert key in caplog.text
        del store.values[key]
        await second.told(ids(there))


async def test_one_trigger_of_several_assets_keeps_its_state_in_each(planet: Sandbox) -> None:
    class Accessors(FakeStore):
        """Refuses to be used without a subscript, as Airflow's does for several assets."""

        def __init__(self, **stores: FakeStore) -> None:
            super().__init__()
            self.failing = 10_000
            self._by_name = stores

    there = await catalogue(since := ago(3))
    one, other = FakeStore(), FakeStore()
    async with watching(Accessors(one=one, other=other), published_since=since) as watch:
        await watch.told(ids(there))
        await watch.until(lambda: one.values == other.values and one.state["pending"] == [])
    other.values.clear()  # an asset that came later
    async with watching(Accessors(one=one, other=other), published_since=since) as watch:
        await more_looks(watch, planet)
        assert watch.batches == []


async def test_several_watches_of_one_asset_have_states_of_their_own(planet: Sandbox) -> None:
    store, since = FakeStore(), ago(3)
    clear = filters.range_filter("cloud_cover", lte=0.3)
    there = await catalogue(since)
    async with watching(store, published_since=since) as every:
        await every.told(ids(there))
    async with watching(store, published_since=since, search_filter=clear) as some:
        few = {item["id"] for item in there if item["properties"]["cloud_cover"] <= 0.3}
        assert few
        await some.told(few)
    assert len(store.values) == 2


@pytest.mark.parametrize("while_it", ["sleeps", "asks"])
async def test_it_can_be_cancelled(planet: Sandbox, while_it: str) -> None:
    if while_it == "asks":
        planet.faults.add(Fault(kind="delay", path=SEARCH, seconds=5.0))
    async with watching(poke_interval=1000.0) as watch:
        await watch.until(lambda: looks(planet) == 1)
        if while_it == "sleeps":
            await watch.until(lambda: planet.requests[-1].status == 200 and watch.trigger._state is not None)
    assert watch.task.cancelled()


async def test_the_loop_stays_free(planet: Sandbox) -> None:
    since = ago(45)
    many = len(await catalogue(since, ("PSScene",), None))
    assert many > 300
    longest: list[float] = []

    async def tick(turns: list[float]) -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            turns.append(-last + (last := time.thread_time()))

    # What blocks the loop does so in every round; imports and certificates do in the first one.
    while len(longest) < ROUNDS and min(longest, default=1.0) >= LONGEST_TURN:
        turns: list[float] = []
        async with watching(FakeStore(), geometry=None, published_since=since, max_items=2000) as watch:
            ticker = asyncio.create_task(tick(turns))
            await watch.until(lambda: len(watch.items) >= many)
            ticker.cancel()
        longest.append(max(turns))
    assert min(longest) < LONGEST_TURN


FULL = {
    "item_types": ["SkySatCollect", "PSScene"],
    "search_filter": filters.and_filter(filters.range_filter("cloud_cover", lte=0.5)),
    "geometry": AOI,
    "planet_conn_id": "planet_eu",
    "poke_interval": 60,
    "published_since": datetime(2026, 5, 1, 2, tzinfo=timezone(timedelta(hours=2))),
    "max_items": 100,
    "overlap": 600,
    "max_age_days": 30,
}


def test_its_arguments_survive_the_database_and_are_plain() -> None:
    path, kwargs = revived(PlanetImageryTrigger(**FULL)).serialize()
    assert path == "planet_provider.triggers.imagery.PlanetImageryTrigger"
    assert kwargs.keys() == FULL.keys()
    # No objects: some versions of Airflow hand those on wrapped.
    assert all(not isinstance(value, dict) for value in kwargs.values())
    assert kwargs["published_since"] == "2026-05-01T00:00:00Z"
    assert json.loads(kwargs["geometry"]) == AOI


def test_equal_triggers_hash_equal_and_others_do_not() -> None:
    def hashed(**given: Any) -> int:
        return BaseEventTrigger.hash(*PlanetImageryTrigger(**FULL | given).serialize())

    turned = {name: AOI[name] for name in reversed(AOI)}
    same = {
        "item_types": ("PSScene", "SkySatCollect"),
        "geometry": {"type": "Feature", "properties": {}, "geometry": turned},
        "poke_interval": 60.0,
        "published_since": "2026-05-01 00:00:00+00:00",
    }
    assert hashed(**same) == hashed()
    assert BaseEventTrigger.hash(*revived(PlanetImageryTrigger(**FULL)).serialize()) == hashed()
    assert hashed(search_filter=None) != hashed()
    assert hashed(max_items=99) != hashed()


def test_arguments_of_an_earlier_version_will_do() -> None:
    assert PlanetImageryTrigger(item_types=["PSScene"]).serialize()[1]["overlap"] == 3600.0


def test_a_geometry_file_is_read_where_the_dag_is_parsed(tmp_path: Any) -> None:
    file = tmp_path / "aoi.geojson"
    file.write_text(json.dumps(AOI))
    kwargs = PlanetImageryTrigger(item_types="PSScene", geometry=str(file)).serialize()[1]
    file.unlink()
    assert json.loads(kwargs["geometry"]) == AOI
    assert PlanetImageryTrigger(**kwargs).serialize()[1] == kwargs


BAD = {
    "item_types": [],
    "search_filter": {"type": "NoFilter", "config": []},
    "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1]]]},
    "planet_conn_id": "",
    "poke_interval": 0,
    "published_since": datetime(2026, 5, 1),
    "max_items": 2001,
    "overlap": -1,
    "max_age_days": 0,
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_told_where_the_dag_is_serialized(name: str) -> None:
    trigger = PlanetImageryTrigger(**FULL | {name: BAD[name]})  # never raises: it would end a triggerer
    with pytest.raises(InvalidInputError, match=name):
        trigger.serialize()


@pytest.mark.parametrize("name", BAD)
async def test_what_is_wrong_does_not_end_a_triggerer(
    planet: Sandbox, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    trigger = PlanetImageryTrigger(**FULL | {"poke_interval": 0.05, name: BAD[name]})
    watch = Watch(trigger, None)
    await watch.until(lambda: trigger._failures >= 3)
    watch.task.cancel()
    await asyncio.wait([watch.task])
    assert watch.task.cancelled()
    assert caplog.text.count("waiting won't fix it") == 1
    assert name in caplog.text
    assert looks(planet) == 0


def batch(published_to: datetime, *item_ids: str) -> Batch:
    return {
        "item_type": "PSScene",
        "item_ids": list(item_ids),
        "published_from": stamp(published_to),
        "published_to": stamp(published_to),
        "count": len(item_ids),
    }


def test_an_item_of_the_future_does_not_hide_what_comes_before_it() -> None:
    state = ImageryState(since=ago(3), watermark=ago(3), pending=[batch(ago(-400), "x")])
    state.told(timedelta(hours=1))
    assert state.watermark <= datetime.now(timezone.utc)
    assert state.known() == {("PSScene", "x")}


def test_an_overlap_that_reaches_back_behind_the_calendar() -> None:
    first = datetime.min.replace(tzinfo=timezone.utc)
    assert ImageryState(since=first, watermark=ago(3)).begin(timedelta.max) == first


def test_ages_and_overlaps_beyond_the_calendar() -> None:
    trigger = PlanetImageryTrigger(item_types=["PSScene"], max_age_days=10**400)
    assert trigger.serialize()[1]["max_age_days"] == 36_525
    with pytest.raises(InvalidInputError, match=r"overlap=1e\+308: must be 0 seconds or more, and"):
        PlanetImageryTrigger(item_types=["PSScene"], overlap=1e308).serialize()


def test_the_watermark_follows_the_servers_clock_and_not_this_hosts() -> None:
    state = ImageryState(since=ago(3), watermark=ago(3), pending=[batch(ago(1), "x")], server_time=ago(2))
    state.told(timedelta(hours=1))
    assert state.watermark == state.server_time


def test_a_parameter_of_a_newer_version_is_refused_in_a_dag_only() -> None:
    trigger = PlanetImageryTrigger(item_types=["PSScene"], pok_interval=3)
    with pytest.raises(InvalidInputError, match="pok_interval"):
        trigger.serialize()


def test_what_lies_behind_the_overlap_is_forgotten_and_not_looked_for_again() -> None:
    state = ImageryState(since=ago(9), watermark=ago(9))
    for days in (8, 2, 1):
        state.pending = [batch(ago(days), f"{days}")]
        state.told(timedelta(days=1.5))
    assert state.known() == {("PSScene", "2"), ("PSScene", "1")}
    begin = state.begin(timedelta(days=1.5))
    assert state.begin(timedelta(days=30)) == begin, "nor where the overlap grows"
    assert ImageryState.from_json(json.loads(json.dumps(state.to_json()))) == state


@pytest.mark.parametrize("value", [None, "", "yesterday", "2026-05-01T00:00:00", 5])
def test_what_is_no_time_of_publication(value: object) -> None:
    with pytest.raises(UnexpectedResponseError, match="time of publication"):
        moment(value)


def test_an_outage_is_asked_about_soon_at_first_and_then_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    trigger = PlanetImageryTrigger(item_types=["PSScene"], poke_interval=60)
    waits = []
    for _ in range(8):
        trigger._failed(UnexpectedResponseError("no page"))
        waits.append(trigger._backoff())
    assert 12 <= waits[0] <= 15
    assert all(96 <= one <= 120 for one in waits[4:])
    trigger._failed(InvalidInputError("item_types", [], "must not be empty."))
    assert trigger._backoff() == 900
    trigger._answered()
    trigger._failed(UnexpectedResponseError("no page"))
    assert trigger._backoff() <= 15

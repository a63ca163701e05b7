"""What is remembered of orders: whole, or taken for doubt, and never taken for "no order"."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from planet_provider.client.config import PlanetConfig
from planet_provider.coordination import journal as journals
from planet_provider.coordination.journal import (
    KEPT_SECONDS,
    FileJournal,
    MemoryJournal,
    Record,
    RedisJournal,
    decode,
    encode,
    open_journal,
    open_run_journal,
)
from planet_provider.exceptions import CoordinationStoreError
from planet_provider.ordering.notes import Note, Notes
from planet_provider.ordering.task_journal import TaskJournal

ORDER_ID = "f05b1ed7-11f0-43da-960c-a624f7c355c8"
KEY = "0123456789abcdef-0123456789ab-ba9876543210"


class TaskStore(dict[str, Any]):
    """Airflow's task state store, which takes no ``None``."""

    def set(self, key: str, value: Any) -> None:
        assert value is not None
        self[key] = value


@pytest.fixture
def journal(tmp_path: Path) -> FileJournal:
    return FileJournal(tmp_path / "orders")


@pytest.mark.parametrize("record", [Record(12.5), Record(12.5, ORDER_ID)])
class TestRoundTrip:
    def test_file(self, journal: FileJournal, tmp_path: Path, record: Record) -> None:
        assert journal.read(KEY) == []
        journal.write(KEY, record)
        assert FileJournal(tmp_path / "orders").read(KEY) == [record]
        journal.write(KEY, None)
        journal.write(KEY, None)
        assert journal.read(KEY) == []

    def test_memory(self, record: Record) -> None:
        journal = MemoryJournal()
        journal.write(KEY, record)
        assert (journal.read(KEY), journal.read("another")) == ([record], [])
        journal.write(KEY, None)
        assert journal.read(KEY) == []

    def test_journal(self, record: Record) -> None:
        task_store = TaskStore()
        TaskJournal(task_store).write(KEY, record)
        elsewhere = TaskJournal(task_store)
        assert elsewhere.read(KEY) == [record]
        assert elsewhere.read(KEY.replace("0123456789abcdef", "fedcba9876543210")) == [record], (
            "a renewed key"
        )
        assert elsewhere.read(KEY[:-1] + "x") == [], "an order of another name"
        elsewhere.write(KEY, None)
        assert TaskJournal(task_store).read(KEY) == []


def config_of(store: str) -> PlanetConfig:
    return PlanetConfig(api_key="PLAK-not-a-real-key", coordination_store=store)


class TestNotes:
    def test_a_runs_own_do_not_hide_what_twins_know(self, tmp_path: Path) -> None:
        """Which of both is the later can't be told where clocks differ."""
        task_store, config = TaskStore(), config_of(tmp_path.as_uri())
        Notes(config, KEY, task_store=task_store, run="dag/run_1").write(Record(2_000_000_000.0))
        twin = Notes(config, KEY, task_store=None, run="dag/run_2")
        twin.write(Record(1.0, ORDER_ID))
        assert twin.read() == [Note(Record(1.0, ORDER_ID), True), Note(Record(1.0, ORDER_ID), False)]
        mine = Notes(config, KEY, task_store=task_store, run="dag/run_1").read()
        assert mine == [Note(Record(2_000_000_000.0), True)] * 2 + [Note(Record(1.0, ORDER_ID), False)]

    def test_a_journal_that_fails_leaves_the_others_their_note(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Away(TaskStore):
            def get(self, key: str, default: Any = None) -> Any:
                raise ConnectionError("the API server is away")

            set = get

        config = config_of(tmp_path.as_uri())
        notes = Notes(config, KEY, task_store=Away(), run=None)
        notes.conclude(Record(1.0, ORDER_ID))
        assert "That order" in caplog.text
        own, shared = notes.read()
        assert (own.record.order_id, own.own) == (None, True), "a doubt"
        assert shared == Note(Record(1.0, ORDER_ID), False)
        with pytest.raises(
            CoordinationStoreError, match=r"task state store.*not placed without a note.*away"
        ):
            notes.write(Record(1.0))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "null",
        "[]",
        '"x"',
        "12",
        "{}",
        '{"at": 1}',
        '{"order_id": null}',
        '{"at": null, "order_id": null}',
        '{"at": NaN, "order_id": null}',
        '{"at": 1e999, "order_id": null}',
        '{"at": 1e300, "order_id": null}',
        '{"at": -1, "order_id": null}',
        '{"at": 1, "order_id": 7}',
        '{"at": 1, "order_id": ""}',
        '{"at": 1, "order_id": "../x"}',
        '{"at": 1' + "0" * 400 + ', "order_id": null}',
        encode(Record(1.0, ORDER_ID))[:-9],
        "\ufffd\x00",
    ],
)
class TestNotWhole:
    def test_is_a_doubt_of_now(self, content: str) -> None:
        before = time.time()
        record = decode(content)
        assert record.order_id is None
        assert before <= record.at <= time.time()

    def test_in_a_file(self, journal: FileJournal, tmp_path: Path, content: str) -> None:
        journal.write(KEY, Record(1.0))
        (tmp_path / "orders" / f"{KEY}.json").write_text(content, encoding="utf-8")
        [record] = journal.read(KEY)
        assert (record.order_id, record.at > 1.0) == (None, True)


def test_not_even_text(journal: FileJournal, tmp_path: Path) -> None:
    journal.write(KEY, Record(1.0))
    (tmp_path / "orders" / f"{KEY}.json").write_bytes(os.urandom(64))
    [record] = journal.read(KEY)
    assert record.order_id is None


@pytest.mark.parametrize("value", ["x", 5, [1], {"at": "x"}, {"at": 1}])
def test_a_journal_that_holds_something_else(value: object) -> None:
    task_store = TaskStore()
    journal = TaskJournal(task_store)
    journal.write(KEY, Record(1.0))
    [name] = task_store
    task_store[name] = value
    [record] = TaskJournal(task_store).read(KEY)
    assert record.order_id is None


def test_a_write_that_fails_leaves_the_old_record(
    journal: FileJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that was emptied by a full disk would read as if nothing had been placed."""
    journal.write(KEY, Record(1.0))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(
            CoordinationStoreError,
            match=r"orders: what becomes of an order can't be noted.*No space left on device.*room",
        ):
            journal.write(KEY, Record(2.0, ORDER_ID))
    assert journal.read(KEY) == [Record(1.0)]
    journal.write(KEY, Record(2.0, ORDER_ID))
    assert journal.read(KEY) == [Record(2.0, ORDER_ID)]


@pytest.mark.parametrize("record", [None, Record(1.0)])
def test_a_folder_that_is_none(tmp_path: Path, record: Record | None) -> None:
    (tmp_path / "orders").write_text("")
    journal = FileJournal(tmp_path / "orders")
    with pytest.raises(CoordinationStoreError, match="orders"):
        journal.write(KEY, record)
    [doubt] = journal.read(KEY)
    assert doubt.order_id is None


def test_records_are_for_their_owner(journal: FileJournal, tmp_path: Path) -> None:
    journal.write(KEY, Record(1.0))
    folder = tmp_path / "orders"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [file.stat().st_mode & 0o777 for file in folder.iterdir()] == [0o600]


def test_old_ones_are_forgotten(
    journal: FileJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.write("old", Record(1.0))
    journal.write("young", Record(1.0))
    leftover = tmp_path / "orders" / "killed.part"
    leftover.write_text("")
    aged = time.time() - KEPT_SECONDS - 60
    for file in (tmp_path / "orders" / "old.json", leftover):
        os.utime(file, (aged, aged))
    monkeypatch.setattr(journals, "SWEEPS", 1.0)
    journal.write(KEY, Record(1.0))
    assert {file.name for file in (tmp_path / "orders").iterdir()} == {"young.json", f"{KEY}.json"}


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("memory://", MemoryJournal),
        ("file:///some/where", FileJournal),
        ("redis://127.0.0.1:9/0", RedisJournal),
    ],
)
@pytest.mark.parametrize("opened", [open_journal, open_run_journal])
def test_by_its_url(opened: Any, url: str, kind: type) -> None:
    assert isinstance(opened(url), kind)


def test_what_runs_know_is_kept_as_long_as_planet_keeps_orders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "SWEEPS", 1.0)
    aged = time.time() - KEPT_SECONDS - 60
    for opened, left in ((open_journal, {"new.json"}), (open_run_journal, {"new.json", "old.json"})):
        journal = opened(tmp_path.as_uri())
        journal.write("old", Record(1.0))
        [file] = tmp_path.rglob("old.json") if len(left) == 1 else tmp_path.rglob("run-orders/old.json")
        os.utime(file, (aged, aged))
        journal.write("new", Record(1.0))
        assert {one.name for one in file.parent.iterdir()} == left


class TestRedisAway:
    URL = "redis://127.0.0.1:9/0"

    def test_reading_is_a_doubt(self) -> None:
        [record] = open_journal(self.URL).read(KEY)
        assert record.order_id is None
        assert time.time() - record.at < 60

    @pytest.mark.parametrize("record", [Record(1.0), None])
    def test_writing_is_an_error_with_the_remedy(self, record: Record | None) -> None:
        with pytest.raises(
            CoordinationStoreError, match=r"not placed without a note.*set the extra coordination_store"
        ):
            open_journal(self.URL).write(KEY, record)

    def test_what_it_remembers_is_not_guessed(self) -> None:
        with pytest.raises(CoordinationStoreError, match="how long it has been running"):
            open_journal(self.URL).remembers_seconds()

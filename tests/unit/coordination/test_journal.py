"""What is remembered of orders: whole, or taken for doubt, and never taken for "no order"."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from planet_provider.client.config import PlanetConfig
from planet_provider.coordination import journal as ledgers
from planet_provider.coordination.journal import (
    KEPT_SECONDS,
    FileLedger,
    MemoryLedger,
    Record,
    RedisLedger,
    decode,
    encode,
    open_ledger,
    open_run_ledger,
)
from planet_provider.exceptions import RateLimitStoreError
from planet_provider.ordering.notes import Note, Notes
from planet_provider.ordering.task_journal import JournalLedger

ORDER_ID = "f05b1ed7-11f0-43da-960c-a624f7c355c8"
KEY = "0123456789abcdef-0123456789ab-ba9876543210"


class Journal(dict[str, Any]):
    """Airflow's task state store, which takes no ``None``."""

    def set(self, key: str, value: Any) -> None:
        assert value is not None
        self[key] = value


@pytest.fixture
def ledger(tmp_path: Path) -> FileLedger:
    return FileLedger(tmp_path / "orders")


@pytest.mark.parametrize("record", [Record(12.5), Record(12.5, ORDER_ID)])
class TestRoundTrip:
    def test_file(self, ledger: FileLedger, tmp_path: Path, record: Record) -> None:
        assert ledger.read(KEY) == []
        ledger.write(KEY, record)
        assert FileLedger(tmp_path / "orders").read(KEY) == [record]
        ledger.write(KEY, None)
        ledger.write(KEY, None)
        assert ledger.read(KEY) == []

    def test_memory(self, record: Record) -> None:
        ledger = MemoryLedger()
        ledger.write(KEY, record)
        assert (ledger.read(KEY), ledger.read("another")) == ([record], [])
        ledger.write(KEY, None)
        assert ledger.read(KEY) == []

    def test_journal(self, record: Record) -> None:
        journal = Journal()
        JournalLedger(journal).write(KEY, record)
        elsewhere = JournalLedger(journal)
        assert elsewhere.read(KEY) == [record]
        assert elsewhere.read(KEY.replace("0123456789abcdef", "fedcba9876543210")) == [record], (
            "a renewed key"
        )
        assert elsewhere.read(KEY[:-1] + "x") == [], "an order of another name"
        elsewhere.write(KEY, None)
        assert JournalLedger(journal).read(KEY) == []


def config_of(store: str) -> PlanetConfig:
    return PlanetConfig(api_key="PLAK-not-a-real-key", rate_limit_store=store)


class TestNotes:
    def test_a_runs_own_do_not_hide_what_twins_know(self, tmp_path: Path) -> None:
        """Which of both is the later can't be told where clocks differ."""
        journal, config = Journal(), config_of(tmp_path.as_uri())
        Notes(config, KEY, journal=journal, run="dag/run_1").write(Record(2_000_000_000.0))
        twin = Notes(config, KEY, journal=None, run="dag/run_2")
        twin.write(Record(1.0, ORDER_ID))
        assert twin.read() == [Note(Record(1.0, ORDER_ID), True), Note(Record(1.0, ORDER_ID), False)]
        mine = Notes(config, KEY, journal=journal, run="dag/run_1").read()
        assert mine == [Note(Record(2_000_000_000.0), True)] * 2 + [Note(Record(1.0, ORDER_ID), False)]

    def test_a_journal_that_fails_leaves_the_others_their_note(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Away(Journal):
            def get(self, key: str, default: Any = None) -> Any:
                raise ConnectionError("the API server is away")

            set = get

        config = config_of(tmp_path.as_uri())
        notes = Notes(config, KEY, journal=Away(), run=None)
        notes.conclude(Record(1.0, ORDER_ID))
        assert "That order" in caplog.text
        own, shared = notes.read()
        assert (own.record.order_id, own.own) == (None, True), "a doubt"
        assert shared == Note(Record(1.0, ORDER_ID), False)
        with pytest.raises(RateLimitStoreError, match=r"task state store.*not placed without a note.*away"):
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

    def test_in_a_file(self, ledger: FileLedger, tmp_path: Path, content: str) -> None:
        ledger.write(KEY, Record(1.0))
        (tmp_path / "orders" / f"{KEY}.json").write_text(content, encoding="utf-8")
        [record] = ledger.read(KEY)
        assert (record.order_id, record.at > 1.0) == (None, True)


def test_not_even_text(ledger: FileLedger, tmp_path: Path) -> None:
    ledger.write(KEY, Record(1.0))
    (tmp_path / "orders" / f"{KEY}.json").write_bytes(os.urandom(64))
    [record] = ledger.read(KEY)
    assert record.order_id is None


@pytest.mark.parametrize("value", ["x", 5, [1], {"at": "x"}, {"at": 1}])
def test_a_journal_that_holds_something_else(value: object) -> None:
    journal = Journal()
    ledger = JournalLedger(journal)
    ledger.write(KEY, Record(1.0))
    [name] = journal
    journal[name] = value
    [record] = JournalLedger(journal).read(KEY)
    assert record.order_id is None


def test_a_write_that_fails_leaves_the_old_record(
    ledger: FileLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that was emptied by a full disk would read as if nothing had been placed."""
    ledger.write(KEY, Record(1.0))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(
            RateLimitStoreError,
            match=r"orders: what becomes of an order can't be noted.*No space left on device.*room",
        ):
            ledger.write(KEY, Record(2.0, ORDER_ID))
    assert ledger.read(KEY) == [Record(1.0)]
    ledger.write(KEY, Record(2.0, ORDER_ID))
    assert ledger.read(KEY) == [Record(2.0, ORDER_ID)]


@pytest.mark.parametrize("record", [None, Record(1.0)])
def test_a_folder_that_is_none(tmp_path: Path, record: Record | None) -> None:
    (tmp_path / "orders").write_text("")
    ledger = FileLedger(tmp_path / "orders")
    with pytest.raises(RateLimitStoreError, match="orders"):
        ledger.write(KEY, record)
    [doubt] = ledger.read(KEY)
    assert doubt.order_id is None


def test_records_are_for_their_owner(ledger: FileLedger, tmp_path: Path) -> None:
    ledger.write(KEY, Record(1.0))
    folder = tmp_path / "orders"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [file.stat().st_mode & 0o777 for file in folder.iterdir()] == [0o600]


def test_old_ones_are_forgotten(ledger: FileLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.write("old", Record(1.0))
    ledger.write("young", Record(1.0))
    leftover = tmp_path / "orders" / "killed.part"
    leftover.write_text("")
    aged = time.time() - KEPT_SECONDS - 60
    for file in (tmp_path / "orders" / "old.json", leftover):
        os.utime(file, (aged, aged))
    monkeypatch.setattr(ledgers, "SWEEPS", 1.0)
    ledger.write(KEY, Record(1.0))
    assert {file.name for file in (tmp_path / "orders").iterdir()} == {"young.json", f"{KEY}.json"}


@pytest.mark.parametrize(
    ("url", "kind"),
    [("memory://", MemoryLedger), ("file:///some/where", FileLedger), ("redis://127.0.0.1:9/0", RedisLedger)],
)
@pytest.mark.parametrize("opened", [open_ledger, open_run_ledger])
def test_by_its_url(opened: Any, url: str, kind: type) -> None:
    assert isinstance(opened(url), kind)


def test_what_runs_know_is_kept_as_long_as_planet_keeps_orders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "SWEEPS", 1.0)
    aged = time.time() - KEPT_SECONDS - 60
    for opened, left in ((open_ledger, {"new.json"}), (open_run_ledger, {"new.json", "old.json"})):
        ledger = opened(tmp_path.as_uri())
        ledger.write("old", Record(1.0))
        [file] = tmp_path.rglob("old.json") if len(left) == 1 else tmp_path.rglob("run-orders/old.json")
        os.utime(file, (aged, aged))
        ledger.write("new", Record(1.0))
        assert {one.name for one in file.parent.iterdir()} == left


class TestRedisAway:
    URL = "redis://127.0.0.1:9/0"

    def test_reading_is_a_doubt(self) -> None:
        [record] = open_ledger(self.URL).read(KEY)
        assert record.order_id is None
        assert time.time() - record.at < 60

    @pytest.mark.parametrize("record", [Record(1.0), None])
    def test_writing_is_an_error_with_the_remedy(self, record: Record | None) -> None:
        with pytest.raises(RateLimitStoreError, match=r"not placed without a note.*set the extra rate_limit"):
            open_ledger(self.URL).write(KEY, record)

    def test_what_it_remembers_is_not_guessed(self) -> None:
        with pytest.raises(RateLimitStoreError, match="how long it has been running"):
            open_ledger(self.URL).remembers_seconds()

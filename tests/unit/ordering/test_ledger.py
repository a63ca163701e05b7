"""What is remembered of orders: whole, or taken for doubt, and never taken for "no order"."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from planet_provider.exceptions import RateLimitStoreError
from planet_provider.ordering import ledger as ledgers
from planet_provider.ordering.journal import JournalLedger
from planet_provider.ordering.ledger import (
    KEPT_SECONDS,
    FileLedger,
    MemoryLedger,
    Record,
    RedisLedger,
    decode,
    encode,
    open_ledger,
)

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
        JournalLedger(MemoryLedger(), journal).write(KEY, record)
        elsewhere = JournalLedger(MemoryLedger(), journal)
        assert elsewhere.read(KEY) == [record]
        assert elsewhere.read(KEY.replace("0123456789abcdef", "fedcba9876543210")) == [record], (
            "a renewed key"
        )
        assert elsewhere.read(KEY[:-1] + "x") == [], "an order of another name"
        elsewhere.write(KEY, None)
        assert JournalLedger(MemoryLedger(), journal).read(KEY) == []


def test_a_journal_does_not_hide_what_twins_know() -> None:
    """Which of both is the later can't be told where clocks differ."""
    shared, journal = MemoryLedger(), Journal()
    ledger = JournalLedger(shared, journal)
    ledger.write(KEY, Record(2_000_000_000.0))
    shared.write(KEY, Record(1.0, ORDER_ID))
    assert set(ledger.read(KEY)) == {Record(1.0, ORDER_ID), Record(2_000_000_000.0)}


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
    ledger = JournalLedger(MemoryLedger(), journal)
    ledger.write(KEY, Record(1.0))
    [name] = journal
    journal[name] = value
    [record] = JournalLedger(MemoryLedger(), journal).read(KEY)
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
        with pytest.raises(RateLimitStoreError, match=r"can't be noted in .*No space left on device.*room"):
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
    monkeypatch.setattr(ledgers, "_SWEEPS", 1.0)
    ledger.write(KEY, Record(1.0))
    assert {file.name for file in (tmp_path / "orders").iterdir()} == {"young.json", f"{KEY}.json"}


@pytest.mark.parametrize(
    ("url", "kind"),
    [("memory://", MemoryLedger), ("file:///some/where", FileLedger), ("redis://127.0.0.1:9/0", RedisLedger)],
)
def test_by_its_url(url: str, kind: type) -> None:
    assert isinstance(open_ledger(url, 0.1), kind)


class TestRedisAway:
    URL = "redis://127.0.0.1:9/0"

    def test_reading_is_a_doubt(self) -> None:
        [record] = open_ledger(self.URL, 0.1).read(KEY)
        assert record.order_id is None
        assert time.time() - record.at < 60

    def test_writing_warns(self, caplog: pytest.LogCaptureFixture) -> None:
        open_ledger(self.URL, 0.1).write(KEY, Record(1.0))
        assert "can't be noted in" in caplog.text

    def test_writing_fails_where_there_is_no_fallback(self) -> None:
        with pytest.raises(RateLimitStoreError, match="can't be noted in"):
            open_ledger(self.URL, "fail").write(KEY, Record(1.0))

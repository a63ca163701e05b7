"""The policy's arithmetic."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planet_provider.coordination.slots import (
    BACKOFF_SECONDS,
    CALM_SECONDS,
    EASING,
    LONG_AGO,
    MAX_PAUSE_SECONDS,
    MIN_SPEED,
    QUICK_EASING,
    Slots,
)

seconds = st.floats(0, 500)


@st.composite
def any_slots(draw: st.DrawFn) -> Slots:
    position = draw(st.floats(0, 1e6))
    return Slots(
        position=position,
        next_slot=position + draw(st.floats(-10, 300)),
        speed=draw(st.floats(MIN_SPEED, 1)),
        pause=draw(st.one_of(st.just(0.0), st.floats(0, 100))),
        since_cut=draw(st.floats(0, 1000)),
        easing=draw(st.sampled_from([EASING, QUICK_EASING])),
    )


def test_slots_are_evenly_spaced_and_the_first_is_now() -> None:
    slots = Slots()
    assert [slots.reserve(0.5, 10)[1] for _ in range(4)] == [0, 0.5, 1.0, 1.5]


def test_time_that_nobody_used_makes_no_burst() -> None:
    slots = Slots()
    slots.reserve(0.5, 10)
    slots.advance(100)
    assert [slots.reserve(0.5, 10)[1] for _ in range(3)] == [0, 0.5, 1.0]


def test_a_slot_beyond_the_longest_wait_is_not_taken() -> None:
    slots = Slots()
    slots.reserve(5, 10)
    assert slots.reserve(5, 4)[1] == 5
    assert slots.reserve(5, 10)[1] == 5


@given(any_slots(), st.lists(seconds, max_size=6))
def test_many_looks_come_to_the_same_as_one(slots: Slots, steps: list[float]) -> None:
    other = replace(slots)
    for step in steps:
        slots.advance(step)
    other.advance(math.fsum(steps))
    assert slots.position == pytest.approx(other.position, abs=1e-6)
    assert slots.speed == pytest.approx(other.speed, abs=1e-9)
    assert slots.pause == pytest.approx(other.pause, abs=1e-9)


@given(any_slots(), st.floats(0.001, 300))
def test_a_wait_ends_when_the_line_reaches_the_slot(slots: Slots, distance: float) -> None:
    slot = slots.position + distance
    wait = slots.until(slot)
    slots.advance(wait / 2)
    assert slots.until(slot) == pytest.approx(wait / 2, abs=1e-6)
    slots.advance(wait / 2)
    assert slots.position == pytest.approx(slot, abs=1e-6)


@given(any_slots(), st.one_of(st.none(), st.floats(0, 1e6)), seconds)
def test_a_429_moves_every_slot_back_and_keeps_their_order(
    slots: Slots, retry_after: float | None, age: float
) -> None:
    marks = [slots.position + each for each in (0, 0.1, 1, 10)]
    before = [slots.until(mark) for mark in marks]
    slots.hold(retry_after, age)
    after = [slots.until(mark) for mark in marks]
    assert after == sorted(after)
    # At the lowest speed a 429 without a pause changes nothing but the last digit.
    assert all(new >= old - 1e-9 for old, new in zip(before, after, strict=True))
    if retry_after is not None:
        assert after[0] >= min(retry_after, MAX_PAUSE_SECONDS)


def test_the_speed_is_halved_down_to_a_bound_and_the_pause_grows() -> None:
    slots = Slots()
    pauses = []
    for _ in range(6):
        slots.advance(slots.pause)
        slots.hold(None, 0.0) if slots.since_cut else None
        pauses.append(slots.pause)
    assert slots.speed == MIN_SPEED + 0 or slots.speed < 2 * MIN_SPEED
    assert pauses == sorted(pauses)
    assert pauses[0] == 2 * BACKOFF_SECONDS


def test_answers_to_requests_from_before_a_cut_cut_no_further() -> None:
    slots = Slots()
    slots.hold(1.0, 0.2)
    for _ in range(7):
        slots.advance(0.01)
        slots.hold(1.0, 0.2)
    assert slots.speed == pytest.approx(0.5)
    slots.advance(2.0)
    slots.hold(1.0, 0.2)
    assert slots.speed < 0.3


def test_after_a_single_429_the_speed_is_back_within_seconds() -> None:
    slots = Slots()
    slots.hold(1.0, 0.0)
    assert slots.speed == 0.5
    slots.advance(1.0 + 3.0)
    assert slots.speed == pytest.approx(0.75)
    slots.advance(3.0)
    assert slots.speed == pytest.approx(1.0)
    assert slots.position == pytest.approx(4.5), "three quarters of six seconds"


@pytest.mark.parametrize("calm", [0.0, 6.5, CALM_SECONDS - 1])
def test_after_429s_that_follow_each_other_it_takes_a_minute_and_more(calm: float) -> None:
    slots = Slots()
    slots.hold(0.0, 0.0)
    slots.advance(calm + 0.01)
    slots.hold(0.0, 0.0)
    before = slots.speed
    slots.advance(0.1 / EASING)
    assert slots.speed == pytest.approx(before + 0.1)
    slots.advance(10 / EASING)
    assert slots.speed == 1.0
    slots.hold(0.0, 0.0)
    slots.advance(6.5)
    assert slots.speed == pytest.approx(1.0), "a single one again"


def test_a_long_pause_does_not_make_the_next_429_a_single_one() -> None:
    slots = Slots()
    slots.hold(CALM_SECONDS * 4, 0.0)
    slots.advance(CALM_SECONDS * 4)
    slots.hold(0.0, 0.0)
    slots.advance(6.5)
    assert slots.speed == pytest.approx(0.25 + 6.5 * EASING)


def test_nothing_counts_as_a_recent_cut_at_the_start() -> None:
    assert Slots().since_cut == LONG_AGO

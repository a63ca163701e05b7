"""The policy of the rate limit, as arithmetic: no clock, no lock, no store.

Slots lie evenly spaced on a line that callers move along together. The line normally moves one second per
second, stands still in a pause, and moves more slowly after a 429. A caller takes the next free slot (GCRA
with a burst of one) and may send when the line has reached it. So a pause or a slower rate moves everybody's
slot, in order, and no slot that was given out is lost or passed by.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

#: What a 429 does to the speed, and how slow the line gets at most.
CUT = 0.5
MIN_SPEED = 1 / 16

#: Speed regained per second after refusals that follow each other: a minute from half the rate to all of it.
EASING = 1 / 120

#: The same after a single refusal: six seconds.
QUICK_EASING = 1 / 12

#: A refusal is a single one if requests went at full speed (but for rounding), and the latest cut is so many
#: seconds ago.
FULL_SPEED = 0.999
CALM_SECONDS = 30.0

#: Seconds of the shortest pause after a 429 without Retry-After; it grows as the speed falls, up to 8 s.
BACKOFF_SECONDS = 0.5

#: Longest pause in seconds, whatever Retry-After says: then one request asks again.
MAX_PAUSE_SECONDS = 3600.0

#: Seconds that stand for "never".
LONG_AGO = 1e12


@dataclass
class Slots:
    """One class of requests of one account. Mirrored in Lua by the Redis store.

    :param position: How far the line has moved, in seconds at full speed.
    :param next_slot: Position of the next free slot.
    :param speed: Share of the configured rate that is given out now, up to 1.
    :param pause: Seconds during which the line stands still.
    :param since_cut: Seconds since the speed was cut.
    :param easing: Speed that is regained per second.
    """

    position: float = 0.0
    next_slot: float = 0.0
    speed: float = 1.0
    pause: float = 0.0
    since_cut: float = LONG_AGO
    easing: float = EASING

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.since_cut += seconds
        held = min(seconds, self.pause)
        self.pause -= held
        seconds -= held
        ramp = min(seconds, (1.0 - self.speed) / self.easing)
        self.position += seconds - ramp + ramp * (self.speed + self.easing * ramp / 2)
        self.speed = min(1.0, self.speed + self.easing * ramp)

    def until(self, slot: float) -> float:
        """Return the seconds until the line reaches a slot, if no further 429 comes."""
        distance = slot - self.position
        if distance <= 0.0:
            return self.pause
        ramp = (1.0 - self.speed) / self.easing
        ramp_distance = ramp * (1.0 + self.speed) / 2
        if distance >= ramp_distance:
            return self.pause + ramp + distance - ramp_distance
        return self.pause + (math.sqrt(self.speed**2 + 2 * self.easing * distance) - self.speed) / self.easing

    def reserve(self, interval: float, max_wait: float) -> tuple[float, float]:
        """Take the next free slot, unless it is too far away.

        :param interval: Seconds to the following slot, at full speed.
        :param max_wait: Longest acceptable wait, in seconds.
        :return: The slot, and the seconds until it; beyond ``max_wait`` it was not taken.
        """
        slot = max(self.position, self.next_slot)
        wait = self.until(slot)
        if wait <= max_wait:
            self.next_slot = slot + interval
        return slot, wait

    def hold(self, seconds: float | None, age: float) -> None:
        """Pause and slow down, because of a 429.

        :param seconds: What Retry-After said, if it said anything.
        :param age: Seconds since the refused request was sent. One sent before the latest cut tells nothing
            new about the speed.
        """
        if self.since_cut > age:
            single = self.speed >= FULL_SPEED and self.since_cut > CALM_SECONDS
            self.easing = QUICK_EASING if single else EASING
            self.speed = max(MIN_SPEED, self.speed * CUT)
            self.since_cut = 0.0
        pause = BACKOFF_SECONDS / self.speed if seconds is None else seconds
        self.pause = max(self.pause, min(pause, MAX_PAUSE_SECONDS))

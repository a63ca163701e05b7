"""``redis://``: the state of the rate limits of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planet_provider.coordination import slots
from planet_provider.coordination.store import Reservation, store_error

if TYPE_CHECKING:
    from redis import Redis

_PREFIX = "planet-rate-limit:"

#: :class:`~planet_provider.coordination.slots.Slots` in the server, by the server's clock: hosts may
#: disagree about the time, but a wait is relative. A key is kept until forgetting it makes no difference.
_SCRIPT = f"""
local CUT, MIN_SPEED, FULL_SPEED = {slots.CUT!r}, {slots.MIN_SPEED!r}, {slots.FULL_SPEED!r}
local CALM, EASING, QUICK_EASING = {slots.CALM_SECONDS!r}, {slots.EASING!r}, {slots.QUICK_EASING!r}
local BACKOFF, MAX_PAUSE = {slots.BACKOFF_SECONDS!r}, {slots.MAX_PAUSE_SECONDS!r}
local NAMES = {{'epoch', 'looked', 'position', 'next_slot', 'speed', 'pause', 'since_cut', 'easing'}}
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1e6
local kept = redis.call('HMGET', KEYS[1], unpack(NAMES))
local epoch = kept[1] or (clock[1] .. '.' .. clock[2])
local looked, position, next_slot = tonumber(kept[2] or now), tonumber(kept[3] or 0), tonumber(kept[4] or 0)
local speed, pause = tonumber(kept[5] or 1), tonumber(kept[6] or 0)
local since_cut, easing = tonumber(kept[7] or {slots.LONG_AGO!r}), tonumber(kept[8] or EASING)

local elapsed = math.max(0, now - looked)
since_cut = since_cut + elapsed
local held = math.min(elapsed, pause)
pause = pause - held
elapsed = elapsed - held
local ramp = math.min(elapsed, (1 - speed) / easing)
position = position + elapsed - ramp + ramp * (speed + easing * ramp / 2)
speed = math.min(1, speed + easing * ramp)

local function wait_for(slot)
  local distance = slot - position
  if distance <= 0 then return pause end
  local full = (1 - speed) / easing
  local full_distance = full * (1 + speed) / 2
  if distance >= full_distance then return pause + full + distance - full_distance end
  return pause + (math.sqrt(speed * speed + 2 * easing * distance) - speed) / easing
end

local slot, wait = 0, 0
if ARGV[1] == 'reserve' then
  slot = math.max(position, next_slot)
  wait = wait_for(slot)
  if wait <= tonumber(ARGV[3]) then next_slot = slot + tonumber(ARGV[2]) end
elseif ARGV[1] == 'until' then
  wait = wait_for(tonumber(ARGV[2]))
else
  if since_cut > tonumber(ARGV[3]) then
    easing = speed >= FULL_SPEED and since_cut > CALM and QUICK_EASING or EASING
    speed = math.max(MIN_SPEED, speed * CUT)
    since_cut = 0
  end
  local asked = ARGV[2] == '' and BACKOFF / speed or tonumber(ARGV[2])
  pause = math.max(pause, math.min(asked, MAX_PAUSE))
end

local values = {{now, position, next_slot, speed, pause, since_cut, easing}}
local fields = {{'epoch', epoch}}
for i, value in ipairs(values) do
  table.insert(fields, NAMES[i + 1])
  table.insert(fields, string.format('%.17g', value))
end
redis.call('HSET', KEYS[1], unpack(fields))
redis.call('EXPIRE', KEYS[1], math.ceil(wait_for(next_slot) + 2 / EASING))
return {{epoch, string.format('%.17g', slot), string.format('%.17g', wait)}}
"""


class RedisStore:
    """Slots for all machines that reach a Redis (5 or newer, or Valkey). Each call is one round trip.

    :param client: Client that decodes responses, with timeouts.
    :param label: How to call the server in messages.
    """

    may_block = True

    def __init__(self, client: Redis, label: str) -> None:
        self._script = client.register_script(_SCRIPT)
        self._label = label

    def reserve(self, key: str, interval: float, max_wait: float) -> Reservation:
        """Take the next free slot."""
        epoch, slot, wait = self._run(key, "reserve", interval, max_wait)
        return Reservation(float(wait), float(slot), epoch)

    def until(self, key: str, reservation: Reservation) -> float | None:
        """Look again how far away a slot is."""
        epoch, _, wait = self._run(key, "until", reservation.slot)
        return float(wait) if epoch == reservation.epoch else None

    def hold(self, key: str, seconds: float | None, age: float) -> None:
        """Pause and slow down."""
        self._run(key, "hold", "" if seconds is None else seconds, age)

    def _run(self, key: str, *arguments: str | float) -> list[str]:
        from redis import RedisError

        try:
            return self._script(keys=[_PREFIX + key], args=[_text(each) for each in arguments])  # type: ignore[no-any-return]
        except (RedisError, OSError) as error:
            raise store_error(self._label, "no slot of the rate limit can be taken", error) from error


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else repr(float(value))

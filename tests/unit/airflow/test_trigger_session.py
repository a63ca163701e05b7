"""A trigger's request that ends with an error just when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from planet_provider.exceptions import TransportError
from planet_provider.triggers.session import within


async def test_an_error_after_the_time_is_up_is_not_asyncios_to_log() -> None:
    logged: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context))

    async def fails_late() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise TransportError("too late") from None

    with pytest.raises(asyncio.TimeoutError):
        await within(0.0, fails_late())
    with pytest.raises(asyncio.TimeoutError):
        await within(0.01, fails_late())
    gc.collect()
    assert logged == []

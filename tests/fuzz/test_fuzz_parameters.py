"""Whatever a call is given, it returns or raises an error of the tree; and what is right is never refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from oddities import JSON_VALUES, PYTHON_VALUES, Change, changes
from world import NAMES, PARAMETERS, World, call_of, outcome

from planet_provider.exceptions import NotFoundError, OrderNotCancellableError, PlanetError

_VALUES = JSON_VALUES + PYTHON_VALUES
_WHOLE = st.sampled_from(_VALUES).map(lambda value: Change("replace", 0, value))

#: What the sandbox refuses whatever the parameters are: its orders have ended, and one search is not there.
_REFUSED = {
    "hook.cancel_order": OrderNotCancellableError,
    "hook.delete_search": NotFoundError,
    "task.cancel": OrderNotCancellableError,
}


def is_json(value: Any) -> bool:
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError, RecursionError):
        return False


@pytest.mark.parametrize("group", list(NAMES))
def test_what_is_right(world: World, group: str) -> None:
    world.front.restart()
    for name in NAMES[group]:
        found = outcome(world, *call_of(world, group, name))
        error = found if isinstance(found, PlanetError) else None
        assert error is None or isinstance(error, _REFUSED.get(name, ())), name


@pytest.mark.parametrize("group", list(NAMES))
@given(data=st.data(), change=_WHOLE | changes(_VALUES))
def test_wrong_types(world: World, group: str, data: st.DataObject, change: Change) -> None:
    name, parameter = data.draw(st.sampled_from(PARAMETERS[group]), label="call and parameter")
    world.front.restart()
    call, valid = call_of(world, group, name)
    value = change.of(valid[parameter])
    if group == "event" and not is_json(value):
        reject()  # Airflow stores events as JSON
    outcome(world, call, {**valid, parameter: value})

"""Whatever Planet answers, a call returns or raises an error of the tree, and soon."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oddities import REPLIES, OddBytes, OddJSON
from world import NAMES, World, call_of, outcome

_ODD = st.lists(REPLIES, min_size=1, max_size=3)


@pytest.mark.parametrize("group", ["hook", "task", "trigger"])
@given(data=st.data(), odd=_ODD, skip=st.integers(0, 3), lasting=st.booleans())
def test_answers(
    world: World, group: str, data: st.DataObject, odd: list[OddJSON | OddBytes], skip: int, lasting: bool
) -> None:
    name = data.draw(st.sampled_from(NAMES[group]), label="call")
    world.front.restart(odd, skip, lasting=lasting)
    outcome(world, *call_of(world, group, name))

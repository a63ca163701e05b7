"""How this package's errors end a task."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from planet_provider import exceptions
from planet_provider.hooks import task_errors as module
from planet_provider.hooks.task_errors import as_task_error, task_errors

KINDS = [
    kind
    for kind in vars(exceptions).values()
    if isinstance(kind, type) and issubclass(kind, exceptions.PlanetError)
]

#: Arguments that some kinds need, by parameter.
ARGUMENTS: dict[str, Any] = {
    "message": "Something happened.",
    "field": "order_id",
    "value": "x",
    "remedy": "must be a UUID.",
    "rate_class": "orders.get",
    "wait_seconds": 700.0,
    "status": 400,
    "request": "GET /x",
    "item_type": "PSScene",
    "item_id": "20220125_075509_67_1061",
    "asset_type": "ortho_visual",
    "hints": ["quota"],
    "messages": ["no"],
    "problems": [{"path": "a.tif", "problem": "missing", "expected": 3, "got": None}],
}


def example(kind: type[exceptions.PlanetError]) -> exceptions.PlanetError:
    names = inspect.signature(kind).parameters
    return kind(**{name: value for name, value in ARGUMENTS.items() if name in names})


def test_every_kind_of_error_is_covered() -> None:
    assert len(KINDS) > 30
    assert exceptions.PlanetError in KINDS


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_that_leaves_a_task_belongs_to_both_trees(kind: type[exceptions.PlanetError]) -> None:
    original = example(kind)
    cause = OSError("cut")
    with pytest.raises(kind) as caught, task_errors():
        raise original from cause
    error = caught.value
    assert isinstance(error, AirflowException)
    assert isinstance(error, AirflowFailException) is not kind.retryable
    assert type(error).__name__ == kind.__name__
    assert (str(error), error.args, vars(error)) == (str(original), original.args, vars(original))
    assert error.__cause__ is cause


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_task_error_pickles_with_its_attributes(kind: type[exceptions.PlanetError]) -> None:
    error = as_task_error(example(kind))
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) is getattr(module, kind.__name__)
    assert (again.args, vars(again)) == (error.args, vars(error))


def test_it_decorates_functions_and_passes_results_on() -> None:
    @task_errors()
    def double(value: int) -> int:
        if value < 0:
            raise exceptions.InvalidInputError("value", value, "must not be negative.")
        return 2 * value

    assert [double(1), double(2)] == [2, 4]
    for _ in range(2):
        with pytest.raises(AirflowFailException, match="value=-1: must not be negative"):
            double(-1)
    assert double(3) == 6


def test_an_error_is_converted_once() -> None:
    first = as_task_error(exceptions.ServerError("oh", status=503, request="GET /x"))
    with pytest.raises(exceptions.ServerError) as caught, task_errors(), task_errors():
        raise first
    assert caught.value is first


def test_an_error_from_elsewhere_becomes_its_nearest_base() -> None:
    class StrangeError(exceptions.NotFoundError):
        pass

    error = as_task_error(StrangeError("gone", status=404, request="GET /x"))
    assert isinstance(error, exceptions.NotFoundError)
    assert isinstance(error, AirflowFailException)
    assert error.status == 404


@pytest.mark.parametrize("other", [KeyError("x"), KeyboardInterrupt(), AirflowException("x")])
def test_other_errors_pass(other: BaseException) -> None:
    with pytest.raises(type(other)) as caught, task_errors():
        raise other
    assert caught.value is other


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_where_no_retry_can_mend_it_every_error_is_final(kind: type[exceptions.PlanetError]) -> None:
    with pytest.raises(kind) as caught, task_errors(), task_errors(retry=False):
        raise example(kind)
    assert isinstance(caught.value, AirflowFailException)
    assert type(caught.value).__name__ == kind.__name__
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), again.args, vars(again)) == (
        type(caught.value),
        caught.value.args,
        vars(caught.value),
    )

from __future__ import annotations

import ast
import copy
import inspect
import pickle
from pathlib import Path

import pytest

import planet_provider
from planet_provider import exceptions
from planet_provider.exceptions import (
    APIError,
    AssetUnavailableError,
    ChecksumError,
    InvalidInputError,
    OrderFailedError,
    OverQuotaError,
    PlanetError,
    RateLimitQueueError,
    TransferError,
    TransportError,
)

PACKAGE = Path(planet_provider.__file__).parent
CLASSES = [
    value
    for value in vars(exceptions).values()
    if isinstance(value, type) and issubclass(value, BaseException)
]


def arguments(kind: type[PlanetError]) -> tuple[tuple[object, ...], dict[str, object]]:
    """Arguments for any class, by the names of its parameters."""
    values: dict[str, object] = {
        "message": "it went wrong",
        "field": "products[0]",
        "value": ["a"],
        "remedy": "do better.",
        "sent": False,
        "final": True,
        "rate_class": "orders.create",
        "wait_seconds": 12.5,
        "status": 418,
        "request": "GET /x",
        "messages": ["one", "two"],
        "retry_after": 3.0,
        "order_id": "f05b1ed7-11f0-43da-960c-a624f7c355c8",
        "state": "failed",
        "hints": ["no items"],
        "item_type": "PSScene",
        "item_id": "20220125_075509_67_1061",
        "asset_type": "basic_udm2",
        "file": "PSScene/a.tif",
        "folder": "/data/orders",
        "reason": "No space left on device",
        "problems": [{"path": "a.tif", "problem": "missing", "expected": 1, "got": None}],
    }
    positional, keyword = [], {}
    for name, parameter in list(inspect.signature(kind.__init__).parameters.items())[1:]:
        assert name in values, f"{kind.__name__} has a parameter that this test doesn't know: {name}"
        if parameter.kind is parameter.KEYWORD_ONLY:
            keyword[name] = values[name]
        else:
            positional.append(values[name])
    return tuple(positional), keyword


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_pickles_with_its_attributes(kind: type[PlanetError], protocol: int) -> None:
    positional, keyword = arguments(kind)
    error = kind(*positional, **keyword)
    error.__dict__["note"] = "kept"
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is kind
    assert (str(again), repr(again), again.args) == (str(error), repr(error), error.args)
    assert again.__dict__ == error.__dict__
    assert vars(copy.copy(error)) == vars(error)
    for name in keyword.keys() - {"final"}:  # shows in ``retryable``
        assert getattr(again, name) == getattr(error, name)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_is_described_and_of_the_tree(kind: type[PlanetError]) -> None:
    assert issubclass(kind, PlanetError)
    assert kind.__doc__ is not None
    assert kind.__doc__.strip().endswith((".", "``"))
    assert isinstance(kind.retryable, bool)


def drawn() -> dict[str, str | None]:
    """The docstring's tree: class to parent."""
    assert exceptions.__doc__ is not None
    parents: dict[str, str | None] = {}
    branch: list[str] = []
    for line in exceptions.__doc__.splitlines():
        text = line[4:] if line.startswith("    ") else ""
        name = text.lstrip("│├└─ ").partition(" ")[0]
        if not name.isidentifier() or not name.endswith("Error"):
            continue
        depth = (len(text) - len(text.lstrip("│├└─ "))) // 4
        del branch[depth:]
        parents[name] = branch[-1] if branch else None
        branch.append(name)
    return parents


def test_the_drawing_is_the_tree() -> None:
    real = {kind.__name__: None if kind is PlanetError else kind.__bases__[0].__name__ for kind in CLASSES}
    assert drawn() == real


def test_value_errors_are_drawn_as_such() -> None:
    assert exceptions.__doc__ is not None
    marked = {
        line.lstrip(" │├└─").partition(" ")[0]
        for line in exceptions.__doc__.splitlines()
        if "also a ValueError" in line
    }
    direct = {kind.__name__ for kind in CLASSES if ValueError in kind.__bases__}
    assert marked == direct


def recognised(node: ast.AST) -> ast.AST:
    """What a node recognises errors by: the classes of an except clause or of an isinstance()."""
    if isinstance(node, ast.ExceptHandler) and node.type is not None:
        return node.type
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
        return node.args[1]
    return ast.Pass()


def test_each_class_is_raised_somewhere() -> None:
    """Or is the base of one that is: nobody should catch what never comes."""
    used: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        if path.name == "exceptions.py" or "sandbox" in path.parts:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        caught = {id(name) for node in ast.walk(tree) for name in ast.walk(recognised(node))}
        used |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in caught}
    unused = {
        kind.__name__
        for kind in CLASSES
        if not any(other.__name__ in used for other in CLASSES if issubclass(other, kind))
    }
    assert unused == set()


def test_input_errors_show_the_value_shortened() -> None:
    error = InvalidInputError("item_ids", ["x" * 10] * 100, "are too many.")
    assert str(error).startswith("item_ids=['xxxxxxxxxx', ")
    assert str(error).endswith("… (1400 characters): are too many.")
    assert (error.field, error.remedy) == ("item_ids", "are too many.")
    assert str(InvalidInputError("limit", -1, "must be at least 0.")) == "limit=-1: must be at least 0."
    assert isinstance(error, ValueError)


def test_defaults_and_copies() -> None:
    assert TransportError("no answer").sent
    hints = ["one"]
    failed = OrderFailedError("it failed", hints=hints)
    hints.append("two")
    assert (failed.hints, failed.order_id, failed.state) == (("one",), None, None)
    problem = {"path": "a.tif"}
    wrong = ChecksumError("altered", problems=[problem])
    problem["path"] = "b.tif"
    assert (wrong.problems, wrong.file) == (({"path": "a.tif"},), None)
    assert TransferError("cut", file="a.tif").file == "a.tif"
    refused = OverQuotaError("over", status=403, request="POST /x")
    assert (refused.messages, refused.retry_after) == ((), None)
    assert isinstance(refused, APIError)


@pytest.mark.parametrize(
    ("kind", "missing"), [(RateLimitQueueError, "rate_class"), (AssetUnavailableError, "item_id")]
)
def test_facts_are_not_optional(kind: type[PlanetError], missing: str) -> None:
    positional, keyword = arguments(kind)
    del keyword[missing]
    with pytest.raises(TypeError, match=missing):
        kind(*positional, **keyword)

"""Band math: arithmetic on the bands of an image, as the Orders API's tool of that name does.

Expressions come from a request, so they are parsed and walked; nothing is ever evaluated as Python.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

MAX_LENGTH = 1000
MAX_BANDS = 15

PIXEL_TYPES: dict[str, str] = {
    "Auto": "float32",
    "8U": "uint8",
    "16U": "uint16",
    "16S": "int16",
    "32R": "float32",
}

_BINARY: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitAnd: np.logical_and,
    ast.BitOr: np.logical_or,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_UNARY: dict[type[ast.AST], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Invert: np.logical_not,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: getattr(np, name)
    for name in (
        *("add", "subtract", "multiply", "divide", "maximum", "minimum", "abs", "sqrt", "exp"),
        *("sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh"),
        *("log", "log10", "where", "nan_to_num", "greater_equal", "less_equal"),
        *("logical_and", "logical_or", "logical_not", "logical_xor"),
    )
}


class ExpressionError(ValueError):
    """A band math expression that is not arithmetic on the bands at hand."""


def evaluate(expression: str, bands: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Compute one output band.

    :param expression: Arithmetic on ``b1``, ``b2``, ... with numbers, comparisons and functions of numpy.
    :param bands: Input: bands, rows, columns.
    :raises ExpressionError: The expression is malformed, or names a band or function that isn't there.
    """
    if not isinstance(expression, str) or len(expression) > MAX_LENGTH:
        raise ExpressionError(f"a band math expression is a string of at most {MAX_LENGTH} characters")
    names = {f"b{index}": band.astype(np.float64) for index, band in enumerate(bands, start=1)}
    try:
        tree = ast.parse(expression.strip(), mode="eval")
        with np.errstate(all="ignore"):
            value = _walk(tree.body, names)
        return np.broadcast_to(np.asarray(value, np.float64), bands.shape[1:])
    except ExpressionError:
        raise
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError, ArithmeticError) as error:
        raise ExpressionError(f"{expression!r} is not a band math expression: {error}") from error


def convert(values: npt.NDArray[np.float64], pixel_type: str) -> npt.NDArray[Any]:
    """Convert computed values to a pixel type of the API; integers are rounded and clipped.

    :raises ExpressionError: No such pixel type.
    """
    if pixel_type not in PIXEL_TYPES:
        raise ExpressionError(f"pixel_type {pixel_type!r} is not one of {sorted(PIXEL_TYPES)}")
    dtype = np.dtype(PIXEL_TYPES[pixel_type])
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(np.nan_to_num(values)), limits.min, limits.max).astype(dtype)


def _walk(node: ast.expr, names: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=bool() | int() | float() as value):
            return np.float64(value)
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](_walk(left, names), _walk(right, names))
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _BINARY:
            return _BINARY[type(op)](_walk(left, names), _walk(right, names))
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return _UNARY[type(op)](_walk(operand, names))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            return _FUNCTIONS[name](*(_walk(argument, names) for argument in arguments))
        case _:
            raise ExpressionError(
                f"{ast.unparse(node)!r} is not allowed in band math: use {sorted(names)}, numbers, operators "
                f"and {sorted(_FUNCTIONS)}",
            )

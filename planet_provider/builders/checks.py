"""Checks of names, ids and plain values, made before any request is sent.

Each function takes a value and the name of the field it came from, and returns the value as Planet takes it
or raises :class:`~planet_provider.exceptions.InvalidInputError`. Names are checked by their shape alone:
Planet adds item types, bundles and assets, and a list of them here would refuse new ones.
"""

from __future__ import annotations

import ast
import contextlib
import json
import math
import re
import sys
import threading
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any, TypeVar

import pendulum

from planet_provider.builders import spec
from planet_provider.exceptions import InvalidInputError

#: Items an order may hold. Source: Planet's Orders API overview, "a limit of 500 items per request"; some
#: item types allow fewer (100), which Planet answers with a 400.
MAX_ORDER_ITEMS = 500

#: Characters of an order's name. Planet documents no limit; this keeps the name, with a suffix of 15
#: characters, within the 255 that such fields usually have.
MAX_ORDER_NAME_LENGTH = 240

#: Seconds of the longest wait: what Python can wait for, 292 years on most machines.
MAX_SECONDS = threading.TIMEOUT_MAX

#: Why a window may have no length, for errors.
NO_WINDOW = (
    "A schedule such as @daily has runs whose data interval starts and ends in the same moment, by Airflow 3's "
    "default; schedule with CronDataIntervalTimetable to have one from run to run."
)

#: Bytes of a file's name: 255 on all usual file systems, less a suffix such as ``.0123abcd.part.json``.
MAX_FILE_NAME_BYTES = 255 - 20

#: Stands for a value that must not be shown.
NOT_SHOWN = "(not shown)"

# All three end up in URLs and in file names, so none may hold a slash or be a dot segment.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_ITEM_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_UUID = re.compile(
    r"(?:urn:uuid:)?(\{)?(?:[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(?(1)\})",
    re.IGNORECASE | re.ASCII,
)
_DATE = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})", re.ASCII)
# Airflow's ts_nodash_with_tz is 20240131T000000+0000.
_DATE_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}\S*|\d{8}T\d{4}\S*", re.ASCII)

_T = TypeVar("_T")


def text(value: object, field: str, *, secret: bool = False) -> str:
    """Check a string that is not blank and has no white space around it.

    :param secret: Leave the value out of the error.
    """
    shown = NOT_SHOWN if secret else value
    if not isinstance(value, str) or not value or value != value.strip():
        remedy = "must be a string that is not empty, without white space around it."
        raise InvalidInputError(field, shown, remedy)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidInputError(
            field, shown, "holds half of a surrogate pair, which is no character."
        ) from None
    return value


def without_bom(content: str) -> str:
    """Return text without the byte order mark that editors on Windows put before it."""
    return content.removeprefix("\ufeff")


def flag(value: object, field: str) -> bool:
    """Check a boolean; 0, 1 and strings are none."""
    if not isinstance(value, bool):
        raise InvalidInputError(field, value, "must be true or false.")
    return value


def flag_or_text(value: object, field: str) -> bool:
    """Check a boolean that a template or a variable may give as text, in any capitalisation."""
    known = {"true": True, "false": False}
    return flag(known.get(value.strip().lower(), value) if isinstance(value, str) else value, field)


def read_text(value: object) -> Any:
    """Return the list or object that text holds, as JSON or as Python prints it; all else as it is.

    A template that puts a value into other text prints it in Python's way.
    """
    if not isinstance(value, str):
        return value
    content = value.removeprefix("\ufeff").strip()
    if not content.startswith(("[", "{")):
        return value
    for read in (json.loads, ast.literal_eval):
        with contextlib.suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return read(content)
    return value


def from_text(value: object, field: str) -> Any:
    """Return what :func:`read_text` does, and refuse text that begins like a list or an object and is none.

    The text isn't shown, for it may hold credentials.
    """
    read = read_text(value)
    if isinstance(read, str) and read.removeprefix("\ufeff").strip().startswith(("[", "{")):
        try:
            json.loads(read)
        except (ValueError, RecursionError) as error:
            raise InvalidInputError(field, NOT_SHOWN, f"is text that holds no JSON: {error}.") from None
    return read


def number(value: object, field: str, *, above: float | None = None) -> int | float:
    """Check a finite number.

    :param above: The number must be greater than this.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidInputError(field, value, "must be a number.")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidInputError(field, value, "must be a finite number; JSON has no NaN and no infinity.")
    if above is not None and value <= above:
        raise InvalidInputError(field, value, f"must be greater than {above:g}.")
    return value


def seconds(value: object, field: str, *, or_none: bool = False) -> float:
    """Check a span of time, which is a timedelta or seconds, and return it in seconds.

    :param or_none: It may have no length.
    """
    found = number(value.total_seconds() if isinstance(value, timedelta) else value, field)
    if found < 0 or found > MAX_SECONDS or not (found or or_none):
        least = "must be 0 seconds or more" if or_none else "must be greater than 0 seconds"
        raise InvalidInputError(field, value, f"{least}, and {MAX_SECONDS:.0f} at most.")
    return float(found)


def whole_number(value: object, field: str) -> int:
    """Check a whole number greater than 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidInputError(field, value, "must be a whole number greater than 0.")
    return value


def limit(value: object, field: str = "limit") -> int | None:
    """Check how many results are wanted: a whole number greater than 0, or None for all of them."""
    return None if value is None else min(whole_number(value, field), sys.maxsize)  # more can't be counted


def choice(value: object, known: Collection[str], field: str, *, fold_case: bool = False) -> str:
    """Check a value that is one of a few.

    :param fold_case: Take any capitalisation, and return Planet's.
    """
    for name in known:
        if value == name or (fold_case and isinstance(value, str) and value.lower() == name.lower()):
            return name
    raise InvalidInputError(field, value, f"must be one of {', '.join(known)}.")


def mapping(value: object, field: str) -> Mapping[str, Any]:
    """Check a JSON object. The error shows its type alone, for an object may hold credentials."""
    if not isinstance(value, Mapping):
        shown = value if is_reference(value) else type(value).__name__
        raise InvalidInputError(field, shown, "must be an object (a dict).")
    if odd := [name for name in value if not isinstance(name, str)]:
        raise InvalidInputError(field, odd, "are no names: a JSON object's names are text.")
    return value


def is_known(name: object, known: Collection[str], field: str, *, elsewhere: Collection[str] = ()) -> bool:
    """Tell whether a name is known. One that Planet may have added since is warned of, and can be sent.

    :param elsewhere: Names that are known for something else.
    :raises InvalidInputError: It is a known one misspelt, or one from elsewhere: Planet may pass over it, and
        charge for an order without it.
    """
    if isinstance(name, str) and name in known:
        return True
    if not isinstance(name, str) or not _may_be_new(name, known):
        meant = spec.mistyped(name, known) if isinstance(name, str) else None
        remedy = f"must be one of {', '.join(known)}{f'; did you mean {meant}?' if meant else '.'}"
        raise InvalidInputError(field, name, remedy)
    spec.warn_of_new(name, known, field)
    return False


def _may_be_new(name: str, known: Collection[str], elsewhere: Collection[str] = ()) -> bool:
    """Tell a name that Planet may have added since from a mistake."""
    return bool(_NAME.fullmatch(name)) and name not in elsewhere and not spec.mistyped(name, known)


def fields(
    value: object,
    field: str,
    *,
    required: Collection[str],
    optional: Collection[str] = (),
    elsewhere: Collection[str] | None = None,
) -> Mapping[str, Any]:
    """Check a JSON object that has all the required fields and no unknown ones.

    :param elsewhere: Fields that are known for something else. If given, others are taken for fields that Planet
        has added since: with a warning, unless they are known ones misspelt.
    """
    checked = mapping(value, field)
    present = sorted(checked)
    if missing := [name for name in required if name not in checked]:
        raise InvalidInputError(field, present, f"lacks {', '.join(missing)}.")
    known = (*required, *optional)
    unknown = [name for name in present if name not in known]
    if elsewhere is not None:
        new = [name for name in unknown if _may_be_new(name, known, elsewhere)]
        for name in new:
            spec.warn_of_new(name, known, field)
            json_value(checked[name], f"{field}.{name}")
        unknown = [name for name in unknown if name not in new]
    if unknown:
        remedy = f"{', '.join(unknown)} is not known here; known are {', '.join(known)}."
        raise InvalidInputError(field, present, remedy)
    return checked


def json_value(value: object, field: str) -> Any:
    """Copy what is sent as it is, and check that it is JSON. The error shows its type alone."""
    copied = plain(value)
    try:
        json.dumps(copied, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        remedy = f"is sent as it is, so it must be JSON: {error}."
        raise InvalidInputError(field, type(value).__name__, remedy) from None
    return copied


def sequence(value: object, field: str, check: Callable[[Any, str], _T]) -> list[_T]:
    """Check a list or tuple that is not empty, and each of its entries."""
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        raise InvalidInputError(field, value, "must be a list; a single value goes into one too.")
    if not value:
        raise InvalidInputError(field, value, "must not be empty.")
    return [check(entry, f"{field}[{index}]") for index, entry in enumerate(value)]


def given(**values: object) -> dict[str, Any]:
    """Keep what is not None."""
    return {name: value for name, value in values.items() if value is not None}


def plain(value: object) -> Any:
    """Copy a value into dicts and lists, as JSON has them."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [plain(entry) for entry in value]
    return value


def is_reference(value: object) -> bool:
    """Tell whether it is a task's output or a mapped argument, which Airflow fills in when the task runs."""
    return hasattr(type(value), "iter_references")


def _shaped(value: object, field: str, shape: re.Pattern[str], remedy: str) -> str:
    if not isinstance(value, str) or not shape.fullmatch(value):
        raise InvalidInputError(field, value, remedy)
    return value


def _uuid(value: object, field: str, what: str) -> uuid.UUID:
    if isinstance(value, uuid.UUID):
        return value
    # Python's parser takes signs and underscores among the digits, too.
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise InvalidInputError(field, value, f"must be {what}: a UUID.")
    return uuid.UUID(value.lower())


def item_type(value: object, field: str = "item_type") -> str:
    """Check the shape of an item type, e.g. ``PSScene`` or ``Sentinel2L1C``.

    Capitals count, as they do for Planet.
    """
    return _shaped(value, field, _NAME, "must be an item type: letters, digits and _, such as PSScene.")


def item_types(value: object, field: str = "item_types") -> list[str]:
    """Check item types: several, or a single one. Repeated ones are dropped."""
    value = from_text(value, field)
    if isinstance(value, str):
        return [item_type(value, field)]
    if isinstance(value, Iterable) and not isinstance(value, Mapping) and not is_reference(value):
        value = list(value)
    return list(dict.fromkeys(sequence(value, field, item_type)))


def item_id(value: object, field: str = "item_id") -> str:
    """Check the shape of an item id, e.g. ``20220125_075509_67_1061``."""
    remedy = "must be an item id: letters, digits, _, - and ., such as 20220125_075509_67_1061."
    return _shaped(value, field, _ITEM_ID, remedy)


def item_ids(value: object, field: str = "item_ids", *, max_items: int = MAX_ORDER_ITEMS) -> list[str]:
    """Check item ids, and drop repeated ones.

    Repeated ids are dropped rather than refused, for joined search results often overlap and an item is
    wanted once. The first of each stays, in its place.

    :param max_items: How many different ids there may be.
    :raises InvalidInputError: It is no list, or empty, or has a malformed id or too many.
    """
    checked = list(dict.fromkeys(sequence(from_text(value, field), field, item_id)))
    return bounded(checked, field, max_items)


def bounded(checked: list[str], field: str, max_items: int) -> list[str]:
    """Check how many items there are."""
    if len(checked) > whole_number(max_items, "max_items"):
        remedy = (
            f"{len(checked)} items are more than the {max_items} an order may hold; split them up, or raise "
            "max_order_items (an extra of the connection) where Planet takes more of this account."
        )
        raise InvalidInputError(field, checked, remedy)
    return checked


def asset_type(value: object, field: str = "asset_type") -> str:
    """Check the shape of an asset type, e.g. ``ortho_analytic_4b``."""
    remedy = "must be an asset type: letters, digits and _, such as ortho_analytic_4b."
    return _shaped(value, field, _NAME, remedy)


def product_bundle(value: object, field: str = "product_bundle") -> str:
    """Check the shape of one product bundle's name, e.g. ``analytic_udm2``."""
    remedy = (
        "must be one product bundle: letters, digits and _, such as analytic_udm2; "
        "bundles to fall back on go into fallback_bundles."
    )
    return _shaped(value, field, _NAME, remedy)


def order_id(value: object, field: str = "order_id") -> str:
    """Check an order's id.

    :param value: A UUID, or its text in any usual spelling: in braces, as ``urn:uuid:``, without hyphens.
    :return: The UUID in lower case, with hyphens.
    """
    return str(_uuid(value, field, "an order's id"))


def order_ids(value: object, field: str = "order_ids") -> list[str]:
    """Check ids of orders, in any iterable but a string or a mapping; there may be none."""
    if not isinstance(value, Iterable) or isinstance(value, (str, bytes, Mapping)) or is_reference(value):
        raise InvalidInputError(field, value, "must be a list; a single order's id goes into one too.")
    return [order_id(one, f"{field}[{index}]") for index, one in enumerate(value)]


def search_id(value: object, field: str = "search_id") -> str:
    """Check a saved search's id.

    :return: The UUID in lower case; without hyphens, as Planet writes it, unless it was given with them.
    """
    checked = _uuid(value, field, "a saved search's id")
    return str(checked) if isinstance(value, str) and "-" in value else checked.hex


def collection_id(value: object, field: str = "collection_id") -> str:
    """Check the id of a Sentinel Hub collection.

    :return: The UUID in lower case, with hyphens.
    """
    return str(_uuid(value, field, "the id of a Sentinel Hub collection"))


def order_name(value: object, field: str = "name", *, max_length: int = MAX_ORDER_NAME_LENGTH) -> str:
    """Check an order's name.

    Orders are looked up by their exact name, so it has no white space around it and no control characters.

    :param max_length: In characters.
    """
    checked = text(value, field)
    if not checked.isprintable():
        raise InvalidInputError(field, value, "must have no line breaks and no control characters.")
    if len(checked) > max_length:
        raise InvalidInputError(
            field, value, f"must have at most {max_length} characters, not {len(checked)}."
        )
    return checked


def utc_datetime(value: object, field: str) -> str:
    """Turn a point in time into an RFC 3339 string in UTC.

    A time without an offset is refused, never taken for UTC; so is a date without a time, for a date is a
    whole day, and which day depends on the offset.

    :param value: An aware :class:`~datetime.datetime` (pendulum's are such), or an ISO 8601 string with an
        offset. A space in place of the ``T``, lower case, and the basic form without hyphens and colons, all of
        which templates render, are fine.
    :return: E.g. ``2024-01-31T00:00:00Z``, with microseconds where there are any; finer digits are cut.
    """
    moment = _moment(value, field)
    try:
        return moment.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    except OverflowError:
        raise InvalidInputError(field, value, "is outside of the years 1 to 9999 in UTC.") from None


def time_order(moment: str) -> str:
    """Return what orders the results of :func:`utc_datetime` by time, as their text alone does not.

    Without its last letter a whole second is a prefix of its fractions, and so comes before them.
    """
    return moment.removesuffix("Z")


def _moment(value: object, field: str) -> datetime:
    given = _parsed(value, field) if isinstance(value, str) else value
    if isinstance(given, date) and not isinstance(given, datetime):
        remedy = (
            f"is a date without a time and an offset; write {given.isoformat()}T00:00:00Z if that is meant."
        )
        raise InvalidInputError(field, value, remedy)
    # pandas' NaT is a datetime that equals nothing, itself included.
    if not isinstance(given, datetime) or given != given:  # noqa: PLR0124
        remedy = "must be an aware datetime, or a date and time with an offset such as 2024-01-31T00:00:00Z."
        raise InvalidInputError(field, value, remedy)
    if given.utcoffset() is None:
        remedy = "has no offset, so it names no point in time; add one, e.g. Z for UTC."
        raise InvalidInputError(field, value, remedy)
    return given


def _parsed(value: str, field: str) -> object:
    spelled = value.strip().upper()
    day = _DATE.match(spelled)
    if day is None or not (_DATE.fullmatch(spelled) or _DATE_TIME.fullmatch(spelled)):
        return None
    try:
        date(*map(int, day.groups()))
    except ValueError as error:
        raise InvalidInputError(field, value, f"is no day of the calendar: {error}.") from None
    try:
        # Without these pendulum takes what has no offset for UTC.
        return pendulum.parse(spelled, exact=True, tz=None)
    except ValueError:
        return None

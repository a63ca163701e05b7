"""Planet's item types, product bundles, asset types and fields, as they were known at a date: for warnings alone.

Planet adds to them, so what is unknown here is never refused: it is sent as it is, and a warning in the log
names what may have been meant. Nothing is fetched.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping
from difflib import SequenceMatcher, get_close_matches
from functools import cache, lru_cache
from importlib import resources
from typing import Any

log = logging.getLogger(__name__)

#: How alike two names must be for one to be suggested for the other; difflib's own default.
_ALIKE = 0.6
_SUGGESTIONS = 3
#: How alike two names of about the same length must be for one to be the other, misspelt: "clp" is 0.86 of "clip".
_MISTYPED = 0.75


def edition() -> str:
    """Return the date of the lists of item types, bundles and assets."""
    return str(_spec()["edition"])


def item_types(product_bundle: str | None = None) -> frozenset[str]:
    """Return the item types known; with a product bundle, those that it is for."""
    if product_bundle is not None:
        return frozenset(_bundles().get(product_bundle, ()))
    ordered = (item_type for assets in _bundles().values() for item_type in assets)
    return frozenset(ordered).union(_spec()["searched_only"])


def product_bundles(item_type: str | None = None) -> frozenset[str]:
    """Return the product bundles known; with an item type, those that there are for it."""
    bundles = _bundles().items()
    return frozenset(name for name, assets in bundles if item_type is None or item_type in assets)


def asset_types(item_type: str | None = None) -> frozenset[str]:
    """Return the asset types that bundles have; with an item type, its own. Items may have others beside."""
    return frozenset(
        asset_type
        for assets in _bundles().values()
        for kind, several in assets.items()
        if item_type in (None, kind)
        for asset_type in several
    )


def check_item_type(item_type: str, field: str) -> None:
    """Warn of an item type that is not known here.

    :param field: Name that the warning gives it.
    """
    if item_type not in item_types():
        warn(field, item_type, f"no item type known in {edition()}", *_alike(item_type, item_types()))


def check_product_bundle(product_bundle: str, item_type: str, field: str) -> None:
    """Warn of a product bundle that is not known here, or not for the item type.

    :param field: Name that the warning gives it.
    """
    if product_bundle not in product_bundles():
        alike = _alike(product_bundle, product_bundles())
        warn(field, product_bundle, f"no product bundle known in {edition()}", *alike)
    elif product_bundles(item_type) and item_type not in item_types(product_bundle):
        what = f"no product bundle that {item_type} was known to have in {edition()}"
        warn(field, product_bundle, what, *_alike(product_bundle, product_bundles(item_type)))


def check_assets_of(asset_types_: Collection[str], item_types_: Collection[str], field: str) -> None:
    """Warn of asset types of which no item type searched has any, but others do.

    :param asset_types_: Of which an item must have one.
    :param item_types_: That are searched.
    :param field: Name that the warning gives them.
    """
    theirs = [asset_types(item_type) for item_type in item_types_]
    known = frozenset().union(*theirs)
    if not all(theirs) or known.intersection(asset_types_):
        return
    for asset_type in asset_types().intersection(asset_types_):
        what = f"no asset type that {' or '.join(item_types_)} was known to have in {edition()}"
        warn(field, asset_type, what, *_alike(asset_type, known))


#: The filters that match each kind of field.
_FILTERS_OF = {
    "time": ("DateRangeFilter",),
    "number": ("RangeFilter", "NumberInFilter"),
    "text": ("StringInFilter",),
    "geometry": ("GeometryFilter",),
}


def check_field(name: str, kind: str, config: Any, field: str) -> None:
    """Warn of a filter that finds nothing, or everything, because of its field's name, kind or range.

    :param name: The field's name.
    :param kind: The filter's type.
    :param config: The filter's checked ``config``.
    :param field: Name that the warning gives the filter.
    """
    fields = _spec()["fields"]
    if name not in fields:
        warn(f"{field}.field_name", name, f"no field known in {edition()}", *_alike(name, fields))
        return
    about = fields[name]
    right = _FILTERS_OF[about["is"]]
    if kind == "UpdateFilter":  # matches any field
        return
    if kind not in right:
        what = f"a {about['is']}, which a {kind} never matches; use a {' or a '.join(right)}"
        warn(f"{field}.field_name", name, what)
    elif "from" in about:
        for value in config.values() if isinstance(config, Mapping) else config:
            _check_range(name, about, value, f"{field}.config")
    elif "values" in about and isinstance(config, list):
        for value in {*config} - {*about["values"]}:
            what = f"no value that {name} was known to have in {edition()}"
            warn(f"{field}.config", value, what, *_alike(value, about["values"]))


def _check_range(name: str, about: Mapping[str, Any], value: float, field: str) -> None:
    lowest, highest = about["from"], about["to"]
    if not lowest <= value <= highest:
        # A percentage where a fraction is meant.
        meant = (f"{value / 100:g}",) if highest == 1 < value <= 100 else ()
        warn(field, value, f"outside the range of {name}, {lowest} to {highest}", *meant)
    elif name.endswith("_percent") and 0 < value < 1:
        warn(field, value, f"less than one percent, and {name} runs from 0 to 100", f"{value * 100:g}")


def check_asset_type(asset_type: str, field: str) -> None:
    """Warn of an asset type that looks like one known here and is none.

    :param field: Name that the warning gives it.
    """
    # Items have more assets than bundles, so what looks like nothing known is nothing to warn of.
    if asset_type not in asset_types() and (alike := _alike(asset_type, asset_types())):
        warn(field, asset_type, f"no asset type of a bundle known in {edition()}", *alike)


def mistyped(name: str, known: Collection[str]) -> str | None:
    """Return the known name that was meant: in other capitals or signs, a part of it, or a letter or two off."""

    def plain(one: str) -> str:
        return one.lower().removesuffix("filter")

    given = plain(name)
    for one in sorted(known):
        other = plain(one)
        same = list(filter(str.isalnum, given)) == list(filter(str.isalnum, other))
        close = abs(len(given) - len(other)) <= 1
        if (
            same
            or given in other.split("_")
            or (close and SequenceMatcher(None, given, other).ratio() >= _MISTYPED)
        ):
            return one
    return None


def warn_of_new(name: str, known: Collection[str], field: str) -> None:
    """Warn of a name that Planet may have added since.

    :param known: What may have been meant instead.
    :param field: Name that the warning gives it.
    """
    warn(field, name, f"not known in {edition()}", *_alike(name, known))


@cache
def _spec() -> Mapping[str, Any]:
    text = resources.files("planet_provider.builders").joinpath("spec.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def _bundles() -> Mapping[str, Mapping[str, Collection[str]]]:
    bundles: Mapping[str, Mapping[str, Collection[str]]] = _spec()["bundles"]
    return bundles


def _alike(name: str, known: Collection[str]) -> list[str]:
    by_lower = {one.lower(): one for one in sorted(known)}
    if name.lower() in by_lower:
        return [by_lower[name.lower()]]
    return [by_lower[one] for one in get_close_matches(name.lower(), by_lower, _SUGGESTIONS, _ALIKE)]


@lru_cache(maxsize=1024)  # each warning once a process: a filter is checked whenever it is combined
def warn(field: str, value: object, what: str, *alike: str) -> None:
    """Log a warning of a value that is sent all the same.

    :param field: Name that the warning gives it.
    :param value: The value; hashable.
    :param what: What it is.
    :param alike: What may have been meant.
    """
    meant = f"; did you mean {' or '.join(alike)}?" if alike else "."
    log.warning("%s=%r is %s%s It is sent as it is.", field, value, what, meant)

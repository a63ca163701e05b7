"""Delivered names: none leads out of its folder, none takes another's place."""

from __future__ import annotations

import posixpath
import string
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planet_provider.exceptions import UnsafePathError
from planet_provider.transfer.names import (
    check_component,
    check_name,
    check_places,
    disposition_name,
)
from planet_provider.transfer.stores.local import LocalStore
from planet_provider.transfer.stores.spool import ObjectStore

ROOT = "/srv/orders/3f4ce21e"

_NASTY = st.sampled_from(
    [
        "..",
        ".",
        "",
        "/",
        "//",
        "\\",
        "..\\",
        "C:",
        "~",
        "a",
        "A",
        "é",
        "%2e%2e",
        "\0",
        "\n",
        "\u202e",
        "...",
        ".. ",
    ]
)
_NAMES = st.one_of(
    st.text(),
    st.lists(st.one_of(_NASTY, st.text(max_size=5)), max_size=6).map("/".join),
    st.lists(_NASTY, max_size=8).map("".join),
)


@pytest.mark.parametrize(
    "name",
    [
        "manifest.json",
        "PSScene/20220125_075509_67_1061_3B_AnalyticMS.tif",
        "SkySatCollect/20200130/a b (1).tif",
        "composite/größe.tif",
        ".hidden",
        "a..b/..c",
        "x" * 235,
    ],
)
def test_usual_names_pass_unchanged(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "empty"),
        (None, "not a string"),
        (7, "not a string"),
        ("/etc/passwd", "absolute"),
        ("//host/share", "absolute"),
        ("../x", "dots"),
        ("a/../../x", "dots"),
        ("a/..", "dots"),
        ("./a", "dots"),
        ("a/.. /b", "dots"),
        ("a//b", "empty component"),
        ("a/", "empty component"),
        ("a/ /b", "empty component"),
        ("..\\x", "backslash"),
        ("C:x", "drive letter"),
        ("c:/x", "drive letter"),
        ("a\0b", "control"),
        ("a\nb", "control"),
        ("a\x7fb", "control"),
        ("gpj.\u202efit", "control"),
        ("a\ud800", "control"),
        ("x" * 236, "component of more than"),
        ("/".join(["x" * 200] * 6), "longer than 1024 bytes"),
        ("é" * 130, "component of more than"),
        (".planet-transfer-0123/x", "own files"),
    ],
)
def test_unsafe_names_are_refused_by_what_is_wrong(name: object, problem: str) -> None:
    with pytest.raises(UnsafePathError, match=problem) as caught:
        check_name(name)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


@given(_NAMES)
def test_no_name_leads_out_of_its_folder(name: str) -> None:
    try:
        path = LocalStore(ROOT).uri(name) if name else ROOT + "/.."
    except UnsafePathError:
        return
    if not name:
        return
    assert posixpath.normpath(path) == path == f"{ROOT}/{name}"
    assert not set(name) & {"\\", "\0", "\n"}


@given(_NAMES.filter(bool))
def test_no_name_leads_out_of_its_prefix(name: str) -> None:
    store = ObjectStore(_Filesystem(), "bucket/prefix", uri="s3://conn@bucket/prefix")
    try:
        uri = store.uri(name)
    except UnsafePathError:
        return
    assert uri == f"s3://conn@bucket/prefix/{name}"
    assert ".." not in uri.split("/")


@pytest.mark.parametrize(
    "names",
    [
        ["a.tif", "a.tif"],
        ["A.tif", "a.TIF"],
        ["PSScene/straße.tif", "psscene/STRASSE.tif"],
        ["caf\u00e9", "cafe\u0301"],
        ["a", "a/b"],
        ["a/b/c", "A/B"],
        ["a.tif", "a.tif.part"],
        ["a.tif.part.json", "a.tif"],
        ["a.tif", "a.tif.part/b"],
    ],
)
def test_two_files_cannot_have_one_place(names: list[str]) -> None:
    for order in (names, names[::-1]):
        with pytest.raises(UnsafePathError):
            check_places(order)


def test_files_beside_each_other_pass() -> None:
    check_places(["a/b", "a/c", "a.b", "A2/b", "manifest.json", "a/b.json"])


@given(st.lists(st.text(string.ascii_letters + "/.", min_size=1, max_size=6), unique=True))
def test_names_that_pass_can_all_be_stored_where_case_folds(names: list[str]) -> None:
    try:
        checked = [check_name(name) for name in names]
        check_places(checked)
    except UnsafePathError:
        return
    folded = [unicodedata.normalize("NFC", name.casefold()) for name in checked]
    assert len(set(folded)) == len(folded)
    assert not any(other.startswith(f"{name}/") for name in folded for other in folded)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="20220125_075509.tif"', "20220125_075509.tif"),
        ("attachment; filename=plain.tif", "plain.tif"),
        ("attachment; filename*=UTF-8''gr%C3%B6%C3%9Fe.tif", "größe.tif"),
        ('attachment; filename="../../etc/passwd"', "../../etc/passwd"),
        ("attachment", None),
        ("", None),
        (None, None),
        ('attachment; filename="a"\r\nX: y', None),
    ],
)
def test_file_name_of_a_content_disposition(header: str | None, name: str | None) -> None:
    assert disposition_name(header) == name


def test_a_component_has_no_folders() -> None:
    with pytest.raises(UnsafePathError, match="folders"):
        check_component("a/b")


class _Filesystem:
    protocol = "s3"

    def put_file(self, lpath: str, rpath: str) -> None:
        raise NotImplementedError

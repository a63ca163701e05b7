"""The Makefile: each target that the docs and CI name does something."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
MAKEFILE = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
_RULE = re.compile(r"^([a-z][a-z-]*):([^=\n]*)\n((?:\t.+\n?)*)", re.MULTILINE)
#: Code on a page; not "make sure" in a sentence. A script is code throughout.
_CODE = re.compile(r"^ *```bash\n(.*?)^ *```$|`(make [^`]*)`", re.MULTILINE | re.DOTALL)


def test_each_target_that_is_named_has_a_rule() -> None:
    # For a phony target without a rule make says "Nothing to be done", and succeeds.
    rules = {
        name
        for name, needs, recipe in _RULE.findall(MAKEFILE)
        if recipe.strip() or needs.partition("#")[0].strip()
    }
    [phony] = re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    assert set(phony.split()) <= rules
    pages = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]
    code = ["".join(found) for page in pages for found in _CODE.findall(page.read_text(encoding="utf-8"))]
    code.append((REPOSITORY / ".ci" / "run").read_text(encoding="utf-8"))
    named = {name for block in code for name in re.findall(r"\bmake ([a-z][a-z-]*)", block)}
    assert {"test", "check"} <= named <= set(phony.split())

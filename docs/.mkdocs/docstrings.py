"""An extension of griffe: what is reST in our docstrings, beside the fields, becomes Markdown."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

#: ``:class:`~planet_provider.client.config.PlanetConfig```; the title before a target in ``<>`` is kept.
_ROLE = re.compile(r":(?:py:)?(?:class|func|meth|mod|data|attr|exc):`(?P<short>~?)(?P<target>[\w.]+)`")
_DIRECTIVE = re.compile(r"^ *\.\. code-block:: \w+ *\n", re.MULTILINE)
_LITERAL = re.compile(r"^(?P<text>.*?)\s*::\s*$", re.MULTILINE)


class MarkdownDocstrings(Extension):
    """Link what our docstrings name, and show their examples as code."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rewrite an object's docstring."""
        if obj.docstring is not None:
            obj.docstring.value = _markdown(obj.docstring.value)


def _markdown(text: str) -> str:
    text = _DIRECTIVE.sub("", _ROLE.sub(_link, text))
    return _LITERAL.sub(lambda found: f"{found['text']}:" if found["text"] else "", text)


def _link(role: re.Match[str]) -> str:
    target = role["target"]
    shown = target.rpartition(".")[2] if role["short"] or target.startswith("planet_provider.") else target
    if not target.startswith("planet_provider."):
        return f"`{shown}`"
    # Optional, because not every module has a place in the reference.
    return f'<autoref identifier="{target}" optional><code>{shown}</code></autoref>'

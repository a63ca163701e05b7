"""A hook of mkdocs: pages from the repository's top files, and links that lead out of docs/.

Such links are good where the repository is read. On the site, one to a top file or to an example DAG leads to its
page here, and one to any other file becomes plain text.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from typing import Any

from mkdocs.structure.files import File, Files

REPOSITORY = Path(__file__).resolve().parents[2]
#: Top files that are pages here.
INCLUDED = {
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}

_FENCE = re.compile(r"^(```+|~~~+).*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>(?![a-z+]+:|#|/)[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """Add the pages of the top files."""
    for name, page in INCLUDED.items():
        text = (REPOSITORY / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_relinked(text, folder="", page=page)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Repair a page's links that lead out of docs/."""
    source = page.file.src_uri
    if source in INCLUDED.values():
        return markdown
    return _relinked(markdown, folder=normpath(f"docs/{PurePosixPath(source).parent}"), page=source)


def _relinked(text: str, *, folder: str, page: str) -> str:
    parts, end = [], 0
    for fence in _FENCE.finditer(text):
        parts += [_mended(text[end : fence.start()], folder, page), fence[0]]
        end = fence.end()
    return "".join([*parts, _mended(text[end:], folder, page)])


def _mended(text: str, folder: str, page: str) -> str:
    """Rewrite links; what leads to nothing stays as it is, so that mkdocs tells of it.

    :param folder: Folder that links are relative to, from the top of the repository.
    :param page: The page they stand on, from docs/.
    """

    def fix(link: re.Match[str]) -> str:
        target = normpath(f"{folder}/{link['target']}" if folder else link["target"])
        if not (REPOSITORY / target).exists():
            return link[0]
        path = _page_of(target)
        if path is None:
            return link["text"]
        here = relpath(path, PurePosixPath(page).parent.as_posix())
        return f"[{link['text']}]({here}{link['anchor'] or ''})"

    return _LINK.sub(fix, text)


def _page_of(target: str) -> str | None:
    if target.startswith("docs/"):
        return target.removeprefix("docs/")
    if target == "README.md":
        return "index.md"
    if target.startswith("example_dags/") and target.endswith(".py"):
        how_to = f"how-to/{PurePosixPath(target).stem.removeprefix('planet_').replace('_', '-')}.md"
        return how_to if (REPOSITORY / "docs" / how_to).exists() else None
    return INCLUDED.get(target)

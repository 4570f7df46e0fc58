"""MkDocs hook: CONTRIBUTING.md and CHANGELOG.md, which lie at the top for GitHub's sake, become pages."""

from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
TOP = ("CONTRIBUTING", "CHANGELOG")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add them; at the top a page is `docs/page.md`, here it lies beside them."""
    for name in TOP:
        text = (ROOT / f"{name}.md").read_text().replace("](docs/", "](")
        files.append(File.generated(config, f"{name.lower()}.md", content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """A link to one of them, from a page or from the other, leads to its page."""
    for name in TOP:
        for link in (f"](../{name}.md", f"]({name}.md"):
            markdown = markdown.replace(link, f"]({name.lower()}.md")
    return markdown

"""MkDocs hook: the page on records shows those of benchmarks/records, in a table and a plot."""

import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))  # this checkout's, whichever is installed

from playloop.benchmarks.records import page as tables  # noqa: E402
from playloop.benchmarks.records import picture, read_records  # noqa: E402

RECORDS = ROOT / "benchmarks" / "records"
MARK = "<!-- records -->"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the plot."""
    files.append(File.generated(config, "records.svg", content=picture(read_records(RECORDS))))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Fill in the tables."""
    return (
        markdown.replace(MARK, tables(read_records(RECORDS)))
        if page.file.src_uri == "records.md"
        else markdown
    )

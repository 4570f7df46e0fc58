"""Whoever meets an error finds it in docs/troubleshooting.md: every sentence that names a fix is a row there.

A sentence is what stands in a `raise`, with … for what it inserts. It names a fix where one of its clauses
(at its beginning or behind a colon, semicolon, comma or full stop) begins with one of the verbs below. What
precedes that clause is the row's first column, and the second column begins with the clause.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "troubleshooting.md"
WORDS = """
    add apt-get ask begin call capture check choose compute convert copy correct decode delete
    download encode evaluate fetch free get give have install keep leave lower make merge name pass
    pip put raise record remove rename resize restore run say see send set start store train try
    unset use wait write
"""
VERBS = frozenset(re.findall(r"\S+", WORDS))
CLAUSE = re.compile(r"(?:^|[;:.,] )(?:or |and )?([A-Za-z-]+)(?!\w*=)")


def sentence(node: ast.expr) -> str | None:
    """The literal text of an error, … for every value in it; None where there is none.

    >>> sentence(ast.parse("f'inits={n} selects ' + what", mode="eval").body)
    'inits=… selects …'
    """
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = sentence(node.left), sentence(node.right)
        return None if left is None and right is None else (left or "…") + (right or "…")
    return None


def plain(text: str) -> str:
    """Without backticks, runs of … and blanks, and the full stop at its end."""
    return re.sub(r"\s+", " ", re.sub(r"…+", "…", text.replace("`", ""))).strip().rstrip(".:")


def divided(text: str) -> tuple[str, str] | None:
    """What is wrong and what to do; None if the sentence names no fix."""
    for clause in CLAUSE.finditer(text):
        if clause[1].lower() in VERBS:
            return text[: clause.start()], text[clause.start() :].lstrip(";:., ")
    return None


def fixes() -> Iterator[tuple[str, str, str]]:
    """(where, what is wrong, what to do) of every error sentence of the product that names a fix."""
    package = ROOT / "src" / "playloop"
    files = [*package.glob("*.py"), *(path for room in package.iterdir() for path in room.rglob("*.py"))]
    for path in sorted(files):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
                text = sentence(node.exc.args[0])
                if text is not None and (parts := divided(plain(text))):
                    yield f"{path.relative_to(package)}:{node.lineno}", *parts


def rows() -> list[tuple[str, str]]:
    """The two columns of every row of the page's tables, headings left out."""
    lines = re.findall(r"^\| (.*?) \| (.*?) \|$", PAGE.read_text(), re.M)
    return [(plain(left), plain(right)) for left, right in lines if left not in ("it says", "---")]


def answers(row: tuple[str, str], cause: str, fix: str) -> bool:
    """Whether a row is that of an error; one whose whole sentence is the fix stands in the first column."""
    left, right = row
    return (left == cause and right.startswith(fix)) if cause else left == fix


def test_every_sentence_that_names_a_fix_is_on_the_page():
    known = rows()
    missing = [
        f"{where}\n| `{cause or fix}` | {fix if cause else '…'} |"
        for where, cause, fix in fixes()
        if not any(answers(row, cause, fix) for row in known)
    ]
    assert not missing, "docs/troubleshooting.md lacks these rows:\n" + "\n".join(missing)


def test_the_page_names_no_sentence_that_is_gone():
    there = list(fixes())
    gone = [row for row in rows() if not any(answers(row, cause, fix) for _, cause, fix in there)]
    assert not gone, "no error says this any more: remove these rows of docs/troubleshooting.md"


def test_no_row_stands_twice():
    known = rows()
    assert len(known) > 300 and sorted(set(known)) == sorted(known)


def test_the_rule_sees_clauses_and_not_values():
    assert divided("inits=… selects no initial state; use at least 1") == (
        "inits=… selects no initial state",
        "use at least 1",
    )
    assert divided("give one checkpoint, not …") == ("", "give one checkpoint, not …")
    assert divided("agent.chunk must be 1 to 8; a longer one would not be noticed") is None
    assert divided("… has the format …; set=… is unknown") is None

"""The Markdown of runbooks as HTML: headings, paragraphs, quotes, lists, tables, blocks of code, code, links, bold.

All text is escaped. A link leads to a heading, to another runbook, or to a URL; others are shown as text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from markupsafe import escape

_INLINE = re.compile(r"(?P<code>`[^`]+`)|\*\*(?P<bold>[^*]+)\*\*|\[(?P<text>[^\]]+)\]\((?P<link>[^)\s]+)\)")
_LINK = re.compile(r"https?://.*|(?:\w+\.md)?(?:#[\w-]+)?")
_ITEM = re.compile(r"(?P<mark>-|\d+\.) +")
_CELLS = re.compile(r"(?<!\\)\|")


def html(text: str) -> str:
    """The HTML of a text."""
    return "\n".join(_blocks(text.split("\n")))


def _blocks(lines: Sequence[str]) -> Iterator[str]:
    at = 0
    while at < len(lines):
        line = lines[at]
        end = at + 1
        if not line.strip() or line.startswith("<!--"):
            pass
        elif line.startswith("```"):
            end = next(n for n in range(at + 1, len(lines)) if lines[n].startswith("```")) + 1
            yield f'<pre tabindex="0"><code>{escape(chr(10).join(lines[at + 1 : end - 1]))}</code></pre>'
        elif line.startswith("#"):
            level, title = len(line) - len(line.lstrip("#")), line.lstrip("# ")
            name = re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
            yield f'<h{level} id="{escape(name)}">{_inline(title)}</h{level}>'
        elif line.startswith("|"):
            end = _end(lines, at, lambda each: each.startswith("|"))
            yield _table(lines[at:end])
        elif _ITEM.match(line):
            end = _end(lines, at, lambda each: not each.strip() or each.startswith(" ") or bool(_ITEM.match(each)))
            yield from _list(lines[at:end])
        else:
            end = _end(lines, at, lambda each: bool(each.strip()) and not each.startswith(("```", "#", "|", "- ")))
            words = _inline("\n".join(each.removeprefix("> ") for each in lines[at:end]))
            yield f"<blockquote><p>{words}</p></blockquote>" if line.startswith("> ") else f"<p>{words}</p>"
        at = end


def _end(lines: Sequence[str], at: int, belongs: Callable[[str], bool]) -> int:
    return next((n for n in range(at + 1, len(lines)) if not belongs(lines[n])), len(lines))


def _list(lines: Sequence[str]) -> Iterator[str]:
    """A list; what is indented below an item belongs to it."""
    items: list[list[str]] = []
    for line in lines:
        if (mark := _ITEM.match(line)) is not None:
            items.append([line[mark.end() :]])
        else:
            items[-1].append(line.removeprefix("   ") if line.startswith("   ") else line.strip())
    kind = "ul" if lines[0].startswith("-") else "ol"
    yield f"<{kind}>"
    yield from (f"<li>{chr(10).join(_blocks(item))}</li>" for item in items)
    yield f"</{kind}>"


def _table(lines: Sequence[str]) -> str:
    head, _, *rows = ([cell.strip() for cell in _CELLS.split(line)[1:-1]] for line in lines)
    titles = "".join(f'<th scope="col">{_inline(cell)}</th>' for cell in head)
    body = "\n".join(f"<tr>{''.join(f'<td>{_inline(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{titles}</tr></thead><tbody>\n{body}\n</tbody></table>"


def _inline(text: str) -> str:
    """What a line contains, with escaped text."""
    parts: list[str] = []
    at = 0
    for match in _INLINE.finditer(text):
        parts.append(escape(text[at : match.start()]))
        parts.append(_span(match))
        at = match.end()
    return "".join([*parts, escape(text[at:])]).replace(r"\|", "|")


def _span(match: re.Match[str]) -> str:
    if match["code"]:
        return f"<code>{escape(match['code'][1:-1])}</code>"
    if match["bold"]:
        return f"<b>{_inline(match['bold'])}</b>"
    words = _inline(match["text"])
    return (
        f'<a href="{escape(match["link"])}" rel="noreferrer">{words}</a>' if _LINK.fullmatch(match["link"]) else words
    )

"""What `top` shows: lines made of a table of workloads and of what was chosen by keys. Does no I/O, reads no clock."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from exporter.cli.terminal import ScreenLine, ScreenSpan, fitted, padded, width
from exporter.cli.top_table import SORTS, Explained, TopRow, TopTable, TopTraffic

MIN_WIDTH, MIN_HEIGHT = 50, 8
TRAFFIC_WIDTH = 100
"""Columns of the screen from which on the requests to workloads are shown."""
_LEADING_URL = re.compile(r"^https?://\S+ ")
PageName = Literal["", "explain", "events", "help"]


class TopView(NamedTuple):
    """What is shown. `lost`: since when nothing was received, and why; None: the last request succeeded.

    `words`: a workload must contain all of them; `typing`: they are being typed. `selected`: the key of a workload;
    `first`: the number of the first row on the screen. `details`: those of the selected workload, or the reason why
    there are none. `scroll`: the number of the first line of a page; None: the last lines are shown.
    """

    source: str
    table: TopTable | None = None
    lost: tuple[datetime, str] | None = None
    words: str = ""
    typing: bool = False
    attention: bool = False
    sort: str = "worst"
    descending: bool = False
    selected: tuple[str, str] | None = None
    first: int = 0
    page: PageName = ""
    details: Explained | str | None = None
    traffic: Mapping[tuple[str, str], TopTraffic] = {}
    scroll: int | None = 0


def chosen(view: TopView) -> list[TopRow]:
    """The workloads to show, in their order."""
    if view.table is None:
        return []
    words = view.words.casefold().split()
    found = [
        row
        for row in view.table.workloads
        if (not view.attention or row.needs_attention) and (not words or _has(row, words))
    ]
    if view.sort != "worst":
        found.sort(key=SORTS[view.sort])
    return found[::-1] if view.descending else found


def _has(row: TopRow, words: Sequence[str]) -> bool:
    fields = (row.name, row.workload_id, row.account, row.status, row.importance, row.owner or "", row.problems)
    text = "\n".join(fields).casefold()
    return all(word in text for word in words)


# -- keys

_HELP = """\
Up, Down, j, k      select a workload
PageUp, PageDown    a screen up or down; Home, End: the first, the last
Enter               explain the selected workload
e                   follow its events, episodes and alerts
/                   filter by name, id, account, status, importance, owner or
                    problem: all words must occur; Enter: done; Esc: no filter
a                   only workloads that need attention, or all
s                   sort by worst, name, status, newest, ready or importance
r                   reverse the order
Esc, q              back to the table; in the table, q: quit
Ctrl-L              draw the screen again

!!  an alert condition that is critical is met; ! a warning; i information;
 ?  it needs attention: it has failed, or its state is not known
FOR      time since its status was first observed; >: it is older
READY    ready replicas / wanted replicas; ?: not known
REQ/MIN  requests of the last 5 minutes (from 100 columns on); 5XX: server errors"""


def pressed(view: TopView, key: str, height: int) -> TopView | None:
    """The view after a key was pressed, on a screen with `height` lines; None: to quit."""
    if view.typing:
        return _typed(view, key)
    if view.page:
        return _in_page(view, key, height)
    if key == "q":
        return None
    if key in ("enter", "e") and (row := selected(view)) is not None:
        page: PageName = "explain" if key == "enter" else "events"
        return view._replace(selected=row.key, page=page, details=None, scroll=None if page == "events" else 0)
    if key == "?":
        return view._replace(page="help", scroll=0)
    names = list(SORTS)
    changes: Mapping[str, Mapping[str, Any]] = {
        "/": {"typing": True},
        "a": {"attention": not view.attention, "first": 0},
        "s": {"sort": names[(names.index(view.sort) + 1) % len(names)], "first": 0},
        "r": {"descending": not view.descending, "first": 0},
        "escape": {"words": "", "first": 0},
    }
    return view._replace(**changes[key]) if key in changes else _moved(view, key, height)


def _typed(view: TopView, key: str) -> TopView:
    if key in ("enter", "escape"):
        return view._replace(typing=False, words="" if key == "escape" else view.words)
    if key == "backspace":
        return view._replace(words=view.words[:-1], first=0)
    if key == "clear":
        return view._replace(words="", first=0)
    return view._replace(words=view.words + key, first=0) if len(key) == 1 else view


def _steps(height: int) -> dict[str, int]:
    return {"up": -1, "k": -1, "down": 1, "j": 1, "page up": -height, "page down": height, " ": height,
            "home": -(10**9), "end": 10**9}  # fmt: skip


def _moved(view: TopView, key: str, height: int) -> TopView:
    """The view with another row selected; the screen follows it."""
    rows, room = chosen(view), _rows_room(view, height)
    step = _steps(room).get(key)
    if step is None or not rows:
        return view
    number = min(max(_number(view, rows) + step, 0), len(rows) - 1)
    return view._replace(selected=rows[number].key, first=_first(view.first, number, len(rows), room))


def _in_page(view: TopView, key: str, height: int) -> TopView:
    if key in ("q", "escape", "left"):
        return view._replace(page="", details=None, scroll=0)
    if view.page != "help" and key in ("enter", "e"):
        page: PageName = "explain" if key == "enter" else "events"
        return view._replace(page=page, scroll=None if page == "events" else 0)
    room = height - 2
    step, last = _steps(room).get(key), max(0, len(_page_text(view, 80)) - room)
    if step is None:
        return view
    at = min(max((last if view.scroll is None else view.scroll) + step, 0), last)
    # At the end of the events, the screen follows them.
    return view._replace(scroll=None if view.page == "events" and at == last else at)


def _number(view: TopView, rows: Sequence[TopRow]) -> int:
    """The number of the selected row; the first row on the screen if it is not among the rows."""
    found = next((number for number, row in enumerate(rows) if row.key == view.selected), None)
    return min(view.first, max(0, len(rows) - 1)) if found is None else found


def _first(first: int, number: int, rows: int, room: int) -> int:
    """The first row on the screen, such that a row is on it and the screen is full."""
    return max(0, min(max(first, number - room + 1), number, rows - room))


def selected(view: TopView) -> TopRow | None:
    """The selected workload."""
    rows = chosen(view)
    return rows[_number(view, rows)] if rows else None


# -- lines


class _Context(NamedTuple):
    """The time, and the requests to workloads."""

    now: datetime
    traffic: Mapping[tuple[str, str], TopTraffic]


class _Column(NamedTuple):
    """A column: its title, its width, the width of the screen from which on it is shown, and its text in a row."""

    title: str
    columns: int
    from_width: int
    text: Callable[[TopRow, _Context], str]


def _ready(row: TopRow) -> str:
    wanted = "?" if row.least is None or row.most is None else f"{row.least}"
    if row.least != row.most and row.least is not None and row.most is not None:
        wanted += f"-{row.most}"
    return f"{'?' if row.ready is None else row.ready}/{wanted}"


def _per_minute(row: TopRow, context: _Context) -> str:
    number = context.traffic.get(row.key, TopTraffic()).per_minute
    return "?" if number is None else f"{number:.0f}" if number >= 10 or number == 0 else f"{number:.1f}"


def _server_errors(row: TopRow, context: _Context) -> str:
    ratio = context.traffic.get(row.key, TopTraffic()).server_errors
    return "?" if ratio is None else f"{100 * ratio:.1f}%"


def _lasted(row: TopRow, context: _Context) -> str:
    """The time since the status was first observed, in at most seven characters."""
    seconds = max(0, int((context.now - row.since).total_seconds()))
    for limit, big, first, small, second in ((86400, 86400, "d", 3600, "h"), (3600, 3600, "h", 60, "m")):
        if seconds >= limit:
            count = seconds // big
            rest = f"{seconds % big // small}{second}" if count < 100 else ""
            return f"{'>' * row.longer_than_known}{count}{first}{rest}"
    return f"{'>' * row.longer_than_known}{f'{seconds // 60}m' if seconds >= 60 else f'{seconds}s'}"


_COLUMNS = (
    _Column("WORKLOAD", 24, 0, lambda row, _: row.name),
    _Column("STATUS", 12, 0, lambda row, _: row.status),
    _Column("FOR", 7, 0, _lasted),
    _Column("READY", 6, 0, lambda row, _: _ready(row)),
    _Column("REQ/MIN", 7, TRAFFIC_WIDTH, _per_minute),
    _Column("5XX", 6, TRAFFIC_WIDTH, _server_errors),
    _Column("IMPORTANCE", 10, 110, lambda row, _: row.importance),
    _Column("OWNER", 14, 145, lambda row, _: row.owner or ""),
    _Column("ACCOUNT", 12, 130, lambda row, _: row.account),
)
_MARK = 3
_MARKS = {"critical": "!!", "warning": "!", "info": "i"}


def _mark(row: TopRow) -> str:
    mark = _MARKS.get(row.severity, "")
    return mark if mark and (mark != "i" or not row.needs_attention) else "?" if row.needs_attention else ""


def _style(row: TopRow) -> str:
    if row.severity in ("critical", "warning"):
        return row.severity
    return "warning" if row.needs_attention else "dim" if row.group == "off" else ""


def utc(at: datetime) -> str:
    """The time of a moment."""
    return f"{at.astimezone(UTC):%H:%M:%S} UTC"


def _heading(view: TopView, columns: int) -> Iterator[ScreenLine]:
    """The lines above the table: how many workloads, from where and when, and what is missing."""
    table = view.table
    count = 0 if table is None else len(table.workloads)
    urgent = 0 if table is None else sum(row.needs_attention for row in table.workloads)
    right = f"{count} workloads, {urgent} need attention" if table is not None else ""
    yield (
        ScreenSpan(0, fitted(view.source, max(0, columns - len(right) - 2)), "bold"),
        ScreenSpan(max(0, columns - len(right)), right, "critical" if urgent else ""),
    )
    if view.lost is not None:
        since, reason = view.lost
        old = "" if table is None else f", showing {utc(table.at)}"
        text = f"LOST since {utc(since)}{old}: {_LEADING_URL.sub('', reason)}"
        yield (ScreenSpan(0, padded(fitted(text, columns), columns), "reverse"),)
    elif table is None:
        yield (ScreenSpan(0, "waiting for the first table"),)
    else:
        yield (ScreenSpan(0, f"as of {utc(table.at)}", "dim"),)
    problems = [each for each in table.accounts if each.problem] if table is not None else []
    if problems:
        swept = problems[0].last_complete_sweep
        when = f", last complete sweep {utc(swept)}" if swept is not None else ""
        more = f" (and {len(problems) - 1} more accounts)" if len(problems) > 1 else ""
        text = f"account {problems[0].account}{when}{more}: {problems[0].problem}"
        yield (ScreenSpan(0, padded(fitted(text, columns), columns), "reverse"),)


def _choice(view: TopView, shown: int) -> str:
    parts = [f"sort: {view.sort}{' reversed' if view.descending else ''}"]
    parts += ["only those that need attention"] if view.attention else []
    parts += [f"filter: {view.words}{'_' if view.typing else ''}"] if view.words or view.typing else []
    return "; ".join(parts) + (f"; {shown} shown" if view.words or view.attention else "")


def _rows_room(view: TopView, height: int) -> int:
    problem = view.table is not None and any(each.problem for each in view.table.accounts)
    return max(1, height - (6 if problem else 5))


def lines(view: TopView, columns: int, height: int, now: datetime) -> list[ScreenLine]:
    """The lines of the screen."""
    if columns < MIN_WIDTH or height < MIN_HEIGHT:
        return [(ScreenSpan(0, fitted(f"needs {MIN_WIDTH} x {MIN_HEIGHT} characters", columns)),)]
    if view.page:
        return _page(view, columns, height)
    rows, room = chosen(view), _rows_room(view, height)
    number = _number(view, rows)
    first = _first(view.first, number, len(rows), room)
    shown = [*_heading(view, columns), (ScreenSpan(0, fitted(_choice(view, len(rows)), columns)),)]
    shown.append((ScreenSpan(0, padded(_title(columns), columns), "reverse"),))
    for offset, row in enumerate(rows[first : first + room]):
        shown.append(_row(row, columns, _Context(now, view.traffic), first + offset == number))
    if not rows and view.table is not None:
        shown.append(
            (ScreenSpan(0, "no workload is shown" if view.words or view.attention else "no workload is listed"),)
        )
    shown += [()] * (height - 1 - len(shown))
    keys = "q quit  ? help  Enter explain  e events  / filter  a attention  s sort"
    return [*shown, (ScreenSpan(0, fitted("Enter done  Esc no filter" if view.typing else keys, columns), "dim"),)]


def _columns(columns: int) -> Iterator[tuple[int, _Column]]:
    at = _MARK
    for column in _COLUMNS:
        if columns >= column.from_width:
            size = column.columns if columns >= 80 or column.title != "WORKLOAD" else 12
            yield at, column._replace(columns=size)
            at += size + 1
    yield at, _Column("PROBLEMS", max(0, columns - at), 0, lambda row, _: row.problems)


def _title(columns: int) -> str:
    shown = ""
    for at, column in _columns(columns):
        shown = padded(shown, at) + fitted(column.title, column.columns)
    return shown


def _row(row: TopRow, columns: int, context: _Context, is_selected: bool) -> ScreenLine:
    style = "reverse" if is_selected else ""
    mark = padded(_mark(row), _MARK - 1) + (">" if is_selected else " ")
    spans = [ScreenSpan(0, mark, style or _style(row))]
    for at, column in _columns(columns):
        text = padded(fitted(column.text(row, context), column.columns), min(column.columns + 1, columns - at))
        own = _style(row) if column.title in ("STATUS", "PROBLEMS") else ""
        spans.append(ScreenSpan(at, text, style or own))
    return tuple(spans)


def _page_text(view: TopView, columns: int) -> list[tuple[str, str]]:
    """The lines of a page, with their styles."""
    if view.page == "help":
        return [(line, "") for line in _HELP.splitlines()]
    if view.details is None:
        return [("requested ...", "dim")]
    if isinstance(view.details, str):
        return [(line, "critical") for line in textwrap.wrap(view.details, columns)]
    if view.page == "explain":
        return [(line, "bold" if number == 0 else "") for number, line in enumerate(view.details.text.splitlines())]
    found = []
    for each in reversed(view.details.timeline):
        head = f"{each.at.astimezone(UTC):%m-%d %H:%M:%S} {each.kind:12}"
        for number, line in enumerate(textwrap.wrap(each.text, columns - len(head) - 1) or [""]):
            found.append((f"{head if number == 0 else ' ' * len(head)} {line}", "warning" if each.bad else ""))
    return found or [("nothing in the last 7 days", "")]


def _name(view: TopView) -> str:
    """The name of the workload of a page, also of one that is no longer in the table."""
    rows = view.table.workloads if view.table is not None else ()
    return next((row.name for row in rows if row.key == view.selected), view.selected[1] if view.selected else "")


def _page(view: TopView, columns: int, height: int) -> list[ScreenLine]:
    room = height - 2
    titles = {"help": "keys", "explain": "explain", "events": "events, episodes and alerts (UTC), the latest last"}
    name = "top" if view.page == "help" else _name(view)
    text = _page_text(view, columns)
    last = max(0, len(text) - room)
    first = last if view.scroll is None else min(view.scroll, last)
    at = "" if not isinstance(view.details, Explained) or view.page == "help" else f" as of {utc(view.details.at)}"
    heading = fitted(f"{name}: {titles[view.page]}{at}", columns)
    shown: list[ScreenLine] = [(ScreenSpan(0, padded(heading, columns), "reverse"),)]
    shown += [(ScreenSpan(0, fitted(line, columns), style),) for line, style in text[first : first + room]]
    shown += [()] * (height - 1 - len(shown))
    more = f"  {first + 1}-{min(first + room, len(text))} of {len(text)} lines" if len(text) > room else ""
    other = "" if view.page == "help" else "  Enter explain  e events"
    return [*shown, (ScreenSpan(0, fitted(f"q back{other}  Up, Down scroll{more}", columns), "dim"),)]


def printed(view: TopView, now: datetime) -> Iterator[str]:
    """The whole table as lines of text without styles, as wide as its contents."""
    rows = chosen(view)
    for line in list(_heading(view._replace(source=""), 200))[1:]:
        yield "".join(span.text for span in line).rstrip()
    texts = {column.title: column.text for column in _COLUMNS}
    texts |= {"ID": lambda row, _: row.workload_id, "PROBLEMS": lambda row, _: row.problems}
    context = _Context(now, view.traffic)
    cells = [("", *texts), *((_mark(row), *(text(row, context) for text in texts.values())) for row in rows)]
    safe_cells = [[fitted(cell, 10**6) for cell in line] for line in cells]
    widths = [max(map(width, column)) for column in zip(*safe_cells, strict=True)]
    for texts_of_row in safe_cells:
        yield "  ".join(padded(cell, size) for cell, size in zip(texts_of_row, widths, strict=True)).rstrip()
    yield f"{len(rows)} workloads, {sum(row.needs_attention for row in rows)} need attention"

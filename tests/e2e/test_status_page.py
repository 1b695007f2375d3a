"""The status page and the page of a workload in a real browser: headless Chromium, over real sockets."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import pytest

from exporter.alerting.rules import DEFAULT
from exporter.alerting.silences import Silence
from exporter.api.models import Tag, Workload
from exporter.api.pods import Pods
from exporter.fleet.ledger import Tally
from exporter.fleet.workload_state import Account, Details
from exporter.metrics.account_families import AccountFacts, use
from exporter.web.application import Application
from exporter.web.metrics_page import Publisher
from exporter.web.passwords import Passwords
from exporter.web.server import Server
from exporter.web.status_page import AccountStatus, Status, StatusPage
from exporter.web.workload_page import FoundWorkload, Requested, WorkloadPages
from tests.browser import Browser, browser
from tests.e2e.servers import demo, eventually, free_port
from tests.make import container, pods, replica, sight
from tests.web.serving import no_silences

pytestmark = pytest.mark.real

NOW = 1_795_000_000.0
EVIL = '<script>alert(1)</script>"onmouseover="alert(2)'
CONTRAST = """(() => {
  const light = color => color.match(/[\\d.]+/g).slice(0, 3).map(part => part / 255)
    .map(part => part <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4)
    .reduce((sum, part, place) => sum + part * [.2126, .7152, .0722][place], 0);
  const back = element => {
    for (; element; element = element.parentElement) {
      const color = getComputedStyle(element).backgroundColor;
      if (!color.startsWith("rgba(0, 0, 0, 0")) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const faint = new Set();
  for (const element of document.body.querySelectorAll("*:not(script)")) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility()) continue;
    const [a, b] = [light(getComputedStyle(element).color), light(back(element))].sort((a, b) => b - a);
    if ((a + .05) / (b + .05) < 4.5) faint.add(element.outerHTML.slice(0, 90));
  }
  return [...faint];
})()"""

SMALL_TARGETS = """[...document.querySelectorAll("a, button, input:not([type=hidden])")]
  .filter(each => each.checkVisibility() && !each.closest("thead"))
  .filter(each => { const {width, height} = each.getBoundingClientRect(); return width < 24 || height < 24 })
  .map(each => each.outerHTML.slice(0, 120))"""
"""What is smaller than 24 pixels (WCAG 2.2, 2.5.8). On a phone, the head of tables is only read aloud."""


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as made:
        yield made


@contextmanager
def served(
    *fleet: Workload,
    reported: Pods | None = None,
    users: Mapping[str, str] | None = None,
    silenced: list[Mapping[str, str]] | None = None,
) -> Iterator[str]:
    """The page of a fleet that does not change, on a server in a thread; `reported` are the pods of each.

    `users`: bcrypt hashes of the passwords of users. `silenced`: the silences that are created.
    """
    states = tuple(sight(workload, NOW - 3600, account="eu", details=Details(pods=reported)) for workload in fleet)
    known = AccountFacts(Account("eu"), use(states), Tally())
    account = AccountStatus("eu", "https://dr.test", known, states, NOW - 5, "", 30.0, 900.0)

    def requested(workload_id: str, name: str) -> Requested:
        found = tuple(FoundWorkload(account, each, True) for each in states if each.workload.id == workload_id)
        made = Requested(workload_id, name, found, (account,), (), ("eu",), DEFAULT, NOW, "1")
        shown = [Silence({"workload_id": each["workload_id"]}, NOW + 3600, each["author"]) for each in silenced or ()]
        return made._replace(silences=None if silenced is None else tuple(shown))

    async def silences(method: str, parameters: Mapping[str, str]) -> list[dict[str, object]]:
        assert silenced is not None
        silenced.append(parameters)
        return []

    async def reload() -> list[str]:
        return []

    async def no_list() -> bytes:
        return b"[]"

    status_page = StatusPage(lambda: Status("1", (account,), NOW - 60, NOW, DEFAULT, ("/metrics",)))
    application = Application(
        metrics_path="/metrics",
        reload=reload,
        heartbeat_age=lambda: 0.0,
        not_ready=lambda: "",
        status_page=status_page,
        workloads_csv=status_page.csv,
        workloads_json=status_page.json,
        workload_page=WorkloadPages(requested),
        workload_json=WorkloadPages(requested).json,
        config=lambda: None,
        episodes=no_list,
        targets=no_list,
        silences=no_silences if silenced is None else silences,
        count=lambda path, code: None,
        passwords=None if users is None else Passwords(users),
    )
    application.publish(Publisher().publish([], b"", b""))
    server = Server(application, ["127.0.0.1:0"])
    thread = threading.Thread(target=lambda: asyncio.run(server.run_until_stopped()))
    thread.start()
    try:
        host, port = server.addresses[0]
        yield f"http://{host}:{port}"
    finally:
        server.stop()
        thread.join(timeout=20)


def names(tab: Browser) -> list[str]:
    """The workloads that are shown."""
    names: list[str] = tab.evaluate("[...document.querySelectorAll('#fleet .workload > a')].map(a => a.textContent)")
    return names


def type_into_the_search(tab: Browser, words: str) -> None:
    tab.evaluate("document.querySelector('input[type=search]').select()")
    tab.call("Input.insertText", text=words)


def test_the_demo_is_found_by_typing_and_a_stopped_daemon_is_reported(tab: Browser, tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    tab.console.clear()
    with demo(tmp_path, port, "--demo.speed=30"):
        assert eventually(lambda: _opened(tab, url) and len(names(tab)) > 40, 60)
        assert "Simulation: " in tab.evaluate("document.querySelector('.note').textContent")
        type_into_the_search(tab, "image-pull")
        assert eventually(lambda: len(names(tab)) == 1, 30), names(tab)
        assert names(tab)[0].startswith("image-pull")
        assert tab.evaluate("location.search") == "?q=image-pull"
        assert tab.evaluate("document.activeElement.name") == "q", "the search keeps the focus"
        assert tab.evaluate("document.getElementById('stale').hidden")
        assert tab.console == [], "no errors, in particular none of the Content Security Policy"
    tab.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    stale = "document.getElementById('stale').hidden ? '' : document.getElementById('stale').textContent"
    shown = tab.evaluate("document.querySelector('#overview time').textContent")
    words = f"Out of date: the exporter does not respond. Data as of {shown}."
    assert eventually(lambda: tab.evaluate(stale), 20) == words
    assert len(names(tab)) == 1, "the last data stays on the page"


def _opened(tab: Browser, url: str) -> bool:
    try:
        tab.open(url)
    except AssertionError:
        return False
    return True


def test_names_of_workloads_are_text(tab: Browser) -> None:
    tab.console.clear()
    with served(Workload(id=EVIL, name=EVIL, status=EVIL), Workload(id="b", name="plain")) as url:
        tab.open(f"{url}/?q=%22onmouseover%3D")
        assert names(tab) == [EVIL]
        assert tab.evaluate("document.querySelector('input[name=q]').value") == '"onmouseover='
        assert tab.evaluate("document.scripts.length") == 1
        assert tab.evaluate("[...document.querySelectorAll('*')].filter(e => e.onmouseover).length") == 0
        type_into_the_search(tab, "<script>")
        assert eventually(lambda: tab.evaluate("location.search") == "?q=%3Cscript%3E", 30)
        assert eventually(lambda: names(tab) == [EVIL], 30)
        assert tab.evaluate("document.scripts.length") == 1
        foreign = "(() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1';"
        tab.evaluate(foreign + " document.body.append(s) })()")
        assert tab.evaluate("typeof window.ran") == "undefined", "the policy lets in no script but ours"
    assert len(tab.console) == 1
    assert "Content Security Policy" in tab.console[0]


@pytest.mark.parametrize("width", [1280, 360])
def test_a_tag_that_is_typed_selects_workloads(tab: Browser, width: int) -> None:
    fleet = [Workload(id=each, name=each, tags=(Tag("team", each),)) for each in ("claims", "sales")]
    with served(*fleet) as url:
        tab.shown(width, 900)
        tab.open(f"{url}/?tag=team")
        assert names(tab) == ["claims", "sales"]
        assert tab.evaluate("document.documentElement.scrollWidth") == width
        tab.evaluate("document.querySelector('input[name=tag]').select()")
        tab.call("Input.insertText", text="team=sales")
        assert eventually(lambda: names(tab) == ["sales"], 10)
        assert tab.evaluate("location.search") == "?tag=team%3Dsales"
        follow(tab, "JSON")
        assert '"workload":"sales"' in tab.evaluate("document.body.textContent")


@pytest.mark.parametrize("reported", [None, pods(replica(container()))], ids=["pods not reported", "pods ready"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_can_be_read_in_light_and_in_dark(tab: Browser, scheme: str, reported: Pods | None) -> None:
    statuses = "errored launching running stopped draining novel".split()
    fleet = [Workload(id=s, name=s, status=s, importance="critical") for s in statuses]
    with served(*fleet, reported=reported) as url:
        tab.shown(1280, 900, scheme)
        tab.open(url + "/?q=critical&sort=since")
        assert len(names(tab)) == len(statuses)
        dark = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, dark[4:-1].split(","))) < 150) == (scheme == "dark")
        assert tab.evaluate(CONTRAST) == []


def test_on_a_phone_nothing_is_wider_than_the_screen(tab: Browser) -> None:
    with served(Workload(id="f" * 200, name="a-very-long-name-" * 10, status="errored")) as url:
        tab.shown(360, 740)
        tab.open(f"{url}/?q=DataRobotWorkloadErrored")
        assert len(names(tab)) == 1
        assert tab.evaluate("document.documentElement.scrollWidth") == 360
        beyond = "[...document.querySelectorAll('td, code')].filter(e => e.getBoundingClientRect().right > 360).length"
        assert tab.evaluate(beyond) == 0


@pytest.mark.parametrize("path", ["/", "/workloads/w"])
def test_on_a_phone_every_link_is_large_enough_for_a_finger(tab: Browser, path: str) -> None:
    with served(Workload(id="w", name="w", status="errored", importance="critical"), reported=pods(CRASHING)) as url:
        tab.shown(360, 740)
        tab.open(url + path)
        assert tab.evaluate("document.querySelectorAll('main a').length") > 2
        assert tab.evaluate(SMALL_TARGETS) == []


def test_without_script_the_server_finds_sorts_and_turns_pages(tab: Browser) -> None:
    fleet = [Workload(id=f"{n:024}", name=f"workload-{n:05}", status="running") for n in range(10_000)]
    tab.shown(1280, 900)
    with served(*fleet) as url:
        tab.call("Emulation.setScriptExecutionDisabled", value=True)
        try:
            tab.open(url)
            assert len(names(tab)) == 100
            follow(tab, "Workload")
            follow(tab, "Workload")
            assert names(tab)[0] == "workload-09999"
            follow(tab, "next page")
            assert names(tab)[0] == "workload-09899"
            assert "101 to 200 of 10,000" in tab.evaluate("document.querySelector('.pages').textContent")
            tab.open(f"{url}/?q=workload-0042")
            assert names(tab) == [f"workload-0042{n}" for n in range(10)]
        finally:
            tab.call("Emulation.setScriptExecutionDisabled", value=False)


def follow(tab: Browser, words: str) -> None:
    """Go where the link with these words leads."""
    tab.open(tab.evaluate(f"[...document.querySelectorAll('#fleet a')].find(a => a.textContent === '{words}').href"))


CRASHING = replica(
    container(status="waiting", reason="CrashLoopBackOff", ready=False, restart_count=7, ended=("Error", 1, None)),
    name="lrs-" + "f" * 100,
)


def test_the_row_of_a_workload_leads_to_its_page_and_back(tab: Browser) -> None:
    tab.console.clear()
    tab.shown(1280, 900)
    with served(Workload(id=EVIL + "/..?#", name=EVIL, status="errored"), Workload(id="b", name="plain")) as url:
        tab.open(f"{url}/?q=onmouseover")
        follow(tab, EVIL)
        assert tab.evaluate("document.querySelector('h1').firstChild.textContent.trim()") == EVIL
        assert tab.evaluate("document.title").startswith(EVIL)
        assert tab.evaluate("document.scripts.length") == 0
        assert tab.evaluate("document.querySelector('dd').textContent").startswith("It has failed")
        tab.evaluate("document.querySelector('header a').click()")
        assert eventually(lambda: tab.evaluate("location.pathname") == "/", 10)
        tab.open(f"{url}/workloads/unknown")
        assert "Workload not found" in tab.evaluate("document.querySelector('h1').textContent")
    errors = [text for text in tab.console if "404" not in text]
    assert errors == [], "none of the Content Security Policy"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_every_word_of_the_page_of_a_workload_can_be_read(tab: Browser, scheme: str, width: int) -> None:
    names = [Workload(id=s, name=s, status=s, importance="critical") for s in ("errored", "running", "stopped")]
    with served(*names, reported=pods(CRASHING, replica(container()))) as url:
        tab.shown(width, 900, scheme)
        for each in names:
            tab.open(f"{url}/workloads/{each.id}")
            assert tab.evaluate(CONTRAST) == []


def test_on_a_phone_nothing_of_the_page_of_a_workload_is_wider_than_the_screen(tab: Browser) -> None:
    long = Workload(id="f" * 200, name="a-very-long-name-" * 10, status="running")
    with served(long, reported=pods(CRASHING, replica(container()))) as url:
        tab.shown(360, 740)
        tab.open(f"{url}/workloads/{long.id}")
        assert "a-very-long-name" in tab.evaluate("document.querySelector('h1').textContent")
        beyond = "[...document.querySelectorAll('td, th, dd, code')].filter(e => e.getBoundingClientRect().right > 360)"
        assert tab.evaluate(f"{beyond}.map(e => e.outerHTML)") == []
        assert tab.evaluate("document.documentElement.scrollWidth") == 360


def test_the_keyboard_reaches_every_link_of_the_page_of_a_workload_and_shows_which_has_the_focus(tab: Browser) -> None:
    with served(Workload(id="w", name="w", status="running"), reported=pods(CRASHING)) as url:
        tab.shown(1280, 900)
        tab.open(f"{url}/workloads/w")
        links = tab.evaluate("[...document.querySelectorAll('a')].map(a => a.href)")
        reached = []
        for _ in links:
            for kind in ("keyDown", "keyUp"):
                tab.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
            reached.append(tab.evaluate("document.activeElement.href"))
            assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        assert reached == links


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_runbook_is_reached_from_the_page_of_a_workload_and_can_be_read_on_a_phone(tab: Browser, scheme: str) -> None:
    with served(Workload(id="w", name="w", status="errored")) as url:
        tab.console.clear()
        tab.shown(360, 740, scheme)
        tab.open(f"{url}/workloads/w")
        tab.open(
            tab.evaluate(
                "[...document.querySelectorAll('#links ~ ul a')].find(a => /Runbook/.test(a.textContent)).href"
            )
        )
        assert tab.evaluate("document.querySelector('h1').textContent") == "DataRobotWorkloadErrored"
        assert tab.evaluate("document.documentElement.scrollWidth") == 360
        assert tab.evaluate(CONTRAST) == []
        assert tab.evaluate("document.scripts.length") == 0
        assert tab.console == [], "none of the Content Security Policy"


def test_a_user_who_is_logged_in_silences_a_workload_on_its_page_but_the_form_of_another_site_does_not(
    tab: Browser, tmp_path: Path
) -> None:
    """Without script. The browser sends the login with the form of the other site, too."""
    silenced: list[Mapping[str, str]] = []
    users = {"jane": bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()}
    with served(Workload(id="w", name="w", status="errored"), users=users, silenced=silenced) as url:
        tab.shown(360, 740)
        tab.open(f"{url.replace('http://', 'http://jane:secret@')}/workloads/w")
        assert tab.evaluate("[...document.querySelectorAll('button')].map(b => b.textContent)") == ["1h", "4h", "1d"]
        assert tab.evaluate("document.documentElement.scrollWidth") == 360
        assert tab.evaluate(CONTRAST) == []
        action = tab.evaluate("document.querySelector('button').formAction")
        tab.evaluate("document.querySelectorAll('button')[1].click()")
        assert eventually(lambda: tab.evaluate("location.hash") == "#silence", 30)
        assert eventually(lambda: "jane" in tab.evaluate("(document.body || {}).innerText || ''"), 30)
        wanted = {"account": "eu", "workload_id": "w", "for": "4h", "author": "jane"}
        assert silenced == [{**wanted, "comment": "from the page of the workload"}]
        stranger = tmp_path / "stranger.html"
        stranger.write_text(f"<form method=post action='{action}'></form><script>document.forms[0].submit()</script>")
        tab.call("Page.navigate", url=stranger.as_uri())
        assert eventually(lambda: "cannot change" in tab.evaluate("(document.body || {}).innerText || ''"), 30)
        assert len(silenced) == 1

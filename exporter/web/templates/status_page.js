"use strict";
// The page works without this script. The script searches while the user types, and refreshes the page; if a refresh
// fails, it shows since when the page is out of date.
(() => {
  const INTERVAL = 15000, TIMEOUT = 25000, TYPING = 250;
  const form = document.querySelector("form"), stale = document.getElementById("stale");
  let pending = null, address = location.href;

  function replace(next) {
    for (const id of ["overview", "fleet"]) {
      const section = document.getElementById(id), focused = document.activeElement;
      const link = section.contains(focused) ? focused.getAttribute("href") : null;
      section.replaceWith(next.getElementById(id));
      if (link !== null) {
        [...document.getElementById(id).querySelectorAll("a")].find(a => a.getAttribute("href") === link)?.focus();
      }
    }
    document.title = next.title;
    document.querySelector("link[rel=icon]").href = next.querySelector("link[rel=icon]").href;
  }

  async function refresh() {
    pending?.abort();
    const mine = pending = new AbortController();
    const timer = setTimeout(() => mine.abort("timeout"), TIMEOUT);
    try {
      const response = await fetch(address, {signal: mine.signal, cache: "no-store"});
      if (!response.ok) throw new Error(response.status);
      replace(new DOMParser().parseFromString(await response.text(), "text/html"));
      stale.hidden = true;
    } catch {
      if (mine.signal.aborted && mine.signal.reason !== "timeout") return;
      const time = document.querySelector("#overview time").textContent;
      stale.textContent = `Out of date: the exporter does not respond. Data as of ${time}.`;
      stale.hidden = false;
    } finally {
      clearTimeout(timer);
      if (pending === mine) pending = null;
    }
  }

  function search() {
    const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    address = location.pathname + (query.size ? `?${query}` : "");
    history.replaceState(null, "", address);
    refresh();
  }

  let typing;
  form.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(search, TYPING); });
  form.addEventListener("submit", event => { event.preventDefault(); clearTimeout(typing); search(); });
  // Not while the user selects text, not in a hidden tab, and not during another request.
  const refreshIfIdle = () => { if (!pending && !document.hidden && getSelection().isCollapsed) refresh(); };
  setInterval(refreshIfIdle, INTERVAL);
  document.addEventListener("visibilitychange", refreshIfIdle);
})();

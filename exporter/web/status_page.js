"use strict";
// The page works without this script. With it, the page finds while one types, and stays up to date: a page that
// cannot be brought up to date says so, since when.
(() => {
  const EVERY = 15000, PATIENCE = 25000, TYPING = 250;
  const form = document.querySelector("form"), stale = document.getElementById("stale");
  let asking = null, address = location.href;

  function put(next) {
    for (const id of ["told", "fleet"]) {
      const there = document.getElementById(id), focused = document.activeElement;
      const link = there.contains(focused) ? focused.getAttribute("href") : null;
      there.replaceWith(next.getElementById(id));
      if (link !== null) {
        [...document.getElementById(id).querySelectorAll("a")].find(a => a.getAttribute("href") === link)?.focus();
      }
    }
    document.title = next.title;
    document.querySelector("link[rel=icon]").href = next.querySelector("link[rel=icon]").href;
  }

  async function bring() {
    asking?.abort();
    const mine = asking = new AbortController();
    const patience = setTimeout(() => mine.abort("patience"), PATIENCE);
    try {
      const answer = await fetch(address, {signal: mine.signal, cache: "no-store"});
      if (!answer.ok) throw new Error(answer.status);
      put(new DOMParser().parseFromString(await answer.text(), "text/html"));
      stale.hidden = true;
    } catch {
      if (mine.signal.aborted && mine.signal.reason !== "patience") return;
      const told = document.querySelector("#told time").textContent;
      stale.textContent = `Not up to date: the exporter does not answer. All below is as of ${told}.`;
      stale.hidden = false;
    } finally {
      clearTimeout(patience);
      if (asking === mine) asking = null;
    }
  }

  function find() {
    const asked = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    address = location.pathname + (asked.size ? `?${asked}` : "");
    history.replaceState(null, "", address);
    bring();
  }

  let typing;
  form.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(find, TYPING); });
  form.addEventListener("submit", event => { event.preventDefault(); clearTimeout(typing); find(); });
  // Nothing is moved under somebody who selects text, nothing is asked for a tab that nobody sees, and nothing twice.
  const seen = () => { if (!asking && !document.hidden && getSelection().isCollapsed) bring(); };
  setInterval(seen, EVERY);
  document.addEventListener("visibilitychange", seen);
})();

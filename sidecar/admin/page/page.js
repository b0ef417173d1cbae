"use strict";
(() => {
  const live = document.getElementById("live");
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  let stream = null;
  let fetching = false;

  const say = (state, words) => { live.className = state; live.textContent = words; };

  const duration = (seconds) => {
    let left = Math.round(seconds);
    const parts = [];
    for (const [size, unit] of units) {
      const count = Math.floor(left / size);
      if (count || parts.length) { parts.push([count, unit]); left -= count * size; }
      if (parts.length === 2) break;
    }
    return parts.filter(([count]) => count).map(([count, unit]) => `${count} ${unit}`).join(" ") || "0 s";
  };

  const age = () => {
    const now = Date.now() / 1000 + skew;
    for (const each of document.querySelectorAll("i[data-at]")) {
      const at = Number(each.dataset.at);
      const text = at <= now ? ` UTC, ${duration(now - at)} ago` : ` UTC, in ${duration(at - now)}`;
      if (each.textContent !== text) each.textContent = text;
    }
  };

  const serverNow = () => {
    const times = document.querySelectorAll("footer i[data-at]");
    return Number(times[times.length - 1].dataset.at);
  };
  let skew = serverNow() - Date.now() / 1000;

  const isBusy = () => {
    const focused = document.activeElement;
    if (focused && focused.matches("main input[type=search]")) return true;
    return String(document.getSelection()) !== "";
  };

  const refresh = async () => {
    if (fetching || isBusy() || document.querySelector(".ask")) return;
    fetching = true;
    try {
      const answer = await fetch(location.href, { cache: "no-store", redirect: "error" });
      if (!answer.ok) throw new Error(String(answer.status));
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const open = new Set([...document.querySelectorAll("details[open]")].map((each) => each.id));
      const focused = document.activeElement && document.activeElement.id;
      for (const part of ["main", "header nav", "footer"]) {
        const before = document.querySelector(part);
        const after = fresh.querySelector(part);
        if (before && after) before.replaceWith(document.adoptNode(after));
      }
      for (const each of document.querySelectorAll("details")) each.open = open.has(each.id);
      if (focused) document.getElementById(focused)?.focus();
      document.title = fresh.title;
      skew = serverNow() - Date.now() / 1000;
      if (stream && stream.readyState === EventSource.OPEN) say("on", "live");
    } catch {
      say("off", "the sidecar does not answer: this is old");
      document.body.classList.add("stale");
      return;
    } finally {
      fetching = false;
    }
    document.body.classList.remove("stale");
  };

  const listen = () => {
    stream = new EventSource("/page/events");
    stream.onopen = () => { say("on", "live"); refresh(); };
    stream.addEventListener("state", refresh);
    stream.addEventListener("end", () => { stream.close(); say("off", "the sidecar ends"); again(); });
    stream.onerror = () => {
      if (stream.readyState !== EventSource.CLOSED) { say("off", "not connected: trying again"); refresh(); return; }
      again();
    };
  };
  const again = () => setTimeout(() => { refresh(); listen(); }, 5000);

  setInterval(age, 1000);
  listen();
})();

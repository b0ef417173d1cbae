// The page's own script: has the module make its attempts one after the other, and shows on
// each card what the browser said.
"use strict";

(() => {
  const PATIENCE_MS = 8000;
  const ASK_MS = 300;
  const PAUSE_MS = document.querySelectorAll(".card[data-name]").length > 1 ? 110 : 0;
  const WORDS = { trying: "trying …", blocked: "blocked", landed: "got through", unseen: "no sign" };
  const cards = [...document.querySelectorAll(".card[data-name]")];
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const own = (path) => new URL(path, location.origin); // whatever a <base> says
  const firstOf = new Map(); // by attack: the first violation that can be its own

  const stoppedBy = (card) => {
    const directives = card.dataset.directives.split(" ");
    const blocked = card.dataset.blocked.split(" ");
    const first = firstOf.get(card.dataset.name) ?? 0;
    return septem.violations
      .slice(first)
      .find((each) => directives.includes(each.directive) && blocked.includes(each.blocked));
  };

  const show = (card, state, directive = "") => {
    card.dataset.state = state;
    card.querySelector(".state").textContent = WORDS[state];
    card.querySelector(".directive").textContent = directive;
  };

  const judge = (card) => {
    if (card.dataset.state === "waiting") return;
    const violation = stoppedBy(card);
    if (septem.landed.has(card.dataset.name)) show(card, "landed");
    else if (violation) show(card, "blocked", violation.directive);
  };

  const count = () => {
    const stopped = cards.filter((card) => card.dataset.state === "blocked").length;
    const through = cards.filter((card) => card.dataset.state === "landed").length;
    document.getElementById("stopped").textContent = String(stopped);
    document.getElementById("through").textContent = String(through);
    document.body.dataset.through = String(through);
  };

  const update = () => {
    cards.forEach(judge);
    count();
  };

  const ask = async () => {
    try {
      const status = await (await fetch(own("/shell/status.json"), { cache: "no-store" })).json();
      status.hits.forEach((name) => septem.land(name));
      document.getElementById("hits").textContent = String(status.hits.length);
      document.getElementById("reports").textContent = String(status.reports);
    } catch {
      document.getElementById("hits").textContent = "?";
    }
  };

  const settled = async (card) => {
    // What the browser blocks it says at once; what got away, the attacker's host knows.
    const begun = Date.now();
    for (let asked = begun; Date.now() < begun + PATIENCE_MS; await pause(20)) {
      update();
      if (card.dataset.state !== "trying") return;
      if (Date.now() < asked + ASK_MS) continue;
      await ask();
      asked = Date.now();
    }
    show(card, "unseen");
  };

  const attempt = async (card) => {
    const { name, target, module } = card.dataset;
    if (module) firstOf.set(name, septem.violations.length);
    show(card, "trying");
    if (module && !window.septemModule) {
      show(card, "unseen", "the module did not load");
      return;
    }
    try {
      if (module) await window.septemModule.attempt(name, target);
    } catch (error) {
      card.dataset.error = error.name;
    }
    await settled(card);
  };

  const run = async () => {
    document.addEventListener("septem", update);
    document.body.dataset.own = "ran";
    document.body.dataset.nonce = document.documentElement.dataset.nonce ?? "missing";
    document.body.dataset.cdn = window.septemModule ? "ran" : "missing";
    document.querySelectorAll("[data-ran]").forEach((each) => {
      each.dataset.state = document.body.dataset[each.dataset.ran];
    });
    document.getElementById("again")?.addEventListener("click", () => location.reload());
    for (const card of cards) {
      await attempt(card);
      await pause(PAUSE_MS);
    }
    await ask();
    update();
    document.body.dataset.done = "true";
    setInterval(ask, 3000);
  };

  window.addEventListener("load", run);
})();

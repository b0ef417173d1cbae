// The first script of the page, so that nothing happens unseen: notes what the browser
// blocked, and lets an attack that got through say so.
"use strict";

(() => {
  const violations = [];
  const landed = new Set();
  const tell = () => document.dispatchEvent(new Event("septem"));

  document.addEventListener("securitypolicyviolation", (event) => {
    violations.push({
      directive: event.effectiveDirective,
      blocked: event.blockedURI,
      disposition: event.disposition,
    });
    tell();
  });

  window.septem = Object.freeze({
    violations,
    landed,
    land(name) {
      landed.add(name);
      tell();
    },
  });
})();

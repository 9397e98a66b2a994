// An EventSource with a visible state. Its connection is closed while the page is in the back/forward
// cache.

const RETRY_MS = 2000;
const RETRY_MAX_MS = 60000;

/**
 * Opens `url` as an event stream and keeps it open.
 *
 * Handlers, all optional: `onopen()`, `onevent(data, id)`, `onend(end)`, `ongap(gap)`. With
 * `endless: true`, an end concerns one of many topics and the stream continues.
 *
 * `stateElement` (role=status) shows the state and has it in `data-state`: `connecting`, `live`,
 * `reconnecting` or `ended`. Returns `{ close() }`.
 */
export function connect(url, handlers, stateElement) {
  const { onopen, onevent, onend, ongap, endless = false } = handlers;
  const listening = new AbortController();
  let source = null;
  let lastId = "";
  let ended = false;
  let timer = 0;
  let retryMs = RETRY_MS;

  function show(state, words = state) {
    stateElement.dataset.state = state;
    if (stateElement.textContent !== words) stateElement.textContent = words;
  }

  function open() {
    if (ended) return;
    const address = new URL(url, document.baseURI);
    if (lastId) address.searchParams.set("last_event_id", lastId);
    const resumes = address.searchParams.has("last_event_id");
    let opened = false;
    source = new EventSource(address);
    show("connecting");

    source.onopen = () => {
      opened = true;
      ended = false;
      retryMs = RETRY_MS;
      show("live");
      onopen?.();
    };
    const on = (name, act) =>
      source.addEventListener(name, (event) => {
        lastId = event.lastEventId;
        act?.(event);
      });
    on("stentor.cursor");
    on("message", (event) => onevent?.(event.data, event.lastEventId));
    on("stentor.gap", (event) => ongap?.(JSON.parse(event.data)));
    on("stentor.end", (event) => {
      // The source stays open: the browser reconnects once, gets 204 and stops by itself.
      ended = !endless;
      if (ended) show("ended");
      onend?.(JSON.parse(event.data), event.lastEventId);
    });
    source.onerror = () => {
      if (ended) return;
      if (source.readyState !== EventSource.CLOSED) show("reconnecting");
      else if (resumes && !opened) finish();
      else openLater();
    };
  }

  // A resume that gets a final response and no stream was at the end of its topic (204).
  function finish() {
    ended = true;
    show("ended");
  }

  // Browsers never reconnect after an error status, although some are temporary: a proxy's 502.
  function openLater() {
    show("reconnecting");
    timer = setTimeout(open, retryMs * (0.75 + Math.random() / 2));
    retryMs = Math.min(retryMs * 2, RETRY_MAX_MS);
  }

  function pause() {
    source?.close();
    clearTimeout(timer);
  }

  const { signal } = listening;
  addEventListener("pagehide", pause, { signal });
  addEventListener("pageshow", (event) => event.persisted && open(), { signal });
  open();

  return {
    close() {
      pause();
      listening.abort();
      show("ended", "closed");
    },
  };
}

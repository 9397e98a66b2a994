// The stream of the console. Browsers allow six connections per host, for all tabs together. So the
// console opens only one, and closes it while the page is hidden in the back/forward cache.

import { eventsPath, isPattern } from "/console/address.js";
import { problemOf } from "/console/problem.js";

const RETRY_MS = 2000;
const RETRY_MAX_MS = 60000;

let current = null;

/**
 * Watches `filters` from `start` (a query parameter). Replaces the previous subscription.
 * Calls `onevent(eventObject)`, `ongap(gap)`, `onend(end)` and `onstate(state, words)`, where
 * state is `connecting`, `live`, `reconnecting`, `ended` or `idle`.
 */
export function watch(filters, start, handlers) {
  current?.close();
  current = filters.length ? new Stream(filters, start, handlers) : null;
  if (current) current.open();
  else handlers.onstate("idle", "not watching");
}

/** Reopens an ended stream after the last event that it had read. */
export function continueWatching() {
  current?.close();
  current?.ended.clear();
  current?.open();
}

addEventListener("pagehide", () => current?.close());
addEventListener("pageshow", (event) => event.persisted && current?.open());

class Stream {
  constructor(filters, start, handlers) {
    this.filters = filters;
    this.start = start;
    this.handlers = handlers;
    this.endless = filters.some(isPattern);
    this.ended = new Set();
    this.lastId = "";
    this.retryMs = RETRY_MS;
  }

  open() {
    if (this.isOver()) return;
    const start = this.lastId ? `last_event_id=${encodeURIComponent(this.lastId)}` : this.start;
    const source = (this.source = new EventSource(eventsPath(this.filters, "envelope=json", start)));
    this.handlers.onstate("connecting", "connecting");

    source.onopen = () => {
      this.retryMs = RETRY_MS;
      // `open` fires only if a topic was created again: for ended topics the response is 204.
      if (this.isOver()) this.ended.clear();
      this.handlers.onstate("live", "live");
    };
    const on = (name, act) =>
      source.addEventListener(name, (event) => {
        this.lastId = event.lastEventId;
        act?.(event);
      });
    on("stentor.cursor");
    on("message", (event) => this.event(JSON.parse(event.data)));
    on("stentor.gap", (event) => this.handlers.ongap(JSON.parse(event.data), event.lastEventId));
    on("stentor.end", (event) => this.end(JSON.parse(event.data), event.lastEventId));
    source.onerror = () => this.interrupted();
  }

  close() {
    this.source?.close();
    clearTimeout(this.timer);
    this.source = null;
  }

  isOver() {
    return !this.endless && this.filters.every((topic) => this.ended.has(topic));
  }

  event(event) {
    this.ended.delete(event.topic);
    this.handlers.onevent(event);
  }

  end(end, id) {
    this.ended.add(end.topic);
    this.handlers.onend(end, id);
    if (this.isOver()) this.handlers.onstate("ended", "ended");
  }

  // After the end the browser reconnects once, gets 204 and stops by itself.
  interrupted() {
    if (this.isOver()) return;
    this.handlers.onstate("reconnecting", "reconnecting");
    if (this.source.readyState === EventSource.CLOSED) this.readReason(this.source);
  }

  // EventSource does not report the reason of an error. A request for the history of the topics fails
  // for the same reason, and its response has the text.
  async readReason(refused) {
    let reason = "";
    try {
      const response = await fetch(eventsPath(this.filters, "limit=1"), { headers: { Accept: "application/json" } });
      if (!response.ok && response.status < 500) reason = await problemOf(response);
      else await response.body?.cancel();
    } catch {
      // The server is unreachable; the next attempt may have a reason.
    }
    if (this.source !== refused) return;
    if (reason) {
      this.handlers.onstate("ended", `refused, ${reason}`);
      return;
    }
    this.timer = setTimeout(() => this.open(), this.retryMs * (0.75 + Math.random() / 2));
    this.retryMs = Math.min(this.retryMs * 2, RETRY_MAX_MS);
  }
}

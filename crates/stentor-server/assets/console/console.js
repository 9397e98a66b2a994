// The console. The fragment of the URL holds the watched topics; everything else follows from it.

import { filtersOf, fragmentOf, hasPath, isPattern, starts, topicPath } from "/console/address.js";
import { showLines, startLines } from "/console/lines.js";
import { addEvent, addMark, clearLog, pauseLog, resetLog } from "/console/log.js";
import { problemOf } from "/console/problem.js";
import { setTopic, draft, startPublish } from "/console/publish.js";
import { continueWatching, watch } from "/console/stream.js";
import { markTopics, refreshTopics, startTopics } from "/console/topics.js";

const byId = (id) => document.getElementById(id);

let filters = [];
let start = "last";

function follow() {
  filters = filtersOf(location.hash);
  const [only] = filters;
  const one = filters.length === 1 && !isPattern(only);
  document.title = filters.length ? `${filters.join(", ")} · Stentor` : "Stentor";
  byId("watch-topic").value = filters.length === 1 ? only : "";
  byId("delete").disabled = !one || !hasPath(only);
  if (one) setTopic(only);
  showWatched();
  markTopics(filters);
  showLines(filters, draft());
  begin();
}

function begin() {
  for (const name of Object.keys(starts)) byId(`watch-${name}`).setAttribute("aria-pressed", String(name === start));
  const hint = filters.length ? "No events yet. New events appear here." : "Choose a topic, or enter one above.";
  resetLog({ hint, withTopic: filters.length > 1 || filters.some(isPattern) });
  watch(filters, starts[start], {
    onevent: addEvent,
    ongap: (gap, id) => addMark("gap", gapWords(gap), id),
    onend: (end, id) => addMark("end", endWords(end), id),
    onstate: showState,
  });
}

function gapWords({ reason, topics = [] }) {
  const why = {
    unreadable: "the last event id is not from this server",
    epoch: "the log was replaced by another one",
    future: "the last event id is newer than the log",
    trimmed: "retention has deleted events",
    damaged: "events are damaged on the disk of the server",
    deleted: "a topic was deleted",
  };
  const where = topics.length ? ` (${topics.join(", ")})` : "";
  return `Gap: events are missing here, ${why[reason] ?? reason}${where}`;
}

const endWords = ({ topic, reason }) => `End of ${topic}${reason ? `: ${reason}` : ""}`;

function showState(state, words) {
  byId("state").dataset.state = state;
  byId("state").textContent = words;
}

function showWatched() {
  const chips = filters.length < 2 ? [] : filters.map((filter) => {
    const chip = document.createElement("li");
    const remove = document.createElement("button");
    remove.type = "button";
    remove.textContent = "×";
    remove.setAttribute("aria-label", `Stop watching ${filter}`);
    remove.addEventListener("click", () => go(filters.filter((other) => other !== filter)));
    chip.append(filter, remove);
    return chip;
  });
  byId("watched").replaceChildren(...chips);
}

function go(next) {
  location.hash = fragmentOf(next);
}

byId("watch-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = byId("watch-topic").value;
  go(name ? [name] : []);
});

byId("watch-add").addEventListener("click", () => {
  const name = byId("watch-topic").value;
  if (name) go([...filters, name]);
});

for (const name of Object.keys(starts)) {
  byId(`watch-${name}`).addEventListener("click", () => {
    start = name;
    begin();
  });
}

byId("pause").addEventListener("click", ({ currentTarget }) => {
  const pause = currentTarget.getAttribute("aria-pressed") !== "true";
  currentTarget.setAttribute("aria-pressed", String(pause));
  pauseLog(pause);
});

byId("clear").addEventListener("click", clearLog);

// If a watched topic had ended and accepts an event, it was deleted and created again.
function published({ topic, end }) {
  refreshTopics();
  if (!end && byId("state").dataset.state === "ended" && filters.includes(topic)) continueWatching();
}

byId("delete").addEventListener("click", () => {
  byId("delete-name").textContent = filters[0];
  byId("delete-dialog").returnValue = "keep";
  byId("delete-dialog").showModal();
});

byId("delete-dialog").addEventListener("close", async ({ target }) => {
  if (target.returnValue !== "delete") return;
  const name = byId("delete-name").textContent;
  const response = await fetch(topicPath(name), { method: "DELETE" }).catch((error) => error);
  if (response.ok) refreshTopics();
  else addMark("refused", `Not deleted, ${response.status ? await problemOf(response) : response.message}`);
});

addEventListener("hashchange", follow);
startLines();
startPublish({ onchange: () => showLines(filters, draft()), onpublished: published });
startTopics();
follow();

// The list of topics: filtered by prefix, in pages, refreshed every few seconds while it is visible.

import { fragmentOf } from "/console/address.js";
import { problemOf } from "/console/problem.js";

const PAGE = 50;
const REFRESH_MS = 3000;

const list = document.getElementById("topics");
const filter = document.getElementById("filter");
const note = document.getElementById("topics-note");
const more = document.getElementById("topics-more");

const rows = new Map(); // topic -> its <li>, reused by refreshes so that focus is kept
let wanted = PAGE;
let chosen = [];
let request = new AbortController();
let timer = 0;

/** Loads the list and starts to refresh it. */
export function startTopics() {
  filter.addEventListener("input", () => {
    wanted = PAGE;
    refreshTopics();
  });
  more.addEventListener("click", () => {
    wanted += PAGE;
    refreshTopics();
  });
  document.addEventListener("visibilitychange", refreshTopics);
  addEventListener("pageshow", (event) => event.persisted && refreshTopics());
  refreshTopics();
}

/** Marks the watched topics. */
export function markTopics(filters) {
  chosen = filters;
  for (const [topic, row] of rows) markRow(topic, row);
}

/** Loads the list now and schedules the next refresh. */
export async function refreshTopics() {
  request.abort();
  clearTimeout(timer);
  if (document.hidden) return;
  const mine = (request = new AbortController());
  try {
    const { topics, next } = await read(mine.signal);
    show(topics, next);
  } catch (error) {
    if (mine.signal.aborted) return;
    say(error.message);
  }
  timer = setTimeout(refreshTopics, REFRESH_MS);
}

async function read(signal) {
  const topics = [];
  let next = null;
  do {
    const query = new URLSearchParams({ limit: String(PAGE) });
    if (filter.value) query.set("prefix", filter.value);
    if (next !== null) query.set("after", next);
    const response = await fetch(`/topics?${query}`, { signal, headers: { Accept: "application/json" } });
    if (!response.ok) throw new Error(await problemOf(response));
    const page = await response.json();
    topics.push(...page.topics);
    next = page.next;
  } while (next !== null && topics.length < wanted);
  return { topics, next };
}

function show(topics, next) {
  const present = new Set(topics.map(({ topic }) => topic));
  for (const [topic, row] of rows) {
    if (present.has(topic)) continue;
    row.remove();
    rows.delete(topic);
  }
  topics.forEach((entry, place) => {
    const row = rows.get(entry.topic) ?? newRow(entry.topic);
    fillRow(row, entry);
    if (list.children[place] !== row) list.insertBefore(row, list.children[place] ?? null);
  });
  more.hidden = next === null;
  const none = filter.value ? "No topic begins with this." : "No topics yet. Publish an event to create one.";
  say(topics.length ? "" : none);
}

// Screen readers announce a status on every write, so it is written only when it changes.
function say(text) {
  if (note.textContent !== text) note.textContent = text;
}

function newRow(topic) {
  const row = document.createElement("li");
  const link = document.createElement("a");
  link.href = fragmentOf([topic]);
  link.append(span("name", topic), span("facts", ""));
  row.append(link);
  rows.set(topic, row);
  markRow(topic, row);
  return row;
}

function fillRow(row, { events, bytes, subscribers, ended }) {
  const facts = [counted(events, "event"), sizeOf(bytes)];
  if (subscribers) facts.push(counted(subscribers, "subscriber"));
  if (ended) facts.push("ended");
  row.querySelector(".facts").textContent = facts.join(" · ");
}

function markRow(topic, row) {
  const link = row.firstElementChild;
  if (chosen.includes(topic)) link.setAttribute("aria-current", "true");
  else link.removeAttribute("aria-current");
}

function span(className, text) {
  const element = document.createElement("span");
  element.className = className;
  element.textContent = text;
  return element;
}

const counted = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

function sizeOf(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const step = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  const value = bytes / 1024 ** step;
  return `${value.toFixed(step && value < 10 ? 1 : 0)} ${units[step]}`;
}

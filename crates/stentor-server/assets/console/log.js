// The rows of events, newest last. Both the rows and the text they hold are bounded, so that a
// page that watches for a week is as light as one that watches for a minute.

import { pretty } from "/console/pretty.js";

const MAX_ROWS = 500;
const MAX_CHARS = 32 * 1024 * 1024;
const CUT_CHARS = 4000;

const list = document.getElementById("events");
const note = document.getElementById("events-note");

let rows = []; // { element, size }, as shown
let waiting = []; // { build, size }, not shown yet
let received = 0;
let paused = false;
let showsTopic = false;
let scheduled = false;
let following = true; // the newest row is in sight, and is to stay so

list.addEventListener("scroll", () => {
  following = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
});
new ResizeObserver(keepUp).observe(list);

/** Empties the list; `hint` is shown until the first row, `withTopic` names each row's topic. */
export function resetLog({ hint, withTopic }) {
  showsTopic = withTopic;
  list.dataset.hint = hint;
  clearLog();
}

/** Forgets all rows. */
export function clearLog() {
  rows = [];
  waiting = [];
  received = 0;
  following = true;
  list.replaceChildren();
  tell();
}

/** While paused, rows wait (the newest of them) and are shown when it goes on. */
export function pauseLog(pause) {
  paused = pause;
  schedule();
  tell();
}

/** Adds an event object. */
export function addEvent(event) {
  received += 1;
  const named = showsTopic;
  add(event.data.length, () => eventRow(event, named));
}

/** Adds a marker: `kind` is `gap`, `end` or `refused`; `id` is where in the log it belongs. */
export function addMark(kind, words, id) {
  add(words.length, () => markRow(kind, words, id));
}

function add(size, build) {
  waiting.push({ size, build });
  trim(waiting);
  schedule();
}

// Many events are shown in one go, once per frame of the screen.
function schedule() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    if (paused) tell();
    else flush();
  });
}

function flush() {
  if (waiting.length === 0) return;
  const added = waiting.map(({ build, size }) => ({ element: build(), size }));
  waiting = [];
  list.append(...added.map(({ element }) => element));
  rows.push(...added);
  for (const { element } of trim(rows)) element.remove();
  keepUp();
  tell();
}

function keepUp() {
  if (following) list.scrollTop = list.scrollHeight;
}

// Removes the oldest entries beyond the bounds, and returns them. The newest always stays.
function trim(entries) {
  let chars = 0;
  let keep = 0;
  for (let at = entries.length - 1; at >= 0 && keep < MAX_ROWS; at -= 1, keep += 1) {
    chars += entries[at].size;
    if (chars > MAX_CHARS && keep > 0) break;
  }
  return entries.splice(0, entries.length - keep);
}

function tell() {
  const held = paused ? `paused, ${waiting.length.toLocaleString("en")} waiting` : "";
  const counts = received ? `${received.toLocaleString("en")} received` : "";
  const bound = received > MAX_ROWS ? `the newest ${MAX_ROWS} are kept here` : "";
  note.textContent = [counts, bound, held].filter(Boolean).join(" · ") || "\u00a0";
}

function eventRow(event, named) {
  const row = document.createElement("li");
  const time = document.createElement("time");
  const at = new Date(event.time);
  time.dateTime = event.time;
  time.title = `id ${event.id}\n${event.time}`;
  time.textContent = clockOf(at);
  const type = element("span", "type", event.type);
  row.append(time, type);
  if (named) row.append(element("span", "topic", event.topic));
  row.append(dataOf(event.data));
  return row;
}

function markRow(kind, words, id) {
  const row = element("li", `mark ${kind}`, words);
  if (id) row.title = `id ${id}`;
  return row;
}

function dataOf(data) {
  if (/^data:image\//i.test(data)) {
    const picture = document.createElement("img");
    picture.src = data;
    picture.alt = `Picture, ${data.slice(5, data.search(/[;,]/))}`;
    return picture;
  }
  const text = pretty(data);
  const block = element("pre", "data", text.slice(0, CUT_CHARS));
  if (text.length > CUT_CHARS) {
    const rest = element("button", "rest", `Show all ${text.length.toLocaleString("en")} characters`);
    rest.type = "button";
    rest.addEventListener("click", () => (block.textContent = text));
    block.append("…\n", rest);
  }
  return block;
}

function clockOf(at) {
  const two = (number) => String(number).padStart(2, "0");
  const millis = String(at.getMilliseconds()).padStart(3, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${millis}`;
}

function element(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

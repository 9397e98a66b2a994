// The list of events, newest last. The number of rows and their total text are limited, so that a page
// that is open for a week needs no more memory than one that is open for a minute.

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
let following = true; // the list is scrolled to the end, and stays there

list.addEventListener("scroll", () => {
  following = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
});
new ResizeObserver(keepUp).observe(list);

/** Empties the list. `hint` is shown until the first row; with `withTopic`, rows show their topic. */
export function resetLog({ hint, withTopic }) {
  showsTopic = withTopic;
  list.dataset.hint = hint;
  clearLog();
}

/** Removes all rows. */
export function clearLog() {
  rows = [];
  waiting = [];
  received = 0;
  following = true;
  list.replaceChildren();
  showCounts();
}

/** Pauses or resumes. While paused, the newest rows are kept and shown after the pause. */
export function pauseLog(pause) {
  paused = pause;
  schedule();
  showCounts();
}

/** Adds an event object. */
export function addEvent(event) {
  received += 1;
  const named = showsTopic;
  add(event.data.length, () => eventRow(event, named));
}

/** Adds a marker. `kind` is `gap`, `end` or `refused`; `id` is its position in the log. */
export function addMark(kind, words, id) {
  add(words.length, () => markRow(kind, words, id));
}

function add(size, build) {
  waiting.push({ size, build });
  trim(waiting);
  schedule();
}

// Events are shown together, once per frame of the screen.
function schedule() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    if (paused) showCounts();
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
  showCounts();
}

function keepUp() {
  if (following) list.scrollTop = list.scrollHeight;
}

// Removes and returns the oldest entries beyond the limits. The newest entry always stays.
function trim(entries) {
  let chars = 0;
  let keep = 0;
  for (let at = entries.length - 1; at >= 0 && keep < MAX_ROWS; at -= 1, keep += 1) {
    chars += entries[at].size;
    if (chars > MAX_CHARS && keep > 0) break;
  }
  return entries.splice(0, entries.length - keep);
}

function showCounts() {
  const held = paused ? `paused, ${waiting.length.toLocaleString("en")} waiting` : "";
  const counts = received ? `${received.toLocaleString("en")} received` : "";
  const bound = received > MAX_ROWS ? `the newest ${MAX_ROWS} are shown` : "";
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

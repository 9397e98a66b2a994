// The box that publishes: what is in it, and what the server answers.

import { hasPath, isGlob, publishPath } from "/console/address.js";
import { problemOf } from "/console/problem.js";

const form = document.getElementById("publish-form");
const topic = document.getElementById("publish-topic");
const type = document.getElementById("publish-type");
const data = document.getElementById("publish-data");
const file = document.getElementById("publish-file");
const end = document.getElementById("publish-end");
const answer = document.getElementById("publish-answer");

let sending = false;

/** Calls `onchange()` when the box changes and `onpublished(draft)` when it was published. */
export function startPublish({ onchange, onpublished }) {
  form.addEventListener("input", onchange);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (sending) return;
    sending = true;
    say("", "Sending…");
    try {
      const event = draft();
      await send(event);
      onpublished(event);
      onchange();
    } catch (error) {
      say("refused", error.message);
    }
    sending = false;
  });
}

/** Puts the watched topic into the box. */
export function aimAt(name) {
  topic.value = name;
}

/** What the box would publish now: `{ topic, type, data, file, end }`. */
export const draft = () => ({
  topic: topic.value,
  type: type.value,
  data: data.value,
  file: file.files[0] ?? null,
  end: end.checked,
});

/** The content type that a file is sent with. One that the browser does not know is just bytes. */
export const typeOf = (chosen) => chosen.type || "application/octet-stream";

async function send(event) {
  if (isGlob(event.topic)) throw new Error("A topic name has no * or ** segment: name one topic.");
  if (!hasPath(event.topic)) throw new Error("This name cannot be part of a URL: choose another.");
  const response = await fetch(publishPath(event.topic, event), {
    method: "POST",
    headers: { "Content-Type": event.file ? typeOf(event.file) : "text/plain; charset=utf-8" },
    body: event.file ?? event.data,
  });
  if (!response.ok) throw new Error(await problemOf(response));
  const { id, count, last_id: last } = await response.json();
  say("accepted", count === undefined ? `Published as ${id}` : `Published ${count}, the last as ${last}`);
  data.value = "";
  file.value = "";
  end.checked = false;
}

function say(kind, words) {
  answer.className = kind;
  answer.textContent = words;
}

// The publish form: its fields, and the response of the server.

import { hasPath, isPattern, publishPath } from "/console/address.js";
import { problemOf } from "/console/problem.js";

const form = document.getElementById("publish-form");
const topic = document.getElementById("publish-topic");
const type = document.getElementById("publish-type");
const data = document.getElementById("publish-data");
const file = document.getElementById("publish-file");
const end = document.getElementById("publish-end");
const answer = document.getElementById("publish-answer");

let sending = false;

/** Calls `onchange()` when a field changes and `onpublished(draft)` after a publish. */
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

/** Puts the watched topic into the form. */
export function setTopic(name) {
  topic.value = name;
}

/** Returns the content of the form: `{ topic, type, data, file, end }`. */
export const draft = () => ({
  topic: topic.value,
  type: type.value,
  data: data.value,
  file: file.files[0] ?? null,
  end: end.checked,
});

/** Returns the content type of a file; `application/octet-stream` if the browser does not know it. */
export const typeOf = (chosen) => chosen.type || "application/octet-stream";

async function send(event) {
  if (isPattern(event.topic)) throw new Error("You can only publish to one topic; enter a name without * and ** segments.");
  if (!hasPath(event.topic)) throw new Error("This name cannot be used in a URL; choose another name.");
  const response = await fetch(publishPath(event.topic, event), {
    method: "POST",
    headers: { "Content-Type": event.file ? typeOf(event.file) : "text/plain; charset=utf-8" },
    body: event.file ?? event.data,
  });
  if (!response.ok) throw new Error(await problemOf(response));
  const { id, count, last_id: last } = await response.json();
  say("accepted", count === undefined ? `Published as ${id}` : `Published ${count} events, the last one as ${last}`);
  data.value = "";
  file.value = "";
  end.checked = false;
}

function say(kind, words) {
  answer.className = kind;
  answer.textContent = words;
}

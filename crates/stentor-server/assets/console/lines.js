// Commands and code to copy: the current publish and subscription, for a terminal and for a page.

import { publishPath, subscribePath } from "/console/address.js";
import { typeOf } from "/console/publish.js";

const EXAMPLE = "news/today";
const MAX_DATA = 2000;
const COPIED_MS = 1500;

/** Connects the copy buttons. */
export function startLines() {
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      await copy(document.getElementById(button.dataset.copy));
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), COPIED_MS);
    });
  }
}

/** Shows the commands for the watched `filters` and the `draft` in the publish form. */
export function showLines(filters, draft) {
  const topic = draft.topic || EXAMPLE;
  const watched = filters.length ? filters : [topic];
  put("curl-publish", curlPublish({ ...draft, topic }));
  put("curl-subscribe", `curl -N ${shell(location.origin + subscribePath(watched))}`);
  put("eventsource", eventSource(watched, draft.type));
}

function put(id, text) {
  const block = document.getElementById(id);
  if (block.textContent !== text) block.textContent = text;
}

// `--data-raw`, because `-d` takes text that begins with @ as a file name.
function curlPublish(draft) {
  const url = shell(location.origin + publishPath(draft.topic, draft));
  if (draft.file) {
    return `curl --data-binary ${shell("@" + draft.file.name)} -H ${shell("Content-Type: " + typeOf(draft.file))} ${url}`;
  }
  const data = draft.data.length > MAX_DATA || (!draft.data && !draft.end) ? "hello" : draft.data;
  return `curl --data-raw ${shell(data)} ${url}`;
}

function eventSource(filters, type) {
  const path = subscribePath(filters);
  const enveloped = path.startsWith("/events") && path.includes("envelope=json");
  const lines = [
    `const source = new EventSource(${JSON.stringify(location.origin + path)});`,
    enveloped
      ? "source.onmessage = ({ data }) => {\n  const event = JSON.parse(data);\n  console.log(event.topic, event.type, event.data);\n};"
      : "source.onmessage = (event) => console.log(event.data);",
  ];
  if (type && !enveloped) {
    lines.push(`source.addEventListener(${JSON.stringify(type)}, (event) => console.log(event.data));`);
  }
  return lines.join("\n");
}

// Between single quotes a POSIX shell changes nothing; only a single quote ends them.
const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;

// Only pages from localhost or over TLS have `navigator.clipboard`; others use the older command.
async function copy(block) {
  try {
    await navigator.clipboard.writeText(block.textContent);
  } catch {
    getSelection().selectAllChildren(block);
    document.execCommand("copy");
  }
}

// Topics and filters in URLs: paths, queries, and the fragment of this page.

/** The start options that the console offers, as query parameters. */
export const starts = { last: "last=100", start: "from=earliest", now: "from=now" };

const encode = encodeURIComponent;

// A slash needs no encoding in a query or a fragment, and is easier to read there.
const encodeReadable = (text) => encode(text).replaceAll("%2F", "/");

/** Returns true if a segment of `text` is a wildcard: then it is a pattern, not the name of a topic. */
export const isPattern = (text) => text.split("/").some((segment) => segment === "*" || segment === "**");

/** Returns the path of one topic. `%2F` protects segments that a URL parser would remove. */
export function topicPath(topic) {
  const segments = topic.split("/");
  const isRewritten = segments.some((segment) => segment === "" || segment === "." || segment === "..");
  return "/topics/" + segments.map(encode).join(isRewritten ? "%2F" : "/");
}

/** Returns false for the two names that cannot be used in a URL path, even percent-encoded. */
export const hasPath = (topic) => topic !== "." && topic !== "..";

/** Returns the path that publishes to `topic`. The parameter `end` needs no value. */
export function publishPath(topic, { type = "", end = false } = {}) {
  const query = [type && `type=${encode(type)}`, end && "end"].filter(Boolean).join("&");
  return topicPath(topic) + (query && `?${query}`);
}

/**
 * Returns the path of a subscription to `filters`. `options` are further query parameters. A single
 * topic whose name has `*` inside a segment has a path of its own only: in a query it would be refused
 * as a pattern.
 */
export function eventsPath(filters, ...options) {
  const [only, ...others] = filters;
  if (!others.length && only?.includes("*") && !isPattern(only)) {
    return topicPath(only) + (options.length ? `?${options.join("&")}` : "");
  }
  const topics = filters.map((filter) => `topic=${encodeReadable(filter)}`);
  return "/events?" + [...topics, ...options].join("&");
}

/** Returns the shortest path that subscribes to `filters`: for a single topic, its own path. */
export function subscribePath(filters) {
  const [only, ...others] = filters;
  const plain = others.length === 0 && !isPattern(only) && hasPath(only);
  return plain ? topicPath(only) : eventsPath(filters, ...(others.length || isPattern(only) ? ["envelope=json"] : []));
}

/** Returns the filters in a fragment such as `#topic=a%20b&topic=news/*`. */
export function filtersOf(fragment) {
  const pairs = fragment.replace(/^#/, "").split("&").map((pair) => pair.split(/=(.*)/s));
  const named = pairs.filter(([name, value]) => name === "topic" && value).map(([, value]) => decode(value));
  return [...new Set(named)];
}

/** Returns the fragment for `filters`. */
export const fragmentOf = (filters) => "#" + filters.map((filter) => `topic=${encodeReadable(filter)}`).join("&");

// A `+` is not decoded to a space: that rule is for forms, not for fragments.
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

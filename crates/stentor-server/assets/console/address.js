// How topics and filters are spelled in addresses: paths, queries, and this page's fragment.

/** The start options that the console offers, as query parameters. */
export const starts = { last: "last=100", start: "from=earliest", now: "from=now" };

const encode = encodeURIComponent;

// A slash may stand for itself in a query and in a fragment, and is easier to read there.
const encodeReadable = (text) => encode(text).replaceAll("%2F", "/");

/** True when a segment is a wildcard, so that `text` asks for several topics and names none. */
export const isGlob = (text) => text.split("/").some((segment) => segment === "*" || segment === "**");

/** The path of one topic. Segments that a URL parser would fold away hide behind `%2F`. */
export function topicPath(topic) {
  const segments = topic.split("/");
  const folds = segments.some((segment) => segment === "" || segment === "." || segment === "..");
  return "/topics/" + segments.map(encode).join(folds ? "%2F" : "/");
}

/** False for the two names that no URL path can carry, however they are encoded. */
export const hasPath = (topic) => topic !== "." && topic !== "..";

/** The path that publishes to `topic`. `end` stays bare: a parameter without value counts. */
export function publishPath(topic, { type = "", end = false } = {}) {
  const query = [type && `type=${encode(type)}`, end && "end"].filter(Boolean).join("&");
  return topicPath(topic) + (query && `?${query}`);
}

/** The path of a subscription to `filters`, with further query parameters in `options`. */
export function eventsPath(filters, ...options) {
  const topics = filters.map((filter) => `topic=${encodeReadable(filter)}`);
  return "/events?" + [...topics, ...options].join("&");
}

/** The shortest path that subscribes to `filters`: the topic's own, if they are one plain name. */
export function subscribePath(filters) {
  const [only, ...others] = filters;
  const plain = others.length === 0 && !isGlob(only) && hasPath(only);
  return plain ? topicPath(only) : eventsPath(filters, ...(others.length || isGlob(only) ? ["envelope=json"] : []));
}

/** The filters named by a fragment such as `#topic=a%20b&topic=news/*`. */
export function filtersOf(fragment) {
  const pairs = fragment.replace(/^#/, "").split("&").map((pair) => pair.split(/=(.*)/s));
  const named = pairs.filter(([name, value]) => name === "topic" && value).map(([, value]) => decode(value));
  return [...new Set(named)];
}

/** The fragment that names `filters`. */
export const fragmentOf = (filters) => "#" + filters.map((filter) => `topic=${encodeReadable(filter)}`).join("&");

// A `+` stays a plus: that it means a space is a custom of forms, not of fragments.
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

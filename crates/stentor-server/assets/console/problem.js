// Error responses of the server.

/** Returns one line for an error response: the status and the `detail` of its problem+json. */
export async function problemOf(response) {
  const text = await response.text();
  try {
    const { detail, title } = JSON.parse(text);
    return `${response.status}: ${detail ?? title}`;
  } catch {
    return `${response.status}: ${text.slice(0, 300) || response.statusText}`;
  }
}

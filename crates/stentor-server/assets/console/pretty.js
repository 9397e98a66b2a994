// Indents JSON. Only the white space between tokens changes. Long numbers, repeated keys and escapes
// stay as they were published; `JSON.parse` and `JSON.stringify` would change them.

const MAX_CHARS = 256 * 1024;
const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

/** Returns `text` indented if it is a JSON object or array of at most `MAX_CHARS`, else unchanged. */
export function pretty(text) {
  if (!/^\s*[{[]/.test(text) || text.length > MAX_CHARS || !isJson(text)) return text;
  const tokens = text.match(TOKENS);
  let depth = 0;
  let out = "";
  tokens.forEach((token, at) => {
    const newLine = () => "\n" + "  ".repeat(depth);
    if (isOpening(token)) {
      depth += 1;
      out += token + (isClosing(tokens[at + 1]) ? "" : newLine());
    } else if (isClosing(token)) {
      depth -= 1;
      out += (isOpening(tokens[at - 1]) ? "" : newLine()) + token;
    } else if (token === ",") {
      out += token + newLine();
    } else {
      out += token === ":" ? ": " : token;
    }
  });
  return out;
}

const isOpening = (token) => token === "{" || token === "[";
const isClosing = (token) => token === "}" || token === "]";

function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

// Numbers, times and money as people read them.

const WHOLE = new Intl.NumberFormat("en-US");

export function count(value) {
  return value === null || value === undefined ? "" : WHOLE.format(value);
}

export function money(usd) {
  if (usd === null || usd === undefined) return "";
  if (usd === 0) return "$0";
  const digits = usd >= 1 ? 2 : usd >= 0.01 ? 4 : 8;
  return `$${usd.toFixed(digits).replace(/(\.\d*?[1-9])0+$/, "$1").replace(/\.0*$/, "")}`;
}

export function duration(ms) {
  if (ms === null || ms === undefined) return "";
  if (ms === 0) return "0";
  if (ms < 1) return `${ms.toFixed(2)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(2)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

export function moment(text) {
  return text ? text.slice(0, 19).replace("T", " ") : "";
}

export function clock(text) {
  return text ? text.slice(11, 19) : "";
}

export function tokens(row) {
  if (row.input_tokens === null && row.output_tokens === null) return "";
  return `${row.input_tokens === null ? "?" : count(row.input_tokens)} / ${
    row.output_tokens === null ? "?" : count(row.output_tokens)
  }`;
}

export function modelOf(row) {
  return [...new Set([row.provider, row.model])].filter(Boolean).join(":") || "unknown";
}

// The last question of a prompt, which is all its messages in one text.
export function question(prompt) {
  const text = prompt || "";
  const at = text.lastIndexOf("\n\nuser: ");
  const asked = at >= 0 ? text.slice(at + 8) : text.startsWith("user: ") ? text.slice(6) : text;
  return asked.split(/\n\n(?:assistant|tool): /, 1)[0];
}

export function oneLine(text, length = 300) {
  return (text || "").slice(0, length).replace(/\s+/g, " ").trim();
}

// The end of a path, which tells more than its beginning.
export function shortPath(path) {
  const parts = path.split(/[\\/]/).filter(Boolean);
  return parts.length > 2 ? `…/${parts.slice(-2).join("/")}` : path;
}

export function plural(number, word) {
  return `${count(number)} ${word}${number === 1 ? "" : "s"}`;
}

// Which calls are wanted: read from the address, written into it, and applied where there is no server to ask.

export const SORTS = [
  ["newest", "newest first"],
  ["oldest", "oldest first"],
  ["cost", "most expensive first"],
  ["slowest", "slowest first"],
  ["tokens", "most tokens first"],
];

const NAMES = ["q", "state", "model", "tag", "run", "since", "until", "min_usd", "min_ms", "sort"];

export function choiceOf(parameters) {
  const choice = {};
  for (const name of NAMES) {
    const value = parameters.get(name);
    if (value) choice[name] = value;
  }
  return choice;
}

export function parametersOf(choice) {
  const parameters = new URLSearchParams();
  for (const name of NAMES) {
    if (choice[name] && choice[name] !== "newest") parameters.set(name, choice[name]);
  }
  return parameters;
}

export function chosen(rows, choice) {
  const word = (choice.q || "").toLowerCase();
  const found = rows.filter((row) => fits(row, choice) && (!word || holds(row, word)));
  const by = {
    cost: (one, other) => (other.cost_usd || 0) - (one.cost_usd || 0),
    slowest: (one, other) => (other.duration_ms || 0) - (one.duration_ms || 0),
    tokens: (one, other) => used(other) - used(one),
  }[choice.sort];
  if (choice.sort === "oldest") found.reverse(); // they are kept with the newest first
  else if (by) found.sort(by);
  return found;
}

function used(row) {
  return (row.input_tokens || 0) + (row.output_tokens || 0);
}

function fits(row, choice) {
  return (
    (!choice.state || row.state === choice.state) &&
    (!choice.model || [row.model, row.response_model, `${row.provider}:${row.model}`].includes(choice.model)) &&
    (!choice.tag || row.tags.includes(choice.tag)) &&
    (!choice.run || row.parent === choice.run) &&
    (!choice.since || (row.started_at || "") >= choice.since) &&
    (!choice.until || (row.started_at && row.started_at < choice.until)) &&
    (!choice.min_usd || (row.cost_usd || 0) >= Number(choice.min_usd)) &&
    (!choice.min_ms || (row.duration_ms || 0) >= Number(choice.min_ms))
  );
}

function holds(row, word) {
  return [row.prompt, row.text, row.thinking, row.error].some((text) => text && text.toLowerCase().includes(word));
}

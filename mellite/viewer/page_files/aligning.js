// What two lists have in common, in order; and with it what differs between two texts, two calls and two runs.

const MOST_CELLS = 1_000_000;
const MOST_PLACES = 50;

// Where the messages stand in the request of a provider.
const CONVERSATIONS = ["messages", "contents", "input"];

// How one list becomes another: steps of {what, left, right}, the items of which are the same, removed or added.
// Null if there are too many that differ to find out what the lists have in common.
export function steps(left, right) {
  let start = 0;
  while (start < left.length && start < right.length && left[start] === right[start]) start += 1;
  let end = 0;
  const most = Math.min(left.length, right.length) - start;
  while (end < most && left[left.length - 1 - end] === right[right.length - 1 - end]) end += 1;
  const one = left.slice(start, left.length - end);
  const other = right.slice(start, right.length - end);
  if (one.length * other.length > MOST_CELLS) return null;
  const made = [];
  const add = (what, item) => {
    const last = made[made.length - 1];
    if (last && last.what === what) last.items.push(item);
    else made.push({ what, items: [item] });
  };
  left.slice(0, start).forEach((item) => add("same", item));
  between(one, other, add);
  left.slice(left.length - end).forEach((item) => add("same", item));
  return made;
}

function between(one, other, add) {
  const width = other.length + 1;
  const table = new Uint32Array((one.length + 1) * width);
  for (let i = one.length - 1; i >= 0; i -= 1) {
    for (let j = other.length - 1; j >= 0; j -= 1) {
      table[i * width + j] =
        one[i] === other[j]
          ? table[(i + 1) * width + j + 1] + 1
          : Math.max(table[(i + 1) * width + j], table[i * width + j + 1]);
    }
  }
  let i = 0;
  let j = 0;
  while (i < one.length || j < other.length) {
    if (i < one.length && j < other.length && one[i] === other[j]) {
      add("same", one[i]);
      i += 1;
      j += 1;
    } else if (j >= other.length || (i < one.length && table[(i + 1) * width + j] >= table[i * width + j + 1])) {
      add("removed", one[i]);
      i += 1;
    } else {
      add("added", other[j]);
      j += 1;
    }
  }
}

// Two texts as one, in pieces of {what, text}: line by line, and word by word in lines that differ.
export function textSteps(left, right) {
  const lines = (text) => text.split(/(?<=\n)/);
  const found = steps(lines(left), lines(right)) ?? [
    { what: "removed", items: [left] },
    { what: "added", items: [right] },
  ];
  const made = [];
  for (let at = 0; at < found.length; at += 1) {
    const [one, next] = [found[at], found[at + 1]];
    const isChange = next && one.what !== "same" && next.what !== "same";
    if (isChange) {
      const [gone, come] = one.what === "removed" ? [one, next] : [next, one];
      made.push(...wordSteps(gone.items.join(""), come.items.join("")));
      at += 1;
    } else {
      made.push({ what: one.what, text: one.items.join("") });
    }
  }
  return made;
}

function wordSteps(left, right) {
  const words = (text) => text.split(/(\s+)/);
  const found = steps(words(left), words(right));
  if (found === null) return [{ what: "removed", text: left }, { what: "added", text: right }];
  return found.map(({ what, items }) => ({ what, text: items.join("") }));
}

// Compare calls that are in this page with others, as the server compares them: in the same form.
export function compared(left, right) {
  const pairs = aligned(left, right).map(([one, other]) => pairOf(one, other));
  const more = (name) => {
    const total = (calls) => calls.reduce((sum, call) => sum + (call[name] || 0), 0);
    return [...left, ...right].every((call) => call[name] !== null) ? total(right) - total(left) : null;
  };
  return { pairs, input_tokens: more("input_tokens"), output_tokens: more("output_tokens"), cost_usd: more("cost_usd") };
}

// Calls that ask the same belong together, in order; of the others, those that stand at the same place between these.
function aligned(left, right) {
  const asked = (calls) => calls.map((call) => JSON.stringify(requestOf(call)));
  const found = steps(asked(left), asked(right)) ?? [
    { what: "removed", items: left },
    { what: "added", items: right },
  ];
  const [ours, theirs] = [[...left], [...right]];
  const pairs = [];
  let [gone, come] = [[], []];
  const flush = () => {
    while (gone.length || come.length) pairs.push([gone.shift() ?? null, come.shift() ?? null]);
  };
  for (const { what, items } of found) {
    if (what === "removed") gone = [...gone, ...ours.splice(0, items.length)];
    else if (what === "added") come = [...come, ...theirs.splice(0, items.length)];
    else {
      flush();
      items.forEach(() => pairs.push([ours.shift(), theirs.shift()]));
    }
  }
  flush();
  return pairs;
}

function pairOf(one, other) {
  const pair = { left: sideOf(one), right: sideOf(other), request: [], answer: [] };
  if (one === null || other === null) return { ...pair, change: one === null ? "added" : "removed" };
  pair.request = places("", requestOf(one), requestOf(other)).slice(0, MOST_PLACES);
  pair.answer = places("", answerOf(one), answerOf(other)).slice(0, MOST_PLACES);
  return { ...pair, change: pair.request.length ? "request" : pair.answer.length ? "answer" : "same" };
}

function sideOf(call) {
  if (call === null) return null;
  const asked = (call.messages || []).filter((message) => message.role === "user").pop();
  const question = call.tool ? call.tool.name : asked ? said(asked.content) : "";
  return { id: call.id, model: [call.provider, call.model].filter(Boolean).join(":"), question, text: call.text || "" };
}

// What was asked: the request as it was sent, where that is known, else the conversation and the options.
function requestOf(call) {
  if (call.tool) return { tool: call.tool.name, arguments: call.tool.arguments };
  const sent = call.request || {};
  const isWhole = CONVERSATIONS.some((name) => sent.body && Object.hasOwn(sent.body, name));
  if (isWhole) return { method: sent.method, url: sent.url, headers: sent.headers, body: sent.body };
  const messages = (call.messages || []).map((message) => ({ role: message.role, content: flat(message.content) }));
  return { provider: call.provider, model: call.model, options: call.options ?? sent.body ?? null, messages };
}

function answerOf(call) {
  const parts = (call.message && Array.isArray(call.message.content) && call.message.content) || [];
  const made = { state: call.state, text: call.text, thinking: call.thinking, finish_reason: call.finish_reason };
  made.error = call.error ? `${call.error_type}: ${call.error}` : null;
  if (call.response) made.status = call.response.status;
  if (call.tool) made.result = call.tool.result;
  parts
    .filter((part) => part.type === "tool_call")
    .forEach((part, place) => {
      made[`tool call ${place}`] = `${part.name}(${JSON.stringify(part.arguments ?? part.raw_arguments ?? null)})`;
    });
  return made;
}

// A message of text only as that text, so that it reads well.
function flat(content) {
  return Array.isArray(content) && content.every((part) => part.type === "text") ? said(content) : content;
}

function said(content) {
  if (typeof content === "string") return content;
  return (content || []).map((part) => (part.type === "text" ? part.text : `[${part.type}]`)).join("");
}

// The places at which two values differ, as in "messages[0].content", with what is there as texts.
function places(path, one, other) {
  const isList = Array.isArray(one) && Array.isArray(other);
  const isBoth = one !== null && other !== null && typeof one === "object" && typeof other === "object";
  if (isList || (isBoth && !Array.isArray(one) && !Array.isArray(other))) {
    const names = isList ? [...(one.length > other.length ? one : other).keys()] : [...new Set([...Object.keys(one), ...Object.keys(other)])];
    return names.flatMap((name) => {
      const step = isList ? `[${name}]` : /^[\w ]+$/.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`;
      return places(path || isList ? `${path}${step}` : step.replace(/^\./, ""), own(one, name), own(other, name));
    });
  }
  const [left, right] = [textOf(one), textOf(other)];
  return left === right ? [] : [{ place: path || "value", left, right }];
}

function own(value, name) {
  return Object.hasOwn(value, name) ? value[name] : null;
}

function textOf(value) {
  if (value === null || value === undefined || typeof value === "string") return value ?? null;
  return JSON.stringify(value, null, 2);
}

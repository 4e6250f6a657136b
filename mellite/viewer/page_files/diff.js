// Two calls or two runs beside each other: which belong together, and what differs between them.

import { button, link, make } from "./dom.js";
import { count, money, oneLine } from "./format.js";

const MOST_CELLS = 1_000_000;

export async function diffView(app, left, right) {
  const found = await app.source.difference(left, right);
  const isAlone = !app.source.isLive;
  const told = found ?? (isAlone ? await ofCalls(app, left, right) : null);
  if (told === null) return app.nothing(`${left} and ${right} cannot be compared here: are both calls, or both runs?`);
  const changed = told.pairs.filter((pair) => pair.change !== "same").length;
  const view = make(
    "section",
    { class: "diff", "aria-label": "comparison" },
    make("h2", {}, `${left} and ${right}`),
    make("p", {}, totals(told, changed)),
    button("compare others", () => app.forget()),
    told.pairs.map(pairView),
  );
  app.show(view, "calls");
}

function totals(told, changed) {
  const signed = (value, text) => `${value < 0 ? "−" : "+"}${text}`;
  const words = [`${changed} of ${count(told.pairs.length)} differ`];
  if (told.input_tokens) words.push(`${signed(told.input_tokens, count(Math.abs(told.input_tokens)))} tokens in`);
  if (told.output_tokens) words.push(`${signed(told.output_tokens, count(Math.abs(told.output_tokens)))} tokens out`);
  if (told.cost_usd) words.push(signed(told.cost_usd, money(Math.abs(told.cost_usd))));
  return words.join(" · ");
}

// In a page without a server only the words of two calls are compared.
async function ofCalls(app, left, right) {
  const [one, other] = [await app.source.call(left), await app.source.call(right)];
  if (one === null || other === null) return null;
  const asked = (call) => (call.messages || []).map((message) => `${message.role}: ${said(message.content)}`).join("\n\n");
  const [prompt, theirs] = [asked(one), asked(other)];
  const side = (call) => ({ id: call.id, model: call.model, question: oneLine(asked(call)), text: call.text });
  const differs = (names) =>
    names
      .filter((name) => (one[name] ?? null) !== (other[name] ?? null))
      .map((name) => ({ place: name, left: one[name] ?? null, right: other[name] ?? null }));
  const request = differs(["model"]);
  if (prompt !== theirs) request.push({ place: "prompt", left: prompt, right: theirs });
  const answer = differs(["state", "text", "thinking", "finish_reason", "error"]);
  const change = request.length ? "request" : answer.length ? "answer" : "same";
  return { pairs: [{ change, left: side(one), right: side(other), request, answer }] };
}

function said(content) {
  if (typeof content === "string") return content;
  return (content || []).map((part) => (part.type === "text" ? part.text : JSON.stringify(part))).join("\n");
}

function pairView(pair) {
  const name = [pair.left, pair.right].map((side) => (side ? link(side.id, `#/call/${encodeURIComponent(side.id)}`) : "nothing"));
  const what = { same: "the same", answer: "another answer", request: "another request", removed: "only left", added: "only right" };
  const body = [
    ...pair.request.map((each) => changeView("request", each)),
    ...pair.answer.map((each) => changeView("answer", each)),
  ];
  if (pair.left === null || pair.right === null) {
    const only = pair.left ?? pair.right;
    body.push(make("p", {}, make("strong", {}, only.question)), make("p", {}, only.text));
  }
  return make(
    "details",
    { class: `pair ${pair.change}`, open: pair.change !== "same" },
    make("summary", {}, `${what[pair.change] || pair.change}: `, (pair.left ?? pair.right).question.slice(0, 120)),
    make("p", { class: "quiet" }, name[0], " | ", name[1]),
    body.length ? body : make("p", { class: "quiet" }, "Nothing differs."),
  );
}

function changeView(section, change) {
  return make(
    "div",
    { class: "change" },
    make("h3", {}, `${section}: ${change.place}`),
    make("pre", { tabindex: "0" }, words(change.left ?? "", change.right ?? "")),
  );
}

// Both texts as one, word by word, with what only one has marked; whole texts where that would take too long.
function words(left, right) {
  const one = String(left).split(/(\s+)/);
  const other = String(right).split(/(\s+)/);
  if (one.length * other.length > MOST_CELLS) return [make("del", {}, String(left)), "\n", make("ins", {}, String(right))];
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
  const made = [];
  const add = (tag, word) => {
    const last = made[made.length - 1];
    if (last && last.tag === tag) last.text += word;
    else made.push({ tag, text: word });
  };
  let i = 0;
  let j = 0;
  while (i < one.length || j < other.length) {
    if (i < one.length && j < other.length && one[i] === other[j]) {
      add("", one[i]);
      i += 1;
      j += 1;
    } else if (j >= other.length || (i < one.length && table[(i + 1) * width + j] >= table[i * width + j + 1])) {
      add("del", one[i]);
      i += 1;
    } else {
      add("ins", other[j]);
      j += 1;
    }
  }
  return made.map(({ tag, text }) => (tag ? make(tag, {}, text) : text));
}

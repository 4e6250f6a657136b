// Two calls or two runs beside each other: which belong together, and what differs between them.

import { button, link, make } from "./dom.js";
import { textSteps } from "./aligning.js";
import { count, money, plural } from "./format.js";

const AROUND = 3;
const LEAST_FOLDED = 8;

export async function diffView(app, left, right) {
  const found = await app.source.difference(left, right);
  if (found === null) return app.nothing(`${left} and ${right} cannot be compared here: are both calls, or both runs?`);
  const changed = found.pairs.filter((pair) => pair.change !== "same").length;
  const view = make(
    "section",
    { class: "diff", "aria-label": "comparison" },
    make("h2", {}, `${left} compared with ${right}`),
    make("p", {}, totals(found, changed)),
    button("compare others", () => app.forget()),
    found.pairs.map(pairView),
  );
  app.show(view, "calls", `${left} compared with ${right}`);
}

function totals(told, changed) {
  const signed = (value, text) => `${value < 0 ? "−" : "+"}${text}`;
  const words = [`${changed} of ${count(told.pairs.length)} differ`];
  if (told.input_tokens) words.push(`${signed(told.input_tokens, count(Math.abs(told.input_tokens)))} tokens in`);
  if (told.output_tokens) words.push(`${signed(told.output_tokens, count(Math.abs(told.output_tokens)))} tokens out`);
  if (told.cost_usd) words.push(signed(told.cost_usd, money(Math.abs(told.cost_usd))));
  return words.join(" · ");
}

function pairView(pair) {
  const name = [pair.left, pair.right].map((side) => (side ? link(`call ${side.id}`, `#/call/${encodeURIComponent(side.id)}`) : "nothing"));
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
    make("pre", { tabindex: "0" }, marked(change.left, change.right)),
  );
}

// Both texts as one, with what only one has marked.
function marked(left, right) {
  if (left === null || right === null) return make(left === null ? "ins" : "del", {}, left ?? right);
  const tags = { removed: "del", added: "ins" };
  const found = textSteps(String(left), String(right));
  return found.flatMap(({ what, text }, place) =>
    what === "same" ? folded(text, place > 0, place < found.length - 1) : make(tags[what], {}, text),
  );
}

// A long text that both have, with only its lines beside what differs; the others are shown when they are wanted.
function folded(text, isBehind, isBefore) {
  const lines = text.split(/(?<=\n)/);
  const [head, tail] = [isBehind ? AROUND + 1 : 0, isBefore ? AROUND + 1 : 0];
  if (lines.length < head + tail + LEAST_FOLDED) return text;
  const inner = lines.slice(head, lines.length - tail);
  const box = button(`${plural(inner.length, "line")} the same`, () => box.replaceWith(inner.join("")), { class: "folded" });
  return [lines.slice(0, head).join(""), box, lines.slice(lines.length - tail).join("")];
}

// JSON as a tree that opens where one looks: what is closed is not made, so that large answers open at once.

import { button, make } from "./dom.js";
import { count } from "./format.js";
import { longText } from "./long_texts.js";

const CHILDREN_AT_ONCE = 100;
const LONG = 400;

// How many values are made at once, of all that would be open.
const VALUES_AT_ONCE = 1000;

export function jsonTree(value, { open = 1 } = {}) {
  return make("div", { class: "json" }, node(value, null, open, { left: VALUES_AT_ONCE }));
}

function node(value, name, open, budget) {
  budget.left -= 1;
  const label = name === null ? null : make("span", { class: "key" }, `${name}: `);
  if (value === null || typeof value !== "object") return make("div", { class: "leaf" }, label, leaf(value));
  const isList = Array.isArray(value);
  const size = isList ? value.length : Object.keys(value).length;
  const mark = isList ? `[${size}]` : `{${size}}`;
  if (size === 0) return make("div", { class: "leaf" }, label, make("span", { class: "mark" }, isList ? "[]" : "{}"));
  const children = make("div", { class: "children" });
  const details = make("details", {}, make("summary", {}, label, make("span", { class: "mark" }, mark)), children);
  const fill = () => {
    if (children.childNodes.length === 0) more(children, isList ? value.entries() : Object.entries(value), open - 1, budget);
  };
  details.addEventListener("toggle", () => details.open && fill());
  if (open > 0 && budget.left > 0) {
    fill();
    details.open = true;
  }
  return details;
}

function more(children, entries, open, budget) {
  const rest = [...entries];
  const add = () => {
    for (const [key, each] of rest.splice(0, CHILDREN_AT_ONCE)) children.append(node(each, key, open, budget));
    if (rest.length > 0) {
      const next = button(`${rest.length} more`, () => {
        next.remove();
        add();
      });
      children.append(next);
    }
  };
  add();
}

function leaf(value) {
  if (typeof value !== "string") return make("span", { class: "value" }, String(value));
  if (value.length <= LONG) return make("span", { class: "string" }, JSON.stringify(value));
  const text = make("span", { class: "string" }, `${JSON.stringify(value.slice(0, LONG))}… `);
  const all = button(`all ${count(value.length)} characters`, () => {
    text.replaceWith(longText(JSON.stringify(value)));
    all.remove();
  });
  return make("span", {}, text, all);
}

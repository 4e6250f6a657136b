// Markdown as elements: the common part of it, in bounded depth and time. HTML in it stays text, and so does every
// link that is not http, https or mailto. Images from elsewhere are never loaded.

import { make } from "./dom.js";
import { later, longText } from "./long_texts.js";

const DEEPEST = 8;
const LONGEST = 200_000;
const MOST_LINKS = 2000;
// How many lines are made into elements at once; a list or paragraph that goes on longer is one of several.
const LINES_AT_ONCE = 200;
const PICTURE = /^data:image\/(png|jpeg|gif|webp|avif);base64,[A-Za-z0-9+/=]+$/;
const SAFE_LINK = /^(https?:\/\/|mailto:)[^\s<>"'`]+$/i;
const BULLET = /^( {0,12})([-*+]|\d{1,9}[.)])[ \t]+(.*)$/;
const FENCE = /^ {0,3}(`{3,}|~{3,})([^`]*)$/;
const RULE = /^ {0,3}([-*_])[ \t]*(?:\1[ \t]*){2,}$/;

export function markdown(text) {
  if (text.length > LONGEST) return make("div", { class: "markdown" }, longText(text));
  return make("div", { class: "markdown" }, sheet(text.split(/\r\n|\r|\n/)));
}

// The blocks of the first lines, and those of the others when they come near the screen.
function sheet(lines) {
  if (lines.length <= LINES_AT_ONCE) return blocks(lines, 0);
  const [made, end] = blocksUpTo(lines, 0, LINES_AT_ONCE);
  const rest = lines.slice(end);
  return rest.length ? [...made, later(rest.join("\n"), () => sheet(rest))] : made;
}

function blocks(lines, depth) {
  return blocksUpTo(lines, depth, lines.length)[0];
}

// The blocks that begin in so many lines, and the line behind them.
function blocksUpTo(lines, depth, most) {
  const made = [];
  let at = 0;
  while (at < Math.min(most, lines.length)) {
    const line = lines[at];
    if (line.trim() === "") {
      at += 1;
      continue;
    }
    const found = depth < DEEPEST ? special(lines, at, depth) : null;
    const [element, next] = found ?? paragraph(lines, at, depth);
    made.push(element);
    at = next;
  }
  return [made, at];
}

function special(lines, at, depth) {
  const line = lines[at];
  const fence = FENCE.exec(line);
  if (fence) return code(lines, at, fence[1]);
  const heading = /^ {0,3}(#{1,6})(?:[ \t]+(.*))?$/.exec(line);
  if (heading) {
    // The page has headings of its own, to which those of an answer do not belong.
    const level = heading[1].length;
    return [make("p", { class: `heading h${level}` }, inline(heading[2] || "", 0)), at + 1];
  }
  if (RULE.test(line)) return [make("hr"), at + 1];
  if (/^ {0,3}>/.test(line)) return quote(lines, at, depth);
  if (BULLET.test(line)) return list(lines, at, depth);
  if (line.includes("|") && /^[ |:-]*-[ |:-]*$/.test(lines[at + 1] || "") && (lines[at + 1] || "").includes("|")) {
    return grid(lines, at);
  }
  return null;
}

function paragraph(lines, at, depth) {
  let end = at + 1;
  const most = Math.min(lines.length, at + LINES_AT_ONCE);
  while (end < most && lines[end].trim() !== "" && !(depth < DEEPEST && begins(lines[end]))) end += 1;
  const parts = [];
  for (const [place, line] of lines.slice(at, end).entries()) {
    if (place > 0) parts.push(make("br"));
    parts.push(...inline(line, 0));
  }
  return [make("p", {}, parts), end];
}

function begins(line) {
  return FENCE.test(line) || /^ {0,3}(#{1,6}[ \t]|>)/.test(line) || BULLET.test(line) || RULE.test(line);
}

function code(lines, at, fence) {
  let end = at + 1;
  const close = new RegExp(`^ {0,3}${fence[0] === "`" ? "`" : "~"}{${Math.min(fence.length, 100)},}[ \\t]*$`);
  while (end < lines.length && !close.test(lines[end])) end += 1;
  return [make("pre", { tabindex: "0" }, make("code", {}, lines.slice(at + 1, end).join("\n"))), end + 1];
}

function quote(lines, at, depth) {
  let end = at;
  while (end < lines.length && end - at < LINES_AT_ONCE && /^ {0,3}>/.test(lines[end])) end += 1;
  const inner = lines.slice(at, end).map((line) => line.replace(/^ {0,3}> ?/, ""));
  return [make("blockquote", {}, blocks(inner, depth + 1)), end];
}

function list(lines, at, depth) {
  const [, indent, mark] = BULLET.exec(lines[at]);
  const isOrdered = /\d/.test(mark);
  const items = [];
  let end = at;
  while (end < lines.length && end - at < LINES_AT_ONCE) {
    const found = BULLET.exec(lines[end]);
    if (!found || found[1].length < indent.length || /\d/.test(found[2]) !== isOrdered) break;
    const width = found[1].length + 2;
    const inner = [found[3]];
    end += 1;
    while (end < lines.length && inner.length < LINES_AT_ONCE && belongs(lines, end, width)) {
      inner.push(lines[end].slice(Math.min(width, lines[end].length - lines[end].trimStart().length)));
      end += 1;
    }
    const simple = inner.length === 1;
    items.push(make("li", {}, simple ? inline(inner[0], 0) : blocks(inner, depth + 1)));
  }
  const start = isOrdered ? Number.parseInt(mark, 10) : null;
  return [make(isOrdered ? "ol" : "ul", { start: start === 1 ? null : start }, items), end];
}

function belongs(lines, at, width) {
  const line = lines[at];
  const indent = line.length - line.trimStart().length;
  if (line.trim() === "") return at + 1 < lines.length && /^ {2,}/.test(lines[at + 1]);
  return indent >= width || (indent > 0 && !BULLET.test(line));
}

function grid(lines, at) {
  const cells = (line) =>
    line
      .trim()
      .replace(/^\||\|$/g, "")
      .split("|")
      .slice(0, 50)
      .map((cell) => cell.trim());
  const head = cells(lines[at]);
  const rows = [];
  let end = at + 2;
  while (end < lines.length && lines[end].includes("|") && rows.length < 1000) {
    rows.push(cells(lines[end]));
    end += 1;
  }
  const row = (tag, values) => make("tr", {}, values.map((value) => make(tag, {}, inline(value, 0))));
  return [
    make(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "a table in the text" },
      make("table", {}, make("thead", {}, row("th", head)), make("tbody", {}, rows.map((each) => row("td", each)))),
    ),
    end,
  ];
}

// Inline: each mark is looked for once, and what has no end stays text.
function inline(text, depth) {
  if (depth >= DEEPEST) return [text];
  const made = [];
  const missing = new Set();
  let plain = 0;
  let at = 0;
  let links = 0;
  const push = (element, next) => {
    if (at > plain) made.push(text.slice(plain, at));
    made.push(element);
    at = next;
    plain = next;
  };
  const closing = (mark, from) => {
    if (missing.has(mark)) return -1;
    const found = text.indexOf(mark, from);
    if (found < 0) missing.add(mark);
    return found;
  };
  while (at < text.length) {
    const character = text[at];
    if (character === "\\" && at + 1 < text.length && /[!-/:-@[-`{-~]/.test(text[at + 1])) {
      push(text[at + 1], at + 2);
    } else if (character === "`") {
      const end = closing("`", at + 1);
      if (end > at + 1) push(make("code", {}, text.slice(at + 1, end)), end + 1);
      else at += 1;
    } else if (character === "*" || (character === "_" && !/\w/.test(text[at - 1] || " "))) {
      const mark = text[at + 1] === character ? character + character : character;
      const end = closing(mark, at + mark.length + 1);
      const inner = end > 0 ? text.slice(at + mark.length, end) : "";
      if (end > 0 && inner.trim() === inner) {
        push(make(mark.length === 2 ? "strong" : "em", {}, inline(inner, depth + 1)), end + mark.length);
      } else {
        at += mark.length;
      }
    } else if ((character === "[" || text.startsWith("![", at)) && links < MOST_LINKS) {
      const from = at + (character === "[" ? 1 : 2);
      const middle = closing("](", from);
      const end = middle < 0 || middle - at > 2000 ? -1 : closing(")", middle + 2);
      const label = end < 0 ? "" : text.slice(from, middle);
      const target = end < 0 ? "" : text.slice(middle + 2, end);
      links += 1;
      if (end < 0) at += 1;
      else push(character === "[" ? hyperlink(label, target, depth) : picture(label, target), end + 1);
    } else {
      at += 1;
    }
  }
  if (plain < text.length) made.push(text.slice(plain));
  return made;
}

// A picture whose bytes stand in the text; of one that is elsewhere only the address.
function picture(label, target) {
  if (!PICTURE.test(target)) return make("span", { class: "media" }, `[picture ${label}: ${target}, not loaded]`);
  const image = make("img", { alt: label || "a picture in the text" });
  image.src = target;
  return image;
}

function hyperlink(label, target, depth) {
  if (target.length > 2000 || !SAFE_LINK.test(target)) return `[${label}](${target})`;
  return make(
    "a",
    { href: target, rel: "noopener noreferrer nofollow", target: "_blank", title: target },
    inline(label, depth + 1),
  );
}

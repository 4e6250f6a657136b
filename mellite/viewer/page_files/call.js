// One call: what was said as a conversation, thinking folded, tools with arguments and results, and all of it raw.

import { badge, button, link, make } from "./dom.js";
import { asCurl, asPython, copyButton } from "./copying.js";
import { count, duration, modelOf, moment, money } from "./format.js";
import { jsonTree } from "./json_tree.js";
import { latest, later, longText } from "./long_texts.js";
import { markdown } from "./markdown.js";

// Kinds of pictures that a browser shows without running anything in them.
const PICTURES = /^image\/(png|jpeg|gif|webp|avif)$/;

// How much of a conversation is made at once, in messages and characters.
const TURNS_AT_ONCE = 50;
const CHARACTERS_AT_ONCE = 20_000;

export async function callView(app, id) {
  const call = await app.source.call(id);
  if (call === null) return app.nothing(`there is no call ${id}`);
  let asked = null;
  const whole = () => (asked ??= app.source.whole(id));
  const view = make(
    "section",
    { class: "call", "aria-label": `call ${id}` },
    make("h2", {}, badge(call.state), ` ${call.tool ? `${call.kind} ${call.tool.name}` : modelOf(call)}`),
    facts(call),
    actions(app, call, whole),
    call.error ? make("p", { class: "error" }, make("strong", {}, `${call.error_type}: `), call.error) : null,
    conversation(call),
    verdicts(call.verdicts),
    call.request ? raw("request", async () => (await whole()).request) : null,
    call.response ? raw("response", async () => (await whole()).response) : null,
    raw("everything", whole),
  );
  app.show(view, "calls", `call ${id}`);
  if (call.state === "unsettled" && app.source.isLive) app.ending = growing(app, call, view);
}

// Show an answer while it arrives, and all of the call when it has.
function growing(app, call, view) {
  const text = make("pre", { class: "growing", tabindex: "0" });
  const turn = make("article", { class: "turn assistant answer" }, make("header", {}, make("h3", {}, "answer so far")), text);
  view.querySelector(".conversation").append(turn);
  return app.source.listen({
    growing: (told) => {
      if (told.id === call.id) text.replaceChildren(...grown(told));
    },
    call: (row) => {
      if (row.id === call.id && row.state !== "unsettled") app.route();
    },
  });
}

// An answer that goes on: what was thought, and what was said.
export function grown({ thinking, text }) {
  return [thinking ? make("span", { class: "said-thinking" }, latest(thinking)) : "", latest(text)];
}

function facts(call) {
  const known = [
    ["id", call.id],
    ["began", moment(call.started_at)],
    ["took", duration(call.duration_ms)],
    ["first token", duration(call.ttfb_ms)],
    ["tokens in", count(call.input_tokens)],
    ["of them cached", count(call.cache_read_tokens)],
    ["tokens out", count(call.output_tokens)],
    ["cost", money(call.cost_usd)],
    ["answered by", call.response_model === call.model ? "" : call.response_model],
    ["finish", call.finish_reason],
    ["lineage", (call.lineage || []).length ? `[${call.lineage.join(", ")}]` : ""],
    ["attempts", call.attempts > 1 ? count(call.attempts) : ""],
    ["tags", (call.tags || []).join(", ")],
    ["replayed", call.replayed ? "yes, at no cost" : ""],
    ["cancelled by", call.cancel_reason],
  ];
  const shown = known.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return make(
    "dl",
    { class: "facts" },
    shown.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))),
  );
}

function actions(app, call, whole) {
  const id = encodeURIComponent(call.id);
  const hasRequest = call.request && call.request.url;
  return make(
    "div",
    { class: "actions" },
    call.timeline ? link("timeline", `#/timeline/${id}`, { class: "button" }) : null,
    call.run ? link("run", `#/run/${encodeURIComponent(call.run)}`, { class: "button" }) : null,
    button(app.compared.length === 1 && app.compared[0] !== call.id ? `compare with ${app.compared[0]}` : "compare…", () =>
      app.compare(call.id, true, true),
    ),
    hasRequest ? copyButton("copy as curl", async () => asCurl(await whole())) : null,
    (call.messages || []).length ? copyButton("copy as Python", async () => asPython(await whole())) : null,
  );
}

function conversation(call) {
  const isEmpty = !call.message && call.state === "done" && !call.tool;
  return make(
    "div",
    { class: "conversation" },
    sheets(call.messages || []),
    call.message ? turn({ ...call.message, isAnswer: true }) : null,
    call.tool ? toolTurn(call.tool) : null,
    isEmpty ? make("p", { class: "quiet" }, "The answer is empty.") : null,
  );
}

// The messages in sheets: the first one is made now, each of the others when it comes near the screen, and until then
// stands there as what it says. So one can go to the end, too, without all of them being made.
function sheets(messages) {
  const made = [];
  let [sheet, characters] = [[], 0];
  const lay = () => {
    const turns = sheet;
    if (made.length === 0) made.push(...turns.map(turn));
    else made.push(later(turns.map(plainly).join("\n\n"), () => turns.map(turn)));
    [sheet, characters] = [[], 0];
  };
  for (const message of messages) {
    if (sheet.length >= TURNS_AT_ONCE || characters >= CHARACTERS_AT_ONCE) lay();
    sheet.push(message);
    characters += plainly(message).length;
  }
  if (sheet.length) lay();
  return made;
}

function plainly(message) {
  return [String(message.role || "?"), ...partsOf(message).map((part) => wordsOf(part))].join("\n");
}

function wordsOf(part) {
  if (typeof part.text === "string") return part.text;
  return typeof part.data === "string" ? mediaWords(part) : JSON.stringify(part);
}

function partsOf(message) {
  return typeof message.content === "string" ? [{ type: "text", text: message.content }] : message.content || [];
}

function turn(message) {
  const parts = partsOf(message);
  const texts = parts.filter((part) => part.type === "text").map((part) => String(part.text ?? ""));
  const body = make("div", { class: "parts" }, parts.map(partOf));
  let isSource = false;
  const toggle = button("source", () => {
    isSource = !isSource;
    body.replaceChildren(...(isSource ? [longText(texts.join("\n"))] : parts.map(partOf)));
    toggle.textContent = isSource ? "rendered" : "source";
  });
  const role = String(message.role || "?");
  return make(
    "article",
    { class: `turn ${/^[a-z]+$/.test(role) ? role : "other"}${message.isAnswer ? " answer" : ""}` },
    make("header", {}, make("h3", {}, message.isAnswer ? "answer" : role), texts.length ? toggle : null),
    body,
  );
}

function toolTurn(tool) {
  return make(
    "article",
    { class: "turn tool" },
    make("header", {}, make("h3", {}, `tool ${tool.name}`)),
    make("h4", {}, "arguments"),
    jsonTree(tool.arguments, { open: 2 }),
    make("h4", {}, "result"),
    jsonTree(tool.result, { open: 2 }),
  );
}

export function partOf(part) {
  switch (part.type) {
    case "text":
      return markdown(String(part.text ?? ""));
    case "reasoning":
      return unfolded("thinking", "thinking", () => markdown(String(part.text ?? "")));
    case "tool_call":
      return make(
        "div",
        { class: "tool-call" },
        make("p", {}, "calls ", make("code", {}, String(part.name)), make("small", {}, ` ${part.id ?? ""}`)),
        jsonTree(part.arguments ?? part.raw_arguments ?? null, { open: 2 }),
      );
    case "tool_result":
      return toolResult(part);
    case "image":
      return shownPicture(part);
    case "audio":
    case "video":
    case "document":
      return make("p", { class: "media" }, mediaWords(part));
    default:
      return jsonTree(part);
  }
}

function toolResult(part) {
  const result = part.result || {};
  const isContent = result.type === "content" && Array.isArray(result.value);
  return make(
    "div",
    { class: `tool-result${result.type === "error" ? " wrong" : ""}` },
    make("p", {}, "result of ", make("code", {}, String(part.name || "")), make("small", {}, ` ${part.id ?? ""}`)),
    isContent
      ? result.value.map(partOf)
      : typeof result.value === "string"
        ? longText(result.value)
        : jsonTree(result.value ?? null, { open: 2 }),
  );
}

// A picture whose bytes are in the record; one that is elsewhere is never loaded.
function shownPicture(part) {
  if (typeof part.data !== "string" || !PICTURES.test(part.media_type || "image/png")) {
    return make("p", { class: "media" }, mediaWords(part));
  }
  const image = make("img", { alt: part.filename ? `picture ${part.filename}` : "a picture of this conversation" });
  image.addEventListener("error", () => image.replaceWith(make("p", { class: "media" }, mediaWords(part))));
  image.src = `data:${part.media_type || "image/png"};base64,${part.data.replace(/[^A-Za-z0-9+/=]/g, "")}`;
  return image;
}

function mediaWords(part) {
  const size = typeof part.data === "string" ? `${count(Math.floor((part.data.length * 3) / 4))} bytes` : "";
  const where = part.url ? `at ${part.url} (not loaded)` : "";
  return `[${[part.type, part.media_type, part.filename, size, where].filter(Boolean).join(", ")}]`;
}

function verdicts(found) {
  const known = (found || []).flat().filter(Boolean);
  if (known.length === 0) return null;
  return make(
    "div",
    { class: "verdicts" },
    make("h3", {}, "checks"),
    make("ul", {}, known.map((each) => verdictItem(each))),
  );
}

export function verdictItem(verdict) {
  const words = [
    verdict.reason,
    verdict.error,
    typeof verdict.score === "number" ? `score ${verdict.score}` : "",
    verdict.at_ms === undefined ? "" : `after ${duration(verdict.at_ms)}`,
  ];
  return make(
    "li",
    { class: verdict.passed ? "passed" : "wrong" },
    make("strong", {}, verdict.passed ? "passed" : "failed"),
    ` ${words.filter(Boolean).join("; ")}`,
  );
}

function raw(name, valueOf) {
  return unfolded("raw", `raw: ${name}`, async () => jsonTree(await valueOf(), { open: 2 }));
}

// What is made when it is opened for the first time.
function unfolded(kind, name, contentOf) {
  const body = make("div", {});
  const details = make("details", { class: kind }, make("summary", {}, name), body);
  let isMade = false;
  details.addEventListener("toggle", async () => {
    if (!details.open || isMade) return;
    isMade = true;
    try {
      body.replaceChildren(await contentOf());
    } catch (error) {
      isMade = false;
      body.replaceChildren(make("p", { class: "error" }, `this cannot be shown: ${error.message}`));
    }
  });
  return details;
}

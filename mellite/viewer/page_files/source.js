// Where the calls come from: the server of this page, or what is kept in the page itself. Both answer the same.

import { chosen, parametersOf } from "./choosing.js";
import { compared } from "./comparing.js";
import { tail } from "./long_texts.js";

class Served {
  constructor() {
    this.isLive = true;
    this.leaving = new AbortController();
  }

  // What was asked for the view before is not wanted any more. Returns what tells whether that is so of this view, too.
  begin() {
    this.leaving.abort();
    this.leaving = new AbortController();
    const { signal } = this.leaving;
    return () => signal.aborted;
  }

  async asked(path, signal = this.leaving.signal) {
    let response;
    try {
      response = await fetch(`api/${path}`, { credentials: "omit", cache: "no-store", signal });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Error("nobody answers; is `mellite view` still running?");
    }
    if (response.status === 404 && !response.headers.get("content-type")?.startsWith("application/json")) {
      throw new Error("this address is not valid any more: open the one that `mellite view` has printed since");
    }
    if (response.status === 404) return null;
    let body;
    try {
      body = await response.json();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Error(response.ok ? "the answer broke off" : `the server says ${response.status}`);
    }
    if (!response.ok) throw new Error(body.error || `the server says ${response.status}`);
    return body;
  }

  calls(choice, offset, limit) {
    const parameters = parametersOf(choice);
    parameters.set("offset", offset);
    parameters.set("limit", limit);
    parameters.set("brief", "1");
    return this.asked(`calls?${parameters}`);
  }

  // A call without what is only shown when it is wanted: see `whole`.
  call(id) {
    return this.asked(`calls/${encodeURIComponent(id)}?brief=1`);
  }

  async whole(id) {
    const call = await this.asked(`calls/${encodeURIComponent(id)}`);
    if (call === null) throw new Error(`there is no call ${id} any more`);
    return call;
  }

  timeline(id) {
    return this.asked(`calls/${encodeURIComponent(id)}/timeline`);
  }

  async runs() {
    return (await this.asked("runs")).runs;
  }

  run(id) {
    return this.asked(`runs/${encodeURIComponent(id)}`);
  }

  facets() {
    return this.asked("facets", null); // for all lists
  }

  costs() {
    return this.asked("costs");
  }

  about() {
    return this.asked("source", null);
  }

  difference(left, right) {
    return this.asked(`diff?${new URLSearchParams({ left, right })}`);
  }

  // Call back for each call that begins or settles, and for texts that grow. Returns what ends that.
  listen(listeners) {
    const events = new EventSource("api/events");
    const on = (name, listener) =>
      events.addEventListener(name, (event) => listener(event.data ? JSON.parse(event.data) : null));
    for (const [name, listener] of Object.entries(listeners)) {
      if (name !== "growing") on(name, listener);
    }
    // Of a long answer only what is new is told.
    const texts = new Map();
    const grown = (id, thinking, text) => {
      texts.set(id, { id, thinking: tail(thinking), text: tail(text) });
      listeners.growing?.(texts.get(id));
    };
    on("growing", ({ id, thinking = "", text }) => grown(id, thinking, text));
    on("more", ({ id, thinking = "", text }) => {
      const known = texts.get(id) ?? { thinking: "", text: "" };
      grown(id, known.thinking + thinking, known.text + text);
    });
    on("call", ({ id, state }) => {
      if (state !== "unsettled") texts.delete(id);
    });
    return () => events.close();
  }
}

class Kept {
  constructor(rows, packed) {
    this.isLive = false;
    this.rows = rows;
    this.packed = packed;
    this.unpacked = null;
    this.views = 0;
  }

  begin() {
    this.views += 1;
    const own = this.views;
    return () => own !== this.views;
  }

  async details() {
    this.unpacked ??= inflated(this.packed);
    return this.unpacked;
  }

  async calls(choice, offset, limit) {
    // The list has the beginnings of texts only: words are looked for in the whole ones.
    const word = (choice.q || "").toLowerCase();
    const rows = word ? await this.holding(word) : this.rows.calls;
    const found = chosen(rows, { ...choice, q: "" });
    const all = Object.keys(choice).length === 0 ? this.rows.total : found.length;
    const calls = found.slice(offset, offset + limit);
    return { total: found.length, of: all, calls, problems: this.rows.problems };
  }

  async holding(word) {
    const details = await this.details();
    const known = [];
    return this.rows.calls.filter((row) => {
      const call = details.calls[row.id];
      return [call.messages, call.text, call.thinking, call.error].some((each) => says(each, word, details.kept, known));
    });
  }

  async call(id) {
    const details = await this.details();
    return Object.hasOwn(details.calls, id) ? whole(details.calls[id], details.kept) : null;
  }

  whole(id) {
    return this.call(id);
  }

  async timeline(id) {
    const details = await this.details();
    return Object.hasOwn(details.timelines, id) ? details.timelines[id] : null;
  }

  async runs() {
    return this.rows.runs;
  }

  async run(id) {
    const details = await this.details();
    return Object.hasOwn(details.runs, id) ? details.runs[id] : null;
  }

  async facets() {
    return this.rows.facets;
  }

  async costs() {
    return this.rows.costs;
  }

  async about() {
    return { kind: this.rows.kind, name: this.rows.name };
  }

  async difference(left, right) {
    const sides = await Promise.all([left, right].map((id) => this.entries(id)));
    return sides.some((calls) => calls.length === 0) ? null : compared(...sides);
  }

  // What a call, or those of a run, are compared by.
  async entries(id) {
    const { compared: known, kept } = await this.details();
    const ids = Object.hasOwn(known.runs, id) ? known.runs[id] : [id];
    return ids.filter((each) => Object.hasOwn(known.calls, each)).map((each) => whole(known.calls[each], kept));
  }
}

async function inflated(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

// Fields of messages and their parts that nobody has said.
const UNSAID = new Set(["role", "type", "id", "media_type", "data", "signature"]);

// Whether a word is in a text, or in one of those in messages; what is kept once is looked at once.
function says(value, word, kept, known) {
  if (typeof value === "string") return value.toLowerCase().includes(word);
  if (value === null || typeof value !== "object") return false;
  if (Array.isArray(value)) return value.some((item) => says(item, word, kept, known));
  const names = Object.keys(value);
  if (names.length === 1 && names[0] === "$same") {
    known[value.$same] ??= saysInside(kept[value.$same], word, kept, known);
    return known[value.$same];
  }
  return saysInside(value, word, kept, known);
}

function saysInside(value, word, kept, known) {
  return Object.entries(value).some(([name, each]) => !UNSAID.has(name) && says(each, word, kept, known));
}

// What stands in many lists is kept once, and {"$same": 3} is where it stands among what is kept.
function whole(value, kept) {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map((item) => whole(item, kept));
  const keys = Object.keys(value);
  if (keys.length === 1 && keys[0] === "$same") return inside(kept[value.$same], kept);
  return inside(value, kept);
}

function inside(value, kept) {
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, whole(each, kept)]));
}

export function openSource() {
  const rows = document.getElementById("rows");
  if (rows === null) return new Served();
  return new Kept(JSON.parse(rows.textContent), document.getElementById("details").textContent);
}

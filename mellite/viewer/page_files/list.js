// The list of calls: search, filters, order, and rows that are made only where one looks.

import { badge, button, labelled, link, make, option } from "./dom.js";
import { SORTS, parametersOf } from "./choosing.js";
import { count, duration, modelOf, moment, money, oneLine, plural, question, tokens } from "./format.js";

const ROWS_AT_ONCE = 200;
const TALLEST = 15_000_000; // browsers lay out no more; beyond it, one pixel of the bar stands for several rows
const BEYOND = 6;
const PRINTING = ["beforeprint", "afterprint"];

export async function listView(app, choice, place) {
  const found = make("p", { class: "found", role: "status" }, "…");
  const wrong = make("div", { class: "problems" });
  const rows = new Rows(app, choice, found, wrong);
  const fields = fieldsOf(choice);
  const view = make("section", { class: "list", "aria-label": "calls" }, filters(app, choice, fields), found, wrong, rows.element);
  app.show(view, "calls", choice.q ? `calls with ${oneLine(choice.q, 50)}` : "calls");
  rows.start(place).then(() => facets(app, fields, choice)); // the calls first
  return rows;
}

function fieldsOf(choice) {
  const search = make("input", {
    type: "search",
    id: "search",
    placeholder: "in prompts, answers, thinking, errors",
    value: choice.q || "",
  });
  const select = (name, all, values) => {
    const field = make("select", {}, option("", all), values);
    field.value = choice[name] || "";
    return field;
  };
  return {
    q: search,
    state: select("state", "any state", ["done", "failed", "cancelled", "unsettled"].map((each) => option(each))),
    model: select("model", "any model", choice.model ? [option(choice.model)] : []),
    tag: select("tag", "any tag", choice.tag ? [option(choice.tag)] : []),
    sort: select("sort", "newest first", SORTS.slice(1).map(([value, label]) => option(value, label))),
    since: make("input", { type: "date", value: choice.since || "" }),
    until: make("input", { type: "date", value: choice.until || "" }),
    min_usd: make("input", { type: "number", min: "0", step: "any", value: choice.min_usd || "" }),
    min_ms: make("input", { type: "number", min: "0", step: "any", value: choice.min_ms || "" }),
  };
}

function filters(app, choice, fields) {
  const search = fields.q;
  const changed = () => {
    const wanted = { run: choice.run };
    for (const [name, field] of Object.entries(fields)) wanted[name] = field.value.trim();
    app.choose(wanted);
  };
  let waiting = 0;
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(changed, 150);
  });
  for (const [name, field] of Object.entries(fields)) {
    if (name === "q") continue;
    field.id = `filter-${name}`;
    field.addEventListener("change", changed);
  }
  const isNarrowed = ["tag", "since", "until", "min_usd", "min_ms"].some((name) => choice[name]);
  const more = make(
    "details",
    { class: "more", open: isNarrowed },
    make("summary", {}, "more filters"),
    make(
      "div",
      { class: "fields" },
      labelled("tag", fields.tag),
      labelled("from", fields.since),
      labelled("before", fields.until),
      labelled("at least $", fields.min_usd),
      labelled("at least ms", fields.min_ms),
    ),
  );
  return make(
    "form",
    { role: "search", class: "filters", on: { submit: (event) => event.preventDefault() } },
    labelled("search", search, { class: "field wide" }),
    labelled("state", fields.state),
    labelled("model", fields.model),
    labelled("order", fields.sort),
    more,
    choice.run ? button(`of run ${choice.run.slice(0, 8)} ✕`, () => app.choose({ ...choice, run: "" })) : null,
  );
}

async function facets(app, fields, choice) {
  const known = await app.facets().catch(() => ({ models: [], tags: [] })); // that nobody answers is said of the calls
  for (const [field, values, name] of [
    [fields.model, known.models, "model"],
    [fields.tag, known.tags, "tag"],
  ]) {
    field.append(...values.filter((value) => value !== choice[name]).map((value) => option(value)));
  }
}

// Say what cannot be shown, folded: it may be much, and is not what one came for.
function problems(box, found) {
  if (found.length === 0) return;
  const summary = make("summary", { class: "wrong" }, `${plural(found.length, "problem")}: not all can be shown`);
  box.replaceChildren(make("details", {}, summary, make("ul", {}, found.map((each) => make("li", {}, each)))));
}

class Rows {
  constructor(app, choice, found, wrong) {
    this.app = app;
    this.choice = choice;
    this.found = found;
    this.wrong = wrong;
    this.total = 0;
    this.pages = new Map();
    this.chosen = -1;
    this.scrolled = 0;
    this.items = make("ul", { class: "rows", "aria-label": "calls" });
    this.element = make("div", { class: "viewport", tabindex: "-1" }, this.items);
    this.element.addEventListener("scroll", () => this.draw());
    this.resized = new ResizeObserver(() => this.draw());
    this.isPrinted = false;
    this.printing = (event) => {
      this.isPrinted = event.type === "beforeprint";
      this.draw();
    };
    for (const name of PRINTING) window.addEventListener(name, this.printing);
  }

  // Show the rows, where one was when one left them.
  async start(place = null) {
    await this.page(0);
    this.resized.observe(this.element);
    this.draw();
    if (place === null || !this.element.isConnected) return;
    this.element.scrollTop = place.top;
    this.chosen = place.chosen;
    if (this.chosen >= 0) await this.page(Math.floor(this.chosen / ROWS_AT_ONCE));
    this.draw();
    const isFree = [document.body, this.app.view].includes(document.activeElement);
    if (isFree) this.items.querySelector(`[data-at="${this.chosen}"] a`)?.focus({ preventScroll: true });
  }

  get place() {
    return { top: this.scrolled, chosen: this.chosen, id: this.chosen < 0 ? null : this.row(this.chosen)?.id };
  }

  stop() {
    this.resized.disconnect();
    for (const name of PRINTING) window.removeEventListener(name, this.printing);
  }

  async page(number) {
    if (this.pages.has(number)) return;
    this.pages.set(number, null);
    let answer;
    try {
      answer = await this.app.source.calls(this.choice, number * ROWS_AT_ONCE, ROWS_AT_ONCE);
    } catch (error) {
      this.pages.delete(number);
      if (error.name === "AbortError") return; // another view is wanted
      this.found.textContent = `not found out: ${error.message}`;
      return;
    }
    if (number > 0 && answer.total !== this.total) this.pages.clear(); // others have come on top: all rows have moved
    this.pages.set(number, answer.calls);
    this.total = answer.total;
    const of = answer.of > answer.total ? ` of ${count(answer.of)}` : "";
    this.found.textContent = `${plural(answer.total, "call")}${of}`;
    if (number === 0) problems(this.wrong, answer.problems);
    this.draw();
  }

  // The height of a row is that of the style sheet, which differs on narrow screens.
  get height() {
    return Number.parseFloat(getComputedStyle(this.element).getPropertyValue("--row")) || 56;
  }

  draw() {
    const height = this.height;
    const whole = this.total * height;
    const shown = Math.min(whole, TALLEST);
    this.items.style.height = `${shown}px`;
    const room = this.element.clientHeight;
    const scroll = this.element.scrollTop;
    if (this.element.isConnected) this.scrolled = scroll;
    const scale = shown > room && whole > shown ? (whole - room) / (shown - room) : 1;
    const seen = Math.floor((scroll * scale) / height);
    const first = this.isPrinted ? 0 : Math.max(0, seen - BEYOND);
    const last = this.isPrinted ? this.there() : Math.min(this.total, Math.ceil((scroll * scale + room) / height) + BEYOND);
    const focused = document.activeElement?.closest?.("[data-at]")?.dataset.at;
    const kept = new Map([...this.items.children].map((item) => [item.dataset.key, item]));
    const items = [];
    for (let at = first; at < last; at += 1) {
      const row = this.row(at);
      const key = `${at}:${row ? row.id : ""}`;
      const item = kept.get(key) ?? this.item(row, at, key);
      item.style.transform = `translateY(${at * height - scroll * scale + scroll}px)`;
      item.classList.toggle("chosen", at === this.chosen);
      items.push(item);
    }
    this.items.replaceChildren(...items);
    if (focused !== undefined) this.items.querySelector(`[data-at="${Number(focused)}"] a`)?.focus({ preventScroll: true });
    for (let page = Math.floor(first / ROWS_AT_ONCE); page * ROWS_AT_ONCE < last; page += 1) this.page(page);
  }

  // Tick the chosen row, or take that back; return whether there are two to be compared now.
  tick() {
    this.items.querySelector(`[data-at="${this.chosen}"] input`)?.click();
    return this.app.compared.length === 2;
  }

  // How many rows from the first on are there: as many are printed.
  there() {
    let count = 0;
    for (let page = 0; this.pages.get(page); page += 1) count += this.pages.get(page).length;
    return count;
  }

  row(at) {
    return this.pages.get(Math.floor(at / ROWS_AT_ONCE))?.[at % ROWS_AT_ONCE] ?? null;
  }

  item(row, at, key) {
    const place = { "data-at": at, "data-key": key, "aria-setsize": this.total, "aria-posinset": at + 1 };
    if (row === null) return make("li", { ...place, class: "row waiting" }, "…");
    const link = rowLink(row);
    link.addEventListener("click", () => {
      this.chosen = at; // to come back to
    });
    return make("li", { ...place, class: "row" }, compareBox(this.app, row), link);
  }

  // Choose the row after or before, and bring it into view.
  step(by) {
    this.chosen = Math.max(0, Math.min(this.total - 1, this.chosen + by));
    const height = this.height;
    const top = this.chosen * height;
    const whole = this.total * height;
    if (whole > TALLEST) this.element.scrollTop = (this.chosen / this.total) * TALLEST;
    else if (top < this.element.scrollTop) this.element.scrollTop = top;
    else if (top + height > this.element.scrollTop + this.element.clientHeight) {
      this.element.scrollTop = top + height - this.element.clientHeight;
    }
    this.draw();
    this.items.querySelector(`[data-at="${this.chosen}"] a`)?.focus({ preventScroll: true });
  }
}

function compareBox(app, row) {
  const box = make("input", { type: "checkbox", "aria-label": `compare call ${row.id}`, title: "compare" });
  box.checked = app.compared.includes(row.id);
  box.addEventListener("change", () => app.compare(row.id, box.checked));
  return box;
}

export function rowLink(row) {
  return link(
    [
      badge(row.state),
      make(
        "span",
        { class: "who" },
        make("span", { class: "model" }, modelOf(row)),
        make("span", { class: "when" }, moment(row.started_at)),
      ),
      make(
        "span",
        { class: "words" },
        make("strong", {}, oneLine(question(row.prompt)) || "no question"),
        make("span", { class: row.error ? "wrong" : "said" }, oneLine(row.error ? `${row.error_type}: ${row.error}` : row.text)),
      ),
      make("span", { class: "numbers" }, make("span", {}, tokens(row)), make("span", {}, money(row.cost_usd)), make("span", {}, duration(row.duration_ms)), tags(row)),
    ],
    `#/call/${encodeURIComponent(row.id)}`,
  );
}

function tags(row) {
  const words = (row.tags || []).join(", ");
  return words ? make("span", { class: "tags", title: words }, oneLine(words)) : null;
}

export function listHash(choice) {
  const parameters = parametersOf(choice).toString();
  return parameters ? `#/?${parameters}` : "#/";
}

// The page: what is above every view, where addresses lead, keys, and dark or light.

import { button, link, make } from "./dom.js";
import { choiceOf } from "./choosing.js";
import { openSource } from "./source.js";
import { callView } from "./call.js";
import { costsView } from "./costs.js";
import { diffView } from "./diff.js";
import { shortPath } from "./format.js";
import { listHash, listView } from "./list.js";
import { liveView } from "./live.js";
import { runView, runsView } from "./runs.js";
import { timelineView } from "./timeline.js";

const KEYS = [
  ["/", "search"],
  ["j, k", "next and previous call"],
  ["Enter", "open the call"],
  ["x", "compare the call with another one"],
  ["c, r, $, l", "calls, runs, costs, live"],
  ["t", "timeline of the call"],
  ["Escape", "back to the list"],
  ["d", "dark or light"],
  ["?", "these keys"],
];

class App {
  constructor(source) {
    this.source = source;
    this.compared = [];
    this.rows = null;
    this.ending = null;
    this.call = null;
    this.latest = "#/";
    this.title = "";
    this.places = new Map();
    this.asked = null;
    this.view = make("main", { id: "view", tabindex: "-1" });
    this.name = make("span", { class: "source" });
    this.links = {
      calls: link("calls", "#/"),
      runs: link("runs", "#/runs"),
      costs: link("costs", "#/costs"),
      live: link("live", "#/live"),
    };
    this.comparing = make("div", { class: "comparing", role: "status", hidden: true });
    this.keys = make(
      "dialog",
      { "aria-label": "keys" },
      make("h2", {}, "keys"),
      make("dl", { class: "keys" }, KEYS.map(([key, what]) => make("div", {}, make("dt", {}, make("kbd", {}, key)), make("dd", {}, what)))),
      button("close", () => this.keys.close()),
    );
  }

  start() {
    const app = document.getElementById("app");
    app.append(
      make("a", { class: "skip", href: "#view", on: { click: (event) => this.skip(event) } }, "to the content"),
      make(
        "header",
        { class: "top" },
        make("h1", {}, "mellite"),
        this.name,
        make("nav", { "aria-label": "views" }, Object.values(this.links)),
        button("◐", () => this.turn(), { "aria-label": "dark or light", title: "dark or light (d)" }),
        button("?", () => this.keys.showModal(), { "aria-label": "keys", title: "keys (?)" }),
      ),
      this.view,
      this.comparing,
      this.keys,
    );
    window.addEventListener("hashchange", () => {
      // Chromium tells of a change, too, when one goes to words of the view that is shown.
      if (location.hash !== this.hash) this.route();
    });
    document.addEventListener("keydown", (event) => this.pressed(event));
    this.route();
    this.source.about().then((about) => {
      this.name.textContent = shortPath(about.name);
      this.name.title = `${about.kind} ${about.name}`;
      this.entitle();
    });
  }

  // The models and tags there are, asked for once for as long as one stays with lists; again after an error.
  facets() {
    this.asked ??= this.source.facets().catch((error) => {
      this.asked = null;
      throw error;
    });
    return this.asked;
  }

  async route() {
    this.hash = location.hash;
    const [path, query] = (location.hash.slice(1) || "/").split("?", 2);
    this.leave();
    const isLeft = this.source.begin();
    this.view.setAttribute("aria-busy", "true");
    try {
      const parts = path.split("/").slice(1).map((part) => decodeURIComponent(part));
      await this.open(parts, new URLSearchParams(query || ""));
    } catch (error) {
      if (isLeft()) return; // another view is being made
      this.nothing(`this cannot be shown: ${error.message}`);
    }
    this.view.removeAttribute("aria-busy");
  }

  async open([name, first, second], parameters) {
    switch (name) {
      case "call":
        this.call = first;
        return callView(this, first);
      case "timeline":
        return timelineView(this, first);
      case "runs":
        return runsView(this);
      case "run":
        return runView(this, first);
      case "diff":
        return diffView(this, first, second);
      case "costs":
        return costsView(this);
      case "live":
        this.ending = await liveView(this);
        return this.ending;
      default:
        this.latest = location.hash || "#/";
        this.rows = await listView(this, choiceOf(parameters), this.places.get(this.latest));
        return this.rows;
    }
  }

  leave() {
    if (this.rows) {
      this.rows.stop();
      this.places.set(this.latest, this.rows.place);
    } else this.asked = null; // there may be others when one comes back
    this.ending?.();
    this.rows = this.ending = this.call = null;
  }

  show(view, name, title = name) {
    const isFirst = this.view.firstChild === null;
    this.title = title;
    this.entitle();
    this.view.replaceChildren(view);
    this.view.scrollTop = 0;
    window.scrollTo(0, 0);
    for (const [each, anchor] of Object.entries(this.links)) {
      if (each === name) anchor.setAttribute("aria-current", "page");
      else anchor.removeAttribute("aria-current");
    }
    this.drawCompared();
    // Whoever uses keys or listens goes on in the new view, and not at the top of the page.
    if (!isFirst && document.activeElement === document.body) this.view.focus({ preventScroll: true });
  }

  // Name the view for the tab, the history, and those who listen.
  entitle() {
    document.title = [this.title, this.name.textContent, "mellite view"].filter(Boolean).join(" · ");
    this.view.setAttribute("aria-label", this.title);
  }

  nothing(words) {
    this.show(make("section", { class: "nothing" }, make("p", {}, words), link("to the list", this.latest)), "", "nothing");
  }

  // Show other calls without losing where one is in the fields.
  choose(choice) {
    history.replaceState(null, "", listHash(choice));
    this.places.delete(listHash(choice));
    const focused = document.activeElement?.id;
    const at = document.activeElement?.selectionStart;
    this.route().then(() => {
      const field = focused ? document.getElementById(focused) : null;
      field?.focus();
      if (focused === "search") field.setSelectionRange(at, at);
    });
  }

  // Note a call or run to be compared; with a second one, compare them at once if that is wanted.
  compare(id, isWanted, atOnce = false) {
    this.compared = this.compared.filter((each) => each !== id);
    if (isWanted) this.compared = [...this.compared, id].slice(-2);
    if (atOnce && this.compared.length === 2) this.goCompare();
    else this.drawCompared();
  }

  goCompare() {
    location.hash = `#/diff/${this.compared.map(encodeURIComponent).join("/")}`;
  }

  forget() {
    this.compared = [];
    location.hash = this.latest;
    this.drawCompared();
  }

  drawCompared() {
    const isShown = this.compared.length > 0 && !location.hash.startsWith("#/diff");
    this.comparing.hidden = !isShown;
    const words = this.compared.length === 2 ? `compare ${this.compared.join(" and ")}` : `${this.compared[0]}, and which other one?`;
    this.comparing.replaceChildren(
      this.compared.length === 2 ? button(words, () => this.goCompare()) : make("span", {}, words),
      button("no", () => {
        this.compared = [];
        for (const box of document.querySelectorAll(".rows input:checked")) box.checked = false;
        this.drawCompared();
      }),
    );
  }

  step(by) {
    if (this.rows) this.rows.step(by);
    else if (this.call !== null) this.stepCall(this.call, by);
  }

  // Go from a call to the one after or before it in the list that it was opened from.
  async stepCall(id, by) {
    const place = this.places.get(this.latest);
    if (!place || place.id !== id || place.chosen + by < 0) return;
    const choice = choiceOf(new URLSearchParams(this.latest.split("?", 2)[1] || ""));
    const answer = await this.source.calls(choice, place.chosen + by, 1).catch(() => null); // the next view says why
    const [row] = answer?.calls ?? [];
    if (!row) return;
    this.places.set(this.latest, { ...place, chosen: place.chosen + by, id: row.id });
    location.hash = `#/call/${encodeURIComponent(row.id)}`;
  }

  turn() {
    const root = document.documentElement;
    const isDark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
  }

  skip(event) {
    event.preventDefault();
    this.view.focus();
  }

  pressed(event) {
    const isTyping = event.target.closest?.("input:not([type=checkbox]), select, textarea");
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && !this.keys.open) {
      if (isTyping) {
        event.preventDefault(); // which would empty the search
        event.target.blur();
      } else if (this.rows === null) location.hash = this.latest;
      return;
    }
    if (isTyping || this.keys.open) return;
    const places = { c: this.latest, r: "#/runs", $: "#/costs", l: "#/live" };
    const [name, id] = location.hash.slice(2).split("/");
    if (event.key === "/") document.getElementById("search")?.focus();
    else if (event.key === "?") this.keys.showModal();
    else if (event.key === "d") this.turn();
    else if (event.key === "j" || event.key === "k") this.step(event.key === "j" ? 1 : -1);
    else if (event.key === "x" && this.rows?.tick()) this.comparing.querySelector("button")?.focus();
    else if (event.key === "t" && name === "call") location.hash = `#/timeline/${id}`;
    else if (Object.hasOwn(places, event.key)) location.hash = places[event.key];
    else return;
    event.preventDefault();
  }
}

new App(openSource()).start();

// Calls of a running program as they happen: new ones on top, and those that go on growing.

import { grown } from "./call.js";
import { make } from "./dom.js";
import { rowLink } from "./list.js";

const MOST = 200;

export async function liveView(app) {
  const said = make("p", { role: "status", class: "found" }, "connecting…");
  const rows = make("ul", { class: "live-rows", "aria-label": "calls as they happen" });
  app.show(make("section", { class: "live", "aria-label": "live" }, make("h2", {}, "live"), said, rows), "live");
  if (!app.source.isLive) {
    said.textContent = "This page is a file: nothing happens in it. `mellite view` shows calls as they happen.";
    return null;
  }
  const items = new Map();
  const put = (id, ...children) => {
    const item = items.get(id) ?? make("li", { class: "row" });
    item.replaceChildren(...children);
    items.set(id, item);
    rows.prepend(item);
    while (rows.childNodes.length > MOST) rows.lastChild.remove();
  };
  return app.source.listen({
    ready: () => {
      said.textContent = "Waiting for calls: they come on top as they begin or settle.";
    },
    call: (row) => put(row.id, rowLink(row)),
    growing: (told) => {
      const known = items.get(told.id)?.querySelector(".growing");
      const growing = known ?? make("pre", { class: "growing", tabindex: "0" });
      growing.replaceChildren(...grown(told));
      if (!known) put(told.id, ...(items.get(told.id)?.childNodes ?? []), growing);
    },
    problem: ({ error }) => {
      said.textContent = error;
    },
    error: () => {
      said.textContent = "The connection is lost: is `mellite view` still running?";
    },
  });
}

// What calls cost and used: in all, by day, by model and by tag.

import { make, placed, table } from "./dom.js";
import { count, money, plural } from "./format.js";

export async function costsView(app) {
  const costs = await app.source.costs();
  const all = costs.all;
  const notes = [
    all.unpriced ? `the price of ${plural(all.unpriced, "call")} is not known, and counts as nothing` : "",
    costs.replayed ? `${plural(costs.replayed, "replayed call")} cost nothing and ${costs.replayed === 1 ? "is" : "are"} left out` : "",
  ].filter(Boolean);
  app.show(
    make(
      "section",
      { class: "costs", "aria-label": "costs" },
      make("h2", {}, `${money(all.cost_usd) || "no known cost"} for ${plural(all.calls, "call")}`),
      make("p", {}, `${count(all.input_tokens) || 0} tokens in, ${count(all.cache_read_tokens) || 0} of them from a cache; ${count(all.output_tokens) || 0} tokens out`),
      notes.length ? make("p", { class: "quiet" }, notes.join("; ")) : null,
      group("by day", costs.days, all),
      group("by model", costs.models, all),
      costs.tags.length ? group("by tag", costs.tags, all) : null,
    ),
    "costs",
  );
}

function group(caption, rows, all) {
  const columns = ["", "calls", "failed", "tokens in", "cached", "tokens out", "cost", "share"];
  const body = rows.map((row) => [
    row.name ?? "unknown",
    count(row.calls),
    row.failed ? count(row.failed) : "",
    count(row.input_tokens),
    count(row.cache_read_tokens),
    count(row.output_tokens),
    row.unpriced ? `${money(row.cost_usd)} + ?`.replace(/^ \+ /, "") : money(row.cost_usd),
    share(row, all),
  ]);
  return table(caption, [caption.replace("by ", ""), ...columns.slice(1)], body, [1, 2, 3, 4, 5, 6]);
}

function share(row, all) {
  const part = all.cost_usd ? (row.cost_usd || 0) / all.cost_usd : all.calls ? row.calls / all.calls : 0;
  const percent = Math.round(part * 100);
  const bar = make("span", { class: "track", role: "img", "aria-label": `${percent} %` });
  bar.append(placed(make("i", { class: "bar call" }), 0, Math.max(0.5, part * 100)));
  return bar;
}

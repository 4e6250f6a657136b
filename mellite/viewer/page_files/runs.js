// Runs: a list of them, and one as a tree beside a waterfall: steps, tools, samples and who won, times and costs.

import { badge, button, link, make, placed, table } from "./dom.js";
import { count, duration, moment, money, oneLine, plural } from "./format.js";
import { verdictItem } from "./call.js";

export async function runsView(app) {
  const runs = await app.source.runs();
  const rows = runs.map((run) => [
    link(run.name || `run ${run.id.slice(0, 8)}`, `#/run/${encodeURIComponent(run.id)}`),
    badge(run.state),
    make("span", { class: "nowrap" }, moment(run.started_at)),
    duration(run.duration_ms),
    count(run.calls),
    money(run.total_usd ?? run.cost_usd),
    run.stop_reason || "",
    compareButton(app, run),
  ]);
  const columns = ["run", "state", "began", "took", "calls", "cost", "stopped", "compare"];
  app.show(
    make(
      "section",
      { class: "runs", "aria-label": "runs" },
      make("h2", {}, "runs"),
      rows.length
        ? table(plural(runs.length, "run"), columns, rows, [3, 4, 5])
        : make("p", { class: "quiet" }, "There are no runs here. A journal and a log have them; a cassette does not."),
    ),
    "runs",
  );
}

function compareButton(app, run) {
  return button("compare", () => app.compare(run.id, true, true), { "aria-label": `compare run ${run.id}` });
}

export async function runView(app, id) {
  const run = await app.source.run(id);
  if (run === null) return app.nothing(`there is no run ${id}`);
  const span = spanOf(run);
  const view = make(
    "section",
    { class: "run", "aria-label": `run ${id}` },
    make("h2", {}, badge(run.state), ` ${run.name}`),
    make(
      "p",
      {},
      [moment(run.started_at), duration(span.length), run.total_usd === null ? "" : `${money(run.total_usd)} in all`]
        .filter(Boolean)
        .join(" · "),
    ),
    make("div", { class: "actions" }, compareButton(app, run)),
    make("ol", { class: run.total_usd ? "tree costed" : "tree", "aria-label": "parts of the run" }, (run.parts || []).map((part) => branch(part, span, run.total_usd, 0))),
    (run.samplings || []).map(sampling),
  );
  app.show(view, "runs", run.name);
}

function time(text) {
  return text ? Date.parse(text) : null;
}

// When a run began and how long it took, by its parts: its own time may not be known.
function spanOf(run) {
  let begin = time(run.started_at) ?? Number.POSITIVE_INFINITY;
  let end = begin + (run.duration_ms || 0);
  const look = (part) => {
    const began = time(part.started_at);
    if (began !== null) {
      begin = Math.min(begin, began);
      end = Math.max(Number.isFinite(end) ? end : began, began + (part.duration_ms || 0));
    }
    (part.parts || []).forEach(look);
  };
  (run.parts || []).forEach(look);
  return Number.isFinite(begin) ? { begin, length: Math.max(end - begin, 0.001) } : { begin: 0, length: 0.001 };
}

function branch(part, span, total, depth) {
  const row = make(
    "div",
    { class: "branch" },
    make("span", { class: "what" }, badge(part.state), " ", titleOf(part), " ", wonBadge(part)),
    bar(part, span),
    make("span", { class: "number" }, duration(part.duration_ms)),
    total ? make("span", { class: "number" }, costOf(part, total)) : null,
  );
  row.style.setProperty("--depth", depth);
  const words = part.error || part.text;
  const said = words ? make("p", { class: part.error ? "said wrong" : "said" }, oneLine(words, 240)) : null;
  const why = reasons(part.facts || {});
  const children = (part.parts || []).map((each) => branch(each, span, total, depth + 1));
  if (children.length === 0) return make("li", {}, row, said, why);
  const inner = make("details", { open: true }, make("summary", {}, row), said, why, make("ol", {}, children));
  return make("li", {}, inner);
}

function titleOf(part) {
  const name = oneLine(part.name, 100);
  const label = part.kind === "call" ? `call ${part.call} · ${name}` : part.kind === "tool" ? `tool ${name}` : name;
  return part.call ? link(label, `#/call/${encodeURIComponent(part.call)}`) : make("span", {}, label);
}

function wonBadge(part) {
  if (!part.facts || part.facts.won === undefined) return null;
  return make("span", { class: part.facts.won ? "badge won" : "badge lost" }, part.facts.won ? "won" : "lost");
}

function reasons(facts) {
  const words = [
    facts.status && facts.status !== "done" ? String(facts.status) : "",
    typeof facts.score === "number" ? `score ${facts.score}` : "",
  ].filter(Boolean);
  const checks = (facts.validations || []).filter(Boolean);
  if (words.length === 0 && checks.length === 0) return null;
  return make("div", { class: "why" }, words.join(" · "), checks.length ? make("ul", {}, checks.map(verdictItem)) : null);
}

function costOf(part, total) {
  if (part.total_usd === null || part.total_usd === undefined) return "";
  const share = total ? ` (${Math.round((part.total_usd / total) * 100)} %)` : "";
  return `${money(part.total_usd)}${share}`;
}

function bar(part, span) {
  const began = time(part.started_at);
  const track = make("span", { class: "track", "aria-hidden": "true" });
  if (began !== null) {
    const left = ((began - span.begin) / span.length) * 100;
    const width = Math.max(((part.duration_ms || 0) / span.length) * 100, 0.4);
    const kind = /^[a-z]+$/.test(part.kind) ? part.kind : "call";
    track.append(placed(make("i", { class: `bar ${kind}` }), Math.min(left, 99.6), Math.min(width, 100 - left)));
  }
  return track;
}

function sampling(told) {
  const samples = told.samples || [];
  const rows = samples.map((sample) => [
    sample.call === null ? "not kept" : link(`call ${sample.call}`, `#/call/${encodeURIComponent(sample.call)}`),
    sample.call !== null && sample.call === told.winner ? "won" : "",
    String(sample.status ?? ""),
    typeof sample.score === "number" ? String(sample.score) : "",
    (sample.validations || []).filter(Boolean).map((each) => `${each.passed ? "passed" : "failed"} ${each.reason || ""}`).join("; "),
  ]);
  const name = `samples of ${told.strategy || "a strategy"}: ${told.stop_reason || (told.success ? "success" : "no success")}`;
  return table(name, ["sample", "winner", "state", "score", "checks"], rows, [3]);
}

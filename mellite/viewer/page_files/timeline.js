// When each part of an answer came: the first token, gaps, checks, and the answer again, at any speed.

import { button, labelled, link, make, option, placed, table } from "./dom.js";
import { duration } from "./format.js";
import { verdictItem } from "./call.js";

const SPEEDS = ["0.25", "0.5", "1", "2", "4", "16"];
const MOST_MARKS = 3000;
const LONGEST_GAPS = 5;

export async function timelineView(app, id) {
  const found = await app.source.timeline(id);
  if (found === null) return app.nothing(`when the parts of call ${id} came is not known`);
  const checks = found.verdicts;
  const last = found.steps.length ? found.steps[found.steps.length - 1].at_ms : 0;
  const whole = Math.max(found.duration_ms || 0, last, ...checks.map((each) => each.at_ms), 0.001);
  const view = make(
    "section",
    { class: "timeline", "aria-label": `timeline of call ${id}` },
    make("h2", {}, "timeline of call ", link(id, `#/call/${encodeURIComponent(id)}`)),
    summary(found, whole),
    lane("chunks", chunkMarks(found, whole), whole),
    found.arrivals.length ? lane("bytes", byteMarks(found, whole), whole) : null,
    checks.length ? lane("checks", checks.map((each) => checkMark(each, whole)), whole) : null,
    player(found, whole),
    gapTable(found),
    checks.length
      ? make("div", { class: "verdicts" }, make("h3", {}, "checks"), make("ul", {}, checks.map(verdictItem)))
      : null,
  );
  app.show(view, "calls", `timeline of call ${id}`);
}

function summary(found, whole) {
  const end = { done: "ended well", failed: "failed", cancelled: "was cancelled: its reader went away" }[found.end];
  const words = [
    `took ${duration(whole)}`,
    found.opened_ms === undefined || found.opened_ms === null ? "" : `headers after ${duration(found.opened_ms)}`,
    found.first_token_ms === null ? "said nothing" : `first token after ${duration(found.first_token_ms)}`,
    `${found.steps.length} parts`,
    end || found.end,
  ];
  return make(
    "p",
    {},
    words.filter(Boolean).join(" · "),
    found.error ? make("span", { class: "error" }, ` ${found.error}`) : null,
  );
}

function lane(name, marks, whole) {
  return make(
    "div",
    { class: "lane" },
    make("span", { class: "name" }, name),
    make("div", { class: "track", role: "img", "aria-label": `${name}: ${marks.length} marks over ${duration(whole)}` }, marks),
    make("span", { class: "ends" }, make("span", {}, "0"), make("span", {}, duration(whole))),
  );
}

function chunkMarks(found, whole) {
  const every = Math.ceil(found.steps.length / MOST_MARKS);
  const marks = found.steps
    .filter((_, place) => place % every === 0)
    .map((step) => placed(make("i", { class: `mark ${step.kind}` }), (step.at_ms / whole) * 100));
  if (found.first_token_ms !== null) {
    marks.push(placed(make("i", { class: "mark first" }), (found.first_token_ms / whole) * 100));
  }
  for (const gap of gaps(found).filter((each) => each.length > whole / 5)) {
    marks.unshift(placed(make("i", { class: "gap" }), (gap.from / whole) * 100, (gap.length / whole) * 100));
  }
  return marks;
}

function checkMark(verdict, whole) {
  return placed(make("i", { class: verdict.passed ? "mark passed" : "mark failed" }), (verdict.at_ms / whole) * 100);
}

function byteMarks(found, whole) {
  const every = Math.ceil(found.arrivals.length / MOST_MARKS);
  return found.arrivals
    .filter((_, place) => place % every === 0)
    .map(([at]) => placed(make("i", { class: "mark bytes" }), (at / whole) * 100));
}

function gaps(found) {
  const times = [0, ...found.steps.map((step) => step.at_ms)];
  const made = times.slice(1).map((at, place) => ({ from: times[place], to: at, length: at - times[place] }));
  return made.sort((one, other) => other.length - one.length);
}

function gapTable(found) {
  const longest = gaps(found).slice(0, LONGEST_GAPS).filter((gap) => gap.length > 0);
  if (longest.length === 0) return null;
  const rows = longest.map((gap) => [duration(gap.from), duration(gap.to), duration(gap.length)]);
  return table("longest waits", ["from", "to", "waited"], rows, [0, 1, 2]);
}

// Parts of one kind that follow each other as one.
function together(steps) {
  const made = [];
  for (const { kind, text } of steps) {
    const last = made[made.length - 1];
    if (last && last.kind === kind) last.text += text;
    else made.push({ kind, text });
  }
  return made;
}

// Give the answer again: as it stood at a moment, or growing in the time that it took.
function player(found, whole) {
  const text = make("pre", { class: "replayed", tabindex: "0", "aria-label": "the answer at this moment" });
  const at = make("input", { type: "range", min: "0", max: "1000", value: "1000", step: "1" });
  const now = make("output", {});
  const speed = make("select", {}, SPEEDS.map((each) => option(each, `${each} ×`)));
  speed.value = "1";
  let moment = whole;
  let playing = 0;
  let before = 0;
  const draw = () => {
    const come = found.steps.filter((step) => step.at_ms <= moment && ["text", "thinking", "tool"].includes(step.kind));
    text.replaceChildren(...together(come).map(({ kind, text }) => make("span", { class: `said-${kind}` }, text)));
    at.value = String(Math.round((moment / whole) * 1000));
    now.textContent = duration(moment);
  };
  const stop = () => {
    cancelAnimationFrame(playing);
    playing = 0;
    play.textContent = "play";
  };
  const go = (time) => {
    if (!text.isConnected) return stop();
    moment = Math.min(whole, moment + (time - before) * Number(speed.value));
    before = time;
    draw();
    if (moment >= whole) return stop();
    playing = requestAnimationFrame(go);
  };
  const play = button("play", () => {
    if (playing) return stop();
    if (moment >= whole) moment = 0;
    play.textContent = "pause";
    before = performance.now();
    playing = requestAnimationFrame(go);
  });
  at.addEventListener("input", () => {
    stop();
    moment = (Number(at.value) / 1000) * whole;
    draw();
  });
  draw();
  return make(
    "div",
    { class: "player" },
    make("div", { class: "controls" }, play, labelled("moment", at, { class: "field wide" }), now, labelled("speed", speed)),
    text,
  );
}

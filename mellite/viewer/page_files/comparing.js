// Compare calls that are in this page as the server compares them, rule by rule: which belong together, what differs
// between their requests and answers, and what that costs. See archive/aligning.py and archive/compare.py.

import { blocksInCommon } from "./aligning.js";

const MOST_PAIRS = 900;
const OTHER_COPY = 10;
const OTHER_PLACE = 5;
const NO_REQUEST = 40;
const ALONE = 1000;

// How many differences of a body or of headers are told, and how many characters of a value.
const MOST_PLACES = 8;
const LONGEST_SHOWN = 300;

// What one side does not have.
const NOTHING = Symbol("nothing");

export function compared(left, right) {
  const pairs = alignedCalls(left, right).map(([one, other]) => comparedPair(one, other));
  const differing = pairs.filter((pair) => !pair.isSpentAlike);
  const [ours, theirs] = ["one", "other"].map((side) => sums(differing.map((pair) => pair[side])));
  const more = (name, isKnown) => (isKnown ? theirs[name] - ours[name] : null);
  const isMetered = ours.unmetered + theirs.unmetered === 0;
  return {
    pairs: pairs.map(({ told }) => told),
    input_tokens: more("input_tokens", isMetered),
    output_tokens: more("output_tokens", isMetered),
    cost_usd: more("cost_usd", ours.unpriced + theirs.unpriced === 0),
  };
}

function alignedCalls(left, right) {
  return [left, right].some(overlap) ? inAnyOrder(left, right) : inOrder(left, right);
}

// Whether some of the calls ran at the same time.
function overlap(calls) {
  const spans = calls.map((call) => call.span).filter(Boolean);
  spans.sort((one, other) => one[0] - other[0] || one[1] - other[1]);
  return spans.some((span, place) => place > 0 && span[0] < spans[place - 1][1]);
}

// What calls are the same by: the server numbers equal requests and equal answers of the page.
const asked = (call) => `${call.asked}`;
const ofCopy = (call) => `${call.asked} ${call.lineage}`;
const withAnswer = (key) => (call) => `${key(call)} ${call.said}`;

function inOrder(left, right) {
  const isByCopy = [...left, ...right].every((call) => call.lineage !== null);
  const key = isByCopy ? ofCopy : asked;
  const found = [];
  let [i, j] = [0, 0];
  for (const [one, other, size] of [...blocksInCommon(left.map(key), right.map(key)), [left.length, right.length, 0]]) {
    found.push(...nearestInOrder(left.slice(i, one), right.slice(j, other)));
    for (let k = 0; k < size; k += 1) found.push([left[one + k], right[other + k]]);
    [i, j] = [one + size, other + size];
  }
  return reunited(found);
}

// Pair what was asked by the same copy of a thunk, though copies were driven in another order.
function reunited(found) {
  const lost = new Map();
  found.forEach(([one, other], place) => {
    if (one && !other && (one.lineage || []).length) lost.set(ofCopy(one), [...(lost.get(ofCopy(one)) ?? []), place]);
  });
  const gone = new Set();
  found.forEach(([one, other], place) => {
    const waiting = one || !other ? undefined : lost.get(ofCopy(other));
    if (!waiting || waiting.length === 0) return;
    found[waiting.shift()][1] = other;
    gone.add(place);
  });
  return found.filter((_, place) => !gone.has(place));
}

function inAnyOrder(left, right) {
  const partners = new Map();
  const taken = new Set();
  for (const key of [withAnswer(ofCopy), ofCopy, withAnswer(asked), asked]) {
    const waiting = new Map();
    right.forEach((call, place) => {
      if (!taken.has(place)) waiting.set(key(call), [...(waiting.get(key(call)) ?? []), place]);
    });
    left.forEach((call, place) => {
      const found = partners.has(place) ? undefined : waiting.get(key(call))?.shift();
      if (found === undefined) return;
      partners.set(place, found);
      taken.add(found);
    });
  }
  const free = (calls, isTaken) => [...calls.keys()].filter((place) => !isTaken(place));
  const rest = [free(left, (place) => partners.has(place)), free(right, (place) => taken.has(place))];
  for (const [one, other] of nearest(left, right, ...rest)) {
    partners.set(one, other);
    taken.add(other);
  }
  return [
    ...left.map((call, place) => [call, partners.has(place) ? right[partners.get(place)] : null]),
    ...free(right, (place) => taken.has(place)).map((place) => [null, right[place]]),
  ];
}

// How much two requests differ.
function apart(one, other) {
  const copies = one.lineage && other.lineage && `${one.lineage}` !== `${other.lineage}` ? OTHER_COPY : 0;
  if (one.request === null || other.request === null) return copies + NO_REQUEST;
  const found = requestPlaces(one.request, other.request);
  return found.reduce((sum, { section }) => sum + (["method", "url"].includes(section) ? OTHER_PLACE : 1), copies);
}

const isText = (calls) => calls.some((call) => call.format === "text");

const alone = (ours, theirs) => [...ours.map((call) => [call, null]), ...theirs.map((call) => [null, call])];

// Pair as many calls as can be, in order, so that the pairs differ as little as can be.
function nearestInOrder(ours, theirs) {
  if (ours.length === 0 || theirs.length === 0 || isText([...ours, ...theirs])) return alone(ours, theirs);
  if (ours.length === theirs.length || ours.length * theirs.length > MOST_PAIRS) {
    const common = Math.min(ours.length, theirs.length);
    const pairs = ours.slice(0, common).map((call, place) => [call, theirs[place]]);
    return [...pairs, ...alone(ours.slice(common), theirs.slice(common))];
  }
  const distances = ours.map((one) => theirs.map((other) => apart(one, other)));
  const rest = Array.from({ length: ours.length + 1 }, () => new Array(theirs.length + 1).fill(0));
  for (let i = ours.length; i >= 0; i -= 1) {
    for (let j = theirs.length; j >= 0; j -= 1) {
      const ways = [];
      if (i < ours.length) ways.push(ALONE + rest[i + 1][j]);
      if (j < theirs.length) ways.push(ALONE + rest[i][j + 1]);
      if (i < ours.length && j < theirs.length) ways.push(distances[i][j] + rest[i + 1][j + 1]);
      rest[i][j] = ways.length ? Math.min(...ways) : 0;
    }
  }
  return wayBack(ours, theirs, distances, rest);
}

function wayBack(ours, theirs, distances, rest) {
  const found = [];
  let [i, j] = [0, 0];
  while (i < ours.length && j < theirs.length) {
    if (rest[i][j] === distances[i][j] + rest[i + 1][j + 1]) found.push([ours[i++], theirs[j++]]);
    else if (rest[i][j] === ALONE + rest[i + 1][j]) found.push([ours[i++], null]);
    else found.push([null, theirs[j++]]);
  }
  return [...found, ...alone(ours.slice(i), theirs.slice(j))];
}

// Pair as many calls as possible, in any order, the most similar first: the places of both.
function nearest(left, right, ours, theirs) {
  if (isText([...left, ...right])) return [];
  if (ours.length * theirs.length > MOST_PAIRS) {
    return ours.slice(0, theirs.length).map((one, place) => [one, theirs[place]]);
  }
  const ranked = ours.flatMap((one) =>
    theirs.map((other) => [apart(left[one], right[other]), Math.abs(one - other), one, other]),
  );
  ranked.sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2] || a[3] - b[3]);
  const [mine, yours] = [new Set(), new Set()];
  return ranked.flatMap(([, , one, other]) => {
    if (mine.has(one) || yours.has(other)) return [];
    mine.add(one);
    yours.add(other);
    return [[one, other]];
  });
}

function comparedPair(one, other) {
  const told = { change: "", left: one && one.side, right: other && other.side, request: [], answer: [] };
  if (one === null || other === null) {
    return { one, other, isSpentAlike: false, told: { ...told, change: one === null ? "added" : "removed" } };
  }
  if (one.request !== null && other.request !== null) {
    told.request = requestPlaces(one.request, other.request).map(({ section, path, left, right }) => {
      const [mine, yours] = bothShown(left, right);
      return { place: `${section} ${path}`.trim(), left: mine, right: yours };
    });
  }
  told.answer = answerPlaces(one, other);
  told.change = told.request.length ? "request" : told.answer.length ? "answer" : "same";
  const isSame = told.change === "same";
  const isSpentAlike = isSame && (one.answer === null || other.answer === null || one.spent === other.spent);
  return { one, other, isSpentAlike, told };
}

function answerPlaces(one, other) {
  const found = [];
  const look = (place, left, right) => {
    if (left !== right) found.push({ place, left, right });
  };
  for (const name of ["status", "end", "ending"]) look(name, one[name], other[name]);
  if (one.answer === null || other.answer === null) {
    if (one.body !== other.body) found.push({ place: "body", left: one.size, right: other.size });
    return found;
  }
  for (const name of ["text", "thinking", "finish_reason", "error"]) look(name, one.answer[name], other.answer[name]);
  const [mine, yours] = [one.answer.tool_calls, other.answer.tool_calls];
  for (let place = 0; place < Math.max(mine.length, yours.length); place += 1) {
    const [left, right] = [mine[place] ?? null, yours[place] ?? null];
    if (left?.same === right?.same) continue;
    found.push({ place: `tool call ${place}`, left: left && left.text, right: right && right.text });
  }
  return found;
}

// What calls used and cost together; one that was refused used nothing.
function sums(calls) {
  const total = { input_tokens: 0, output_tokens: 0, cost_usd: 0, unmetered: 0, unpriced: 0 };
  for (const call of calls.filter((each) => each !== null && !each.refused)) {
    const used = (call.answer && call.answer.usage) || null;
    const cost = call.answer === null ? null : call.answer.cost_usd;
    total.unmetered += used === null ? 1 : 0;
    total.input_tokens += (used && used[0]) || 0;
    total.output_tokens += (used && used[1]) || 0;
    total.cost_usd += cost ?? 0;
    total.unpriced += cost === null && !(used !== null && call.answer.is_zero) ? 1 : 0;
  }
  return total;
}

function requestPlaces(one, other) {
  const found = [];
  for (const section of ["method", "url"]) {
    if (one[section] !== other[section]) found.push({ section, path: "", left: one[section], right: other[section] });
  }
  const names = [...new Set([...Object.keys(one.headers), ...Object.keys(other.headers)])].sort();
  const headers = names
    .map((path) => ({ section: "headers", path, left: valueAt(one.headers, path), right: valueAt(other.headers, path) }))
    .filter(({ left, right }) => left !== right);
  return [...found, ...headers.slice(0, MOST_PLACES), ...bodyPlaces(one, other)];
}

function bodyPlaces(one, other) {
  const whole = (side) => (side.is_json || side.body ? side.body : NOTHING);
  if (!one.is_json || !other.is_json) {
    const isSame = !one.is_json && !other.is_json && one.body === other.body;
    return isSame ? [] : [{ section: "body", path: "", left: whole(one), right: whole(other) }];
  }
  const found = [];
  const waiting = [["$", one.body, other.body]];
  while (waiting.length && found.length < MOST_PLACES) {
    const [path, left, right] = waiting.pop();
    const [kind, otherKind] = [kindOf(left), kindOf(right)];
    if (kind === "object" && otherKind === "object") {
      const names = [...Object.keys(left), ...Object.keys(right).filter((name) => !Object.hasOwn(left, name))];
      waiting.push(...names.map((name) => [`${path}${step(name)}`, valueAt(left, name), valueAt(right, name)]).reverse());
    } else if (kind === "list" && otherKind === "list") {
      const items = [...(left.length > right.length ? left : right).keys()];
      waiting.push(...items.map((place) => [`${path}[${place}]`, valueAt(left, place), valueAt(right, place)]).reverse());
    } else if (left !== right) {
      found.push({ section: "body", path, left, right });
    }
  }
  return found;
}

function kindOf(value) {
  if (Array.isArray(value)) return "list";
  return value !== null && typeof value === "object" ? "object" : "";
}

function valueAt(value, name) {
  return Object.hasOwn(value, name) ? value[name] : NOTHING;
}

function step(name) {
  return /^[A-Za-z_$][A-Za-z0-9_$]*$/.test(name) ? `.${name}` : `[${asciiJson(name)}]`;
}

function asciiJson(text) {
  return JSON.stringify(text).replace(/[\u007f-\uffff]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

// Both values as they are shown: as JSON, cut if they are long to where they begin to differ.
function bothShown(left, right) {
  const [one, other] = [left, right].map((value) => [...(value === NOTHING ? "nothing" : JSON.stringify(value))]);
  if (Math.max(one.length, other.length) <= LONGEST_SHOWN) return [one.join(""), other.join("")];
  const least = Math.min(one.length, other.length);
  let same = 0;
  while (same < least && one[same] === other[same]) same += 1;
  if (same === least) same = 0;
  const start = Math.max(0, same - 40);
  return [one, other].map((text) => cutAround(text, start));
}

function cutAround(text, start) {
  const from = start >= text.length ? 0 : start;
  const piece = text.slice(from, from + LONGEST_SHOWN).join("");
  return `${from ? "..." : ""}${piece}${from + LONGEST_SHOWN < text.length ? "..." : ""}`;
}

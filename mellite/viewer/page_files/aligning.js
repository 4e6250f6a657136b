// What two lists have in common, in order; and with it what differs between two texts.

const MOST_CELLS = 1_000_000;

// How one list becomes another: steps of {what, left, right}, the items of which are the same, removed or added.
// Null if there are too many that differ to find out what the lists have in common.
export function steps(left, right) {
  let start = 0;
  while (start < left.length && start < right.length && left[start] === right[start]) start += 1;
  let end = 0;
  const most = Math.min(left.length, right.length) - start;
  while (end < most && left[left.length - 1 - end] === right[right.length - 1 - end]) end += 1;
  const one = left.slice(start, left.length - end);
  const other = right.slice(start, right.length - end);
  if (one.length * other.length > MOST_CELLS) return null;
  const made = [];
  const add = (what, item) => {
    const last = made[made.length - 1];
    if (last && last.what === what) last.items.push(item);
    else made.push({ what, items: [item] });
  };
  left.slice(0, start).forEach((item) => add("same", item));
  between(one, other, add);
  left.slice(left.length - end).forEach((item) => add("same", item));
  return made;
}

function between(one, other, add) {
  const width = other.length + 1;
  const table = new Uint32Array((one.length + 1) * width);
  for (let i = one.length - 1; i >= 0; i -= 1) {
    for (let j = other.length - 1; j >= 0; j -= 1) {
      table[i * width + j] =
        one[i] === other[j]
          ? table[(i + 1) * width + j + 1] + 1
          : Math.max(table[(i + 1) * width + j], table[i * width + j + 1]);
    }
  }
  let i = 0;
  let j = 0;
  while (i < one.length || j < other.length) {
    if (i < one.length && j < other.length && one[i] === other[j]) {
      add("same", one[i]);
      i += 1;
      j += 1;
    } else if (j >= other.length || (i < one.length && table[(i + 1) * width + j] >= table[i * width + j + 1])) {
      add("removed", one[i]);
      i += 1;
    } else {
      add("added", other[j]);
      j += 1;
    }
  }
}

// Two texts as one, in pieces of {what, text}: line by line, and word by word in lines that differ.
export function textSteps(left, right) {
  const lines = (text) => text.split(/(?<=\n)/);
  const found = steps(lines(left), lines(right)) ?? [
    { what: "removed", items: [left] },
    { what: "added", items: [right] },
  ];
  const made = [];
  for (let at = 0; at < found.length; at += 1) {
    const [one, next] = [found[at], found[at + 1]];
    const isChange = next && one.what !== "same" && next.what !== "same";
    if (isChange) {
      const [gone, come] = one.what === "removed" ? [one, next] : [next, one];
      made.push(...wordSteps(gone.items.join(""), come.items.join("")));
      at += 1;
    } else {
      made.push({ what: one.what, text: one.items.join("") });
    }
  }
  return made;
}

function wordSteps(left, right) {
  const words = (text) => text.split(/(\s+)/);
  const found = steps(words(left), words(right));
  if (found === null) return [{ what: "removed", text: left }, { what: "added", text: right }];
  return found.map(({ what, items }) => ({ what, text: items.join("") }));
}

// The blocks that two lists have in common, in order: where each begins in both, and how long it is. The longest one
// is taken, the first of several, and then those before it and behind it (Ratcliff and Obershelp).
export function blocksInCommon(left, right) {
  const places = new Map();
  right.forEach((item, place) => places.set(item, [...(places.get(item) ?? []), place]));
  const found = [];
  const waiting = [[0, left.length, 0, right.length]];
  while (waiting.length) {
    const [begin, end, otherBegin, otherEnd] = waiting.pop();
    const [one, other, size] = longestBlock(left, places, begin, end, otherBegin, otherEnd);
    if (size === 0) continue;
    found.push([one, other, size]);
    waiting.push([begin, one, otherBegin, other], [one + size, end, other + size, otherEnd]);
  }
  return found.sort((one, other) => one[0] - other[0]);
}

function longestBlock(left, places, begin, end, otherBegin, otherEnd) {
  let best = [begin, otherBegin, 0];
  let lengths = new Map();
  for (let i = begin; i < end; i += 1) {
    const longer = new Map();
    for (const j of places.get(left[i]) ?? []) {
      if (j < otherBegin || j >= otherEnd) continue;
      const size = (lengths.get(j - 1) ?? 0) + 1;
      longer.set(j, size);
      if (size > best[2]) best = [i - size + 1, j - size + 1, size];
    }
    lengths = longer;
  }
  return best;
}

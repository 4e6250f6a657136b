// Long texts and long lists: the beginning is made at once, the rest when it is wanted, or comes near the screen.

import { button, make } from "./dom.js";
import { count } from "./format.js";

// How much of a text is shown at once, in characters: some thirty screens.
const AT_ONCE = 50_000;

// How many characters stand in each of the pieces of a text that is shown whole.
const PIECE = 20_000;

// How far from the screen what comes near it is made.
const NEAR = "1200px";

// A text as it stands. Of a long one the beginning, and a button for the rest. That is hidden and not laid out, but a
// search of the page finds what is in it, and shows it: https://html.spec.whatwg.org/#the-hidden-attribute.
export function longText(text) {
  const shown = make("pre", { tabindex: "0" });
  if (text.length <= AT_ONCE) {
    shown.append(text);
    return shown;
  }
  const at = whereToCut(text, AT_ONCE);
  const all = button(`show all ${count(text.length)} characters`, () => {
    rest.hidden = false;
    all.remove();
    shown.focus({ preventScroll: true });
  });
  const rest = make("span", { class: "rest", hidden: "until-found", on: { beforematch: () => all.remove() } }, pieces(text, at));
  shown.append(text.slice(0, at), rest);
  if (!("onbeforematch" in rest)) all.append("; a search of the page finds nothing in the others until then");
  return make("div", { class: "long" }, shown, all);
}

// The end of a text that grows: what came last is what one waits for.
export function latest(text) {
  return text.length <= AT_ONCE ? text : `…${text.slice(whereToCut(text, text.length - AT_ONCE))}`;
}

// So much of a text that grows as `latest` may show.
export function tail(text) {
  return text.length <= 2 * AT_ONCE ? text : text.slice(-AT_ONCE - 2);
}

// Where to cut a text at or before a place, so that no character is cut in two.
function whereToCut(text, at) {
  const code = text.charCodeAt(at - 1);
  return code >= 0xd800 && code <= 0xdbff ? at - 1 : at;
}

// What follows a place in a text: the end of its line, and pieces that end with a line, so that the browser lays out only
// those that are on the screen.
function pieces(text, place) {
  let begin = text.indexOf("\n", place) + 1 || text.length;
  const made = [text.slice(place, begin)];
  while (text.length - begin > PIECE) {
    const end = text.indexOf("\n", begin + PIECE);
    if (end < 0) break;
    made.push(make("span", { class: "piece" }, text.slice(begin, end + 1)));
    begin = end + 1;
  }
  return begin < text.length ? [...made, make("span", { class: "piece" }, text.slice(begin))] : made;
}

// A place for elements that are made when it comes near the screen. Until then a text stands there, which the browser
// finds when one searches the page, and does not lay out.
export function later(text, fill) {
  const place = make("div", { class: "later" }, text);
  fills.set(place, fill);
  observer.observe(place);
  return place;
}

const fills = new WeakMap();

const observer = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      observer.unobserve(target);
      target.replaceWith(...fills.get(target)());
    }
  },
  { rootMargin: NEAR, scrollMargin: NEAR },
);

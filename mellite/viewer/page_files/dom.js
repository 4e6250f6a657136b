// Make elements. Text becomes text nodes and nothing is ever parsed as HTML, so that nothing in an answer can run.

// Attributes that could run something, or that the Content-Security-Policy forbids. Nobody here sets them.
const FORBIDDEN = /^(on|style$|srcdoc$|src$|formaction$|xlink)/;

export function make(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (FORBIDDEN.test(name)) {
      throw new Error(`the attribute ${name} is not set here`);
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, String(value));
    }
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function button(label, listener, attributes = {}) {
  return make("button", { type: "button", on: { click: listener }, ...attributes }, label);
}

export function link(label, hash, attributes = {}) {
  return make("a", { href: hash, ...attributes }, label);
}

export function option(value, label = value) {
  return make("option", { value }, label);
}

// A field with its label, as people who do not see the page need it.
export function labelled(label, field, attributes = {}) {
  return make("label", { class: "field", ...attributes }, make("span", {}, label), field);
}

export function badge(state) {
  return make("span", { class: `badge ${/^[a-z]+$/.test(state || "") ? state : "other"}` }, state || "unknown");
}

export function table(caption, columns, rows, numeric = []) {
  const cell = (tag, value, place, extra = {}) =>
    make(tag, { class: numeric.includes(place) ? "number" : null, ...extra }, value ?? "");
  return make(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    make(
      "table",
      {},
      make("caption", {}, caption),
      make("thead", {}, make("tr", {}, columns.map((name, place) => cell("th", name, place, { scope: "col" })))),
      make("tbody", {}, rows.map((row) => make("tr", {}, row.map((value, place) => cell("td", value, place))))),
    ),
  );
}

// Put a part into place by how far it begins and reaches, in percent: by properties, which the policy allows.
export function placed(element, left, width = null) {
  element.style.left = `${left}%`;
  if (width !== null) element.style.width = `${width}%`;
  return element;
}

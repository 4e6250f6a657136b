// A call as a command of curl and as a program in Python, with a variable where the key stands.

import { button, make } from "./dom.js";
import { longText } from "./long_texts.js";

// Provider -> the header that holds the key, what stands before it, and the variable that keys are in.
const KEY_HEADERS = {
  anthropic: ["x-api-key", "", "ANTHROPIC_API_KEY"],
  google: ["x-goog-api-key", "", "GEMINI_API_KEY"],
  gemini: ["x-goog-api-key", "", "GEMINI_API_KEY"],
};
const SECRET = /auth|key|token|secret|cookie|signature|credential/i;
const OMITTED = /^(content-length|host|connection|accept-encoding|transfer-encoding)$/i;

function headersOf(call) {
  const headers = { "content-type": "application/json" };
  for (const [name, value] of Object.entries(call.request.headers || {})) {
    if (!SECRET.test(name) && !OMITTED.test(name)) headers[name.toLowerCase()] = String(value);
  }
  return headers;
}

function keyOf(call) {
  const provider = call.provider || "";
  const variable = `${provider.replace(/[^a-z0-9]+/gi, "_").toUpperCase() || "MODEL"}_API_KEY`;
  return Object.hasOwn(KEY_HEADERS, provider) ? KEY_HEADERS[provider] : ["authorization", "Bearer ", variable];
}

const inShell = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function bodyText(call) {
  const body = call.request.body;
  return typeof body === "string" ? body : JSON.stringify(body, null, 2);
}

export function asCurl(call) {
  const [name, before, variable] = keyOf(call);
  const lines = [`curl ${inShell(call.request.url)}`, `  -X ${inShell(call.request.method)}`];
  for (const [header, value] of Object.entries(headersOf(call))) lines.push(`  -H ${inShell(`${header}: ${value}`)}`);
  lines.push(`  -H "${name}: ${before}$${variable}"`, `  --data-binary ${inShell(bodyText(call))}`);
  return lines.join(" \\\n");
}

// A text of JSON is a text of Python, too, once what is not ASCII is written as Python writes it.
const inPython = (text) =>
  JSON.stringify(text).replace(/[\u{7f}-\u{10ffff}]/gu, (character) => {
    const code = character.codePointAt(0).toString(16);
    return code.length > 4 ? `\\U${code.padStart(8, "0")}` : `\\u${code.padStart(4, "0")}`;
  });

export function asPython(call) {
  return call.request && call.request.url ? asRequest(call) : asGeneration(call);
}

function asRequest(call) {
  const [name, before, variable] = keyOf(call);
  const headers = Object.entries(headersOf(call)).map(([header, value]) => `    ${inPython(header)}: ${inPython(value)},`);
  return [
    "import json",
    "import os",
    "import urllib.request",
    "",
    `body = json.loads(${inPython(bodyText(call))})`,
    "headers = {",
    ...headers,
    `    ${inPython(name)}: ${inPython(before)} + os.environ[${inPython(variable)}],`,
    "}",
    `request = urllib.request.Request(${inPython(call.request.url)}, json.dumps(body).encode(), headers)`,
    "with urllib.request.urlopen(request) as response:",
    "    print(response.read().decode())",
    "",
  ].join("\n");
}

function asGeneration(call) {
  const messages = JSON.stringify(
    (call.messages || []).map((message) => ({ role: message.role, content: spoken(message.content) })),
  );
  const model = [call.provider, call.model].filter(Boolean).join(":");
  return [
    "import json",
    "",
    "import mellite",
    "",
    `messages = json.loads(${inPython(messages)})`,
    `backend = mellite.backend(${inPython(model)})`,
    'thunk = backend.generate([mellite.Message(each["role"], each["content"]) for each in messages])',
    "print(thunk.result())",
    "",
  ].join("\n");
}

function spoken(content) {
  if (typeof content === "string") return content;
  return (content || []).map((part) => (part.type === "text" ? part.text : `[${part.type}]`)).join("");
}

// Show a text to be copied, and copy it where the browser lets us.
export function copyButton(label, textOf) {
  const said = make("span", { role: "status", class: "said" });
  const box = make("div", { class: "copied", hidden: true });
  const show = async () => {
    let text;
    try {
      text = await textOf();
    } catch (error) {
      said.textContent = error.message;
      return;
    }
    box.replaceChildren(longText(text));
    box.hidden = false;
    try {
      await navigator.clipboard.writeText(text);
      said.textContent = "copied";
    } catch {
      said.textContent = "not allowed to copy: select it below";
    }
  };
  return [button(label, show), said, box];
}

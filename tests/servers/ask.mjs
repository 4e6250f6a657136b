// Ask with OpenAI's and Anthropic's own packages for Node, and print what they made of the answer, as JSON.
// `node ask.mjs PROGRAM` finds the server and the key in the environment, as any program does.
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const messages = [{ role: "user", content: "Say hello." }];
const model = "m-1";
const collected = async (stream) => {
  const found = [];
  for await (const each of stream) found.push(each);
  return found;
};
const openai = () => new OpenAI({ maxRetries: 0 });
const anthropic = () => new Anthropic({ maxRetries: 0 });

const programs = {
  "chat": () => openai().chat.completions.create({ model, messages }),
  "chat-streamed": async () => collected(await openai().chat.completions.create({ model, messages, stream: true })),
  "chat-helper": () => openai().chat.completions.stream({ model, messages }).finalChatCompletion(),
  "responses": () => openai().responses.create({ model, input: messages }),
  "responses-streamed": async () => collected(await openai().responses.create({ model, input: messages, stream: true })),
  "responses-helper": () => openai().responses.stream({ model, input: messages }).finalResponse(),
  "messages": () => anthropic().messages.create({ model, max_tokens: 99, messages }),
  "messages-streamed": async () =>
    collected(await anthropic().messages.create({ model, max_tokens: 99, messages, stream: true })),
  "messages-helper": () => anthropic().messages.stream({ model, max_tokens: 99, messages }).finalMessage(),
};

try {
  console.log(JSON.stringify(await programs[process.argv[2]]()));
} catch (error) {
  console.log(JSON.stringify({ error: error.constructor.name, status: error.status ?? null }));
}

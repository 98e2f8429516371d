// Anthropic's client in TypeScript on /v1/messages.

import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import { check, KEY, MODEL, QUESTION, ROOT_URL, run } from "./checking.mjs";

const client = new Anthropic({ baseURL: ROOT_URL, apiKey: KEY, maxRetries: 0 });
const messages = [{ role: "user", content: QUESTION }];
const asked = { model: MODEL, max_tokens: 48, temperature: 0, messages };
const weather = {
  name: "get_weather",
  description: "Tell the weather in a city.",
  input_schema: {
    type: "object",
    properties: { city: { type: "string", maxLength: 20 } },
    required: ["city"],
    additionalProperties: false,
  },
};

const used = (message) => message.content.find((block) => block.type === "tool_use");

check("plain", async () => {
  const message = await client.messages.create(asked);
  assert.ok(message.content[0].text);
  assert.ok(message.usage.output_tokens > 0);
});

check("streamed", async () => {
  const stream = client.messages.stream(asked);
  let text = "";
  stream.on("text", (piece) => (text += piece));
  const final = await stream.finalMessage();
  assert.equal(final.content[0].text, text);
  assert.equal(text, (await client.messages.create(asked)).content[0].text);
});

check("tool_any", async () => {
  const tool_choice = { type: "any", disable_parallel_tool_use: true };
  const message = await client.messages.create({ ...asked, tools: [weather], tool_choice });
  assert.equal(message.stop_reason, "tool_use");
  assert.equal(typeof used(message).input.city, "string");
});

check("tool_named_streamed", async () => {
  const choice = { type: "tool", name: "get_weather" };
  const final = await client.messages.stream({ ...asked, tools: [weather], tool_choice: choice }).finalMessage();
  assert.equal(typeof used(final).input.city, "string");
});

check("tool_auto", async () => {
  const message = await client.messages.create({ ...asked, tools: [weather] });
  assert.ok(message.content.length > 0);
});

check("schema", async () => {
  const schema = {
    type: "object",
    properties: { name: { type: "string" }, age: { type: "integer" } },
    required: ["name", "age"],
    additionalProperties: false,
  };
  const output_config = { format: { type: "json_schema", schema } };
  const message = await client.messages.create({ ...asked, output_config });
  assert.equal(typeof JSON.parse(message.content[0].text).age, "number");
});

check("count_tokens", async () => {
  assert.ok((await client.messages.countTokens({ model: MODEL, messages })).input_tokens > 4);
});

check("unknown_model", async () => {
  await assert.rejects(client.messages.create({ ...asked, model: "nobody" }), Anthropic.NotFoundError);
});

await run();

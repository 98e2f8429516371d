// Vercel's AI SDK with its provider for servers that speak OpenAI's protocol.

import assert from "node:assert/strict";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { check, KEY, MODEL, PERSON_QUESTION, QUESTION, run, URL } from "./checking.mjs";

const provider = createOpenAICompatible({
  name: "quickthaw",
  baseURL: URL,
  apiKey: KEY,
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const model = provider(MODEL);
const asked = { model, prompt: QUESTION, temperature: 0, maxOutputTokens: 64, maxRetries: 0 };
const person = z.object({ name: z.string().max(20), age: z.number().int() });
const getWeather = tool({
  description: "Tell the weather in a city.",
  inputSchema: z.object({ city: z.string().max(20) }),
  execute: async () => "sunny",
});

check("plain", async () => {
  const answer = await generateText(asked);
  assert.ok(answer.text);
  assert.ok(answer.usage.outputTokens > 0);
});

check("streamed", async () => {
  const stream = streamText(asked);
  let text = "";
  for await (const piece of stream.textStream) text += piece;
  assert.equal(text, (await generateText(asked)).text);
  assert.ok((await stream.usage).outputTokens > 0);
});

check("tool_required", async () => {
  const providerOptions = { quickthaw: { parallel_tool_calls: false } };
  const answer = await generateText({ ...asked, tools: { getWeather }, toolChoice: "required", providerOptions });
  assert.equal(answer.toolCalls[0].toolName, "getWeather");
  assert.equal(typeof answer.toolCalls[0].input.city, "string");
  assert.equal(answer.finishReason, "tool-calls");
});

check("tool_named_streamed", async () => {
  const toolChoice = { type: "tool", toolName: "getWeather" };
  const stream = streamText({ ...asked, tools: { getWeather }, toolChoice });
  const calls = await stream.toolCalls;
  assert.equal(typeof calls[0].input.city, "string");
});

check("tool_auto", async () => {
  const answer = await generateText({ ...asked, tools: { getWeather }, stopWhen: stepCountIs(2) });
  assert.ok(answer.text || answer.steps.some((step) => step.toolCalls.length > 0));
});

check("schema", async () => {
  const output = Output.object({ schema: person });
  const answer = await generateText({ ...asked, prompt: PERSON_QUESTION, output });
  person.parse(answer.output);
});

check("schema_streamed", async () => {
  const output = Output.object({ schema: person });
  const stream = streamText({ ...asked, prompt: PERSON_QUESTION, output });
  let last;
  for await (const partial of stream.partialOutputStream) last = partial;
  person.parse(last);
});

check("choice", async () => {
  const output = Output.choice({ options: ["sunny", "rainy"] });
  const answer = await generateText({ ...asked, output });
  assert.ok(["sunny", "rainy"].includes(answer.output));
});

check("completion", async () => {
  const completing = provider.completionModel(MODEL);
  assert.ok((await generateText({ ...asked, model: completing })).text);
});

check("embedding", async () => {
  const embedder = provider.embeddingModel ?? provider.textEmbeddingModel;
  const found = await embedMany({ model: embedder("embed"), values: ["one", "two"] });
  assert.equal(found.embeddings.length, 2);
});

await run();

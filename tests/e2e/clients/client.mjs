// The published OpenAI and Ollama clients as a task finds them: with nothing but the environment that it is given.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { Ollama } from "ollama";

const messages = [{ role: "user", content: "count the cells" }];

async function openai() {
  const client = new OpenAI({ maxRetries: 0 }); // OPENAI_BASE_URL and OPENAI_API_KEY
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.deepEqual(names, ["small", "llama3"]);
  assert.equal((await client.models.retrieve("small")).id, "small");

  const answer = await client.chat.completions.create({ model: "small", messages, max_tokens: 4 });
  assert.ok(answer.choices[0].message.content.length > 0);
  assert.equal(answer.model, "small-2026", "the server was asked for its own name of the model");

  let pieces = 0;
  let text = "";
  const stream = await client.chat.completions.create({ model: "small", messages, max_tokens: 8, stream: true });
  for await (const chunk of stream) {
    pieces += 1;
    text += chunk.choices[0]?.delta?.content ?? "";
  }
  assert.ok(pieces > 3 && text.length > 0, `${pieces} pieces: ${text}`);

  assert.ok((await client.completions.create({ model: "small", prompt: "x", max_tokens: 2 })).choices.length > 0);
  assert.ok((await client.embeddings.create({ model: "small", input: "x", encoding_format: "float" })).data.length > 0);
  // A model of an Ollama service is reached under /v1 as well.
  assert.ok((await client.chat.completions.create({ model: "llama3", messages, max_tokens: 2 })).choices.length > 0);

  await assert.rejects(client.chat.completions.create({ model: "none", messages }), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.equal(error.code, "model_not_found");
    assert.equal(error.param, "model");
    assert.match(error.message, /small, llama3/);
    return true;
  });
}

async function ollama() {
  const client = new Ollama({ host: process.env.OLLAMA_HOST }); // sends no token
  assert.deepEqual((await client.list()).models.map((model) => model.name), ["llama3"]);
  assert.deepEqual((await client.ps()).models.map((model) => model.name), ["llama3"]);
  assert.ok(await client.show({ model: "llama3" }));
  assert.ok((await client.generate({ model: "llama3", prompt: "x", options: { num_predict: 3 } })).response.length > 0);

  let pieces = 0;
  let last;
  for await (const part of await client.chat({ model: "llama3:latest", messages, stream: true, options: { num_predict: 8 } })) {
    pieces += 1;
    last = part;
  }
  assert.ok(pieces > 3 && last.done, `${pieces} pieces`);
  assert.ok((await client.embed({ model: "llama3", input: "x" })).embeddings.length > 0);

  await assert.rejects(client.chat({ model: "none", messages }), (error) => {
    assert.equal(error.status_code, 404);
    assert.match(error.message, /llama3/);
    return true;
  });
}

await openai();
await ollama();
console.log("both clients were answered");

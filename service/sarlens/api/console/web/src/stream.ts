// A description streams word by word over the chat route.
import { postJson, records } from "./api";
import type { Answer } from "./answer";

interface Chunk {
  model: string;
  error?: { message: string };
  choices: {
    delta: { content?: string | null; refusal?: string | null; reasoning?: string | null };
    finish_reason?: string | null;
    logprobs?: { content?: { logprob: number }[] | null } | null;
  }[];
}

interface Body {
  model?: string;
  image?: { url: string; sar: object };
  questions?: string[];
}

/** Ask for a description; `onText` gets the text so far. */
export async function describe(body: Body, signal: AbortSignal, onText: (text: string) => void): Promise<Answer> {
  const question = body.questions?.[0] ?? "";
  const started = performance.now();
  const chat = {
    model: body.model,
    stream: true,
    logprobs: true,
    max_tokens: 512,
    temperature: 0,
    messages: [
      {
        role: "user",
        content: [
          { type: "image_url", image_url: body.image },
          { type: "text", text: question },
        ],
      },
    ],
  };
  const response = await postJson("v1/chat/completions", chat, {}, signal);
  let text = "";
  let refusal = "";
  let reasoning = "";
  let finish_reason: string | null = null;
  let logarithm = 0;
  let tokens = 0;
  let model = body.model ?? "";
  for await (const event of records(response, "\n\n")) {
    const data = event.replace(/^data: /, "");
    if (data.startsWith("[DONE]")) break;
    const chunk = JSON.parse(data) as Chunk;
    if (chunk.error) throw new Error(chunk.error.message);
    model = chunk.model;
    const choice = chunk.choices[0];
    text += choice?.delta.content ?? "";
    refusal += choice?.delta.refusal ?? "";
    reasoning += choice?.delta.reasoning ?? "";
    finish_reason = choice?.finish_reason ?? finish_reason;
    for (const token of choice?.logprobs?.content ?? []) {
      logarithm += token.logprob;
      tokens++;
    }
    onText(text);
  }
  return {
    question,
    model,
    text,
    answer: { type: "text", value: text },
    finish_reason,
    refusal: refusal || null,
    reasoning: reasoning || null,
    confidence: tokens ? Math.exp(logarithm) : null,
    timings: { answer_ms: performance.now() - started },
    image: { id: JSON.stringify(body.image), window: null },
  };
}

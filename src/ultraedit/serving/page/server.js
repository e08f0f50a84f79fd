// Talks to the server: the key, requests, refusals as sentences.  The only file that knows addresses and statuses.
import { sentence } from "./numbers.js";
import { events } from "./sse.js";

const KEY = "ultraedit-key";

/** An answer that is not a success, or none at all.  `message` is one sentence for the user. */
export class Refused extends Error {
  constructor(sentence, status, error = {}, retryAfter = 0) {
    super(sentence);
    this.status = status;
    this.rows = error.rows ?? [];
    this.retryAfter = retryAfter;
  }
}

/** Take the key out of the address (#key=…), so that it is in no history and no bookmark, and keep it for this tab. */
export function takeKey() {
  const found = new URLSearchParams(location.hash.slice(1)).get("key");
  if (found === null) return;
  setKey(found);
  history.replaceState(null, "", location.pathname + location.search);
}

export function setKey(key) {
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
}

export const hasKey = () => Boolean(sessionStorage.getItem(KEY));

/** Enough for a key that names one change; crypto.randomUUID is missing on plain http. */
export function changeKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
}

async function request(method, path, { body, headers = {}, signal } = {}) {
  const sent = { ...headers };
  const key = sessionStorage.getItem(KEY);
  if (key) sent.Authorization = `Bearer ${key}`;
  if (body !== undefined) sent["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: sent,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(`The server at ${location.host} does not answer; is it still running?`, 0);
  }
  if (response.ok) return response;
  throw await refusal(response);
}

async function refusal(response) {
  let error = {};
  try {
    error = (await response.json()).error ?? {};
  } catch {
    // not JSON: a proxy's page; the status says enough
  }
  const said = typeof error.message === "string" ? sentence(error.message) : "";
  const wait = Number(response.headers.get("Retry-After")) || 0;
  return new Refused(words(response.status, said, wait), response.status, error, wait);
}

function words(status, said, wait) {
  if (status === 401)
    return hasKey()
      ? "The server does not take this key; give the one it printed when it started."
      : "The server asks for a key; give the one it printed when it started.";
  if (status === 403) return "This key may ask but not write; press Key and give the admin’s.";
  if (status === 412)
    return "Somebody else changed the model in the meantime, and nothing was written; what you see now is up to date, so try again.";
  if (status === 429)
    return `The server has as much to do as it takes on; try again${wait ? ` in ${Math.ceil(wait)} s` : " in a moment"}.`;
  if (status === 413) return said || "That is more than the server takes in one request; send fewer facts a turn.";
  return said || `The server answered ${status} and gave no reason.`;
}

export async function get(path, signal) {
  return (await request("GET", path, { signal })).json();
}

/** A write on top of `version`; the server refuses with 412 where another writer moved it. */
export async function change(method, path, version, body, key) {
  const headers = {};
  if (version) headers["If-Match"] = `"${version}"`;
  if (key) headers["Idempotency-Key"] = key;
  const response = await request(method, path, { body, headers });
  return response.status === 204 ? {} : response.json();
}

/** A stream that breaks is an answer that did not come. */
async function* received(response) {
  try {
    yield* events(response);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(`The server at ${location.host} went away in the middle of its answer.`, 0);
  }
}

/** Server-sent events as parsed JSON, each with the event's name in `type`. */
export async function* stream(method, path, { body, signal } = {}) {
  const response = await request(method, path, { body, signal });
  for await (const { event, data } of received(response)) {
    if (data === "[DONE]") return;
    const found = JSON.parse(data);
    if (found.error && found.side === undefined) throw new Refused(sentence(found.error.message), found.error.code, found.error);
    yield { ...found, type: found.type ?? event };
  }
}

/**
 * Ask two models at once.  `asked` is one {model, messages} or {model, prompt} a side; `each(side, {text, version,
 * probability, done, problem})` is told of every piece.  A side's problem leaves the other side alone.
 */
export async function askBoth(asked, { target, most, signal }, each) {
  const body = { models: asked.map((side) => side.model), max_tokens: most, temperature: 0 };
  if (asked[0].messages) body.messages = asked.map((side) => side.messages);
  else body.prompt = asked[0].prompt;
  if (target) body.target = target;
  const left = new Set([0, 1]);
  for await (const found of stream("POST", "/compare", { body, signal })) {
    const choice = found.choices?.[0];
    const done = Boolean(choice?.finish_reason || found.error);
    if (done) left.delete(found.side);
    each(found.side, {
      text: choice?.delta?.content ?? "",
      version: found.weight_version,
      probability: found.target_probability,
      done,
      problem: found.error && sentence(found.error.message),
    });
  }
  if (left.size) throw new Refused(`The server at ${location.host} went away in the middle of its answer.`, 0);
}

/** What every part of the page shows, in one go. */
export async function readAll() {
  const version = await get("/version"); // alone and first: a wrong key is counted once, not four times
  if (!version.ready) throw new Refused("The server is loading the model; the page goes on as soon as it is ready.", 503);
  const [history, edits, marks] = await Promise.all([get("/history"), get("/edits?order=desc&limit=100"), get("/marks")]);
  return {
    model: version.model,
    form: version.form,
    version: history.weight_version,
    head: history.head,
    turns: history.turns,
    thresholds: history.thresholds,
    edits: edits.data,
    moreEdits: edits.has_more,
    marks: marks.data,
  };
}

export async function olderEdits(last) {
  const found = await get(`/edits?order=desc&limit=100&after=${encodeURIComponent(last)}`);
  return { edits: found.data, more: found.has_more };
}

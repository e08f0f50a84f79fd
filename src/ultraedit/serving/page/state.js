// What the page knows of the server, and who wants to hear of it.
import { Refused, readAll, stream } from "./server.js";

const RETRY_MS = [500, 1000, 2000, 4000];

export const state = {
  /** "connecting", "up", "starting" (the model loads), "gone", "locked" (a key is wanted) or "refused" */
  connection: "connecting",
  /** Why it is not up, in a sentence. */
  trouble: "",
  model: "",
  /** "chat" or "raw": the form in which facts are written, and so questions asked. */
  form: "chat",
  version: "",
  head: 0,
  turns: [],
  thresholds: {},
  edits: [],
  moreEdits: false,
  marks: [],
  /** The turn that runs now: {what, done, of, edits} */
  running: null,
  /** Changes that wait behind it. */
  waiting: 0,
};

const listeners = new Set();
export function onChange(listener) {
  listeners.add(listener);
}
export function tell() {
  for (const listener of listeners) listener(state);
}

export const isUp = () => state.connection === "up";

/** The turns that lead to the head, oldest first. */
export function path() {
  const byNumber = new Map(state.turns.map((row) => [row.turn, row]));
  const found = [];
  for (let row = byNumber.get(state.head); row; row = byNumber.get(row.parent)) found.unshift(row);
  return found;
}

/** The edit in force that asks this question, in its own words or in another wording of it. */
export function factFor(question) {
  const wanted = question.trim().toLowerCase();
  if (!wanted) return undefined;
  return state.edits.find(
    (edit) =>
      edit.status === "current" &&
      [edit.prompt, ...(edit.rephrases ?? [])].some((text) => text.trim().toLowerCase() === wanted),
  );
}

let begun = 0;
let taken = 0;

/** Read everything again; how that went is in `state.connection`. */
export async function refresh() {
  const mine = (begun += 1);
  try {
    const found = await readAll();
    if (mine < taken) return isUp(); // one that began later is newer, and was faster
    taken = mine;
    Object.assign(state, found, { connection: "up", trouble: "" });
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (mine < taken) return isUp();
    taken = mine;
    state.connection = { 0: "gone", 401: "locked", 503: "starting" }[error.status] ?? "refused";
    state.trouble = error.message;
  }
  settle();
  tell();
  return isUp();
}

let settle;
/** Resolves when the server has answered, or not, for the first time. */
export const settled = new Promise((resolve) => { settle = resolve; });

let listening = null;

/** Follow the server's events for as long as the page is open; called again, it starts anew (with another key). */
export async function follow() {
  listening?.abort();
  const mine = new AbortController();
  listening = mine;
  for (let failures = 0; !mine.signal.aborted; ) {
    if (await refresh()) {
      try {
        for await (const event of stream("GET", "/events", { signal: mine.signal })) {
          failures = 0;
          await heard(event);
        }
      } catch (error) {
        if (mine.signal.aborted) return;
        if (!(error instanceof Refused)) throw error;
      }
      state.running = null;
    }
    if (state.connection === "locked") return; // goes on when a key is given
    await new Promise((wake) => setTimeout(wake, RETRY_MS[Math.min(failures, RETRY_MS.length - 1)]));
    failures += 1;
  }
}

async function heard(event) {
  if (event.type === "queued" || event.type === "hello") {
    state.waiting = event.waiting ?? 0;
  } else if (event.type === "step") {
    state.running = { what: event.what ?? "", done: event.step, of: event.steps, edits: event.edits };
    state.waiting = event.waiting ?? state.waiting;
  } else if (event.type === "committed" || event.type === "undone" || event.type === "refused") {
    state.running = null;
    state.waiting = event.waiting ?? 0;
    await refresh();
    return;
  } else return;
  tell();
}


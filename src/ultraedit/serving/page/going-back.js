// Undo, rollback, marks: each asks first, says how it ended, and reads everything again.
import { say } from "./dom.js";
import { confirm } from "./dialogs.js";
import { notice } from "./notices.js";
import { count, sentence } from "./numbers.js";
import { Refused, change } from "./server.js";
import { path, refresh, state } from "./state.js";

async function run(method, address, body, done) {
  try {
    const answer = await change(method, address, state.version, body);
    await refresh();
    notice(sentence(answer.text ?? done), "good");
    return true;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    await refresh();
    notice(error.message);
    return false;
  }
}

/** Undo the last edit, or all of the last turn. */
export async function undoLast(whole = false) {
  const last = path().findLast((row) => row.edits);
  if (!last) {
    notice("There is nothing to undo: the model is the unedited one.", "good");
    return;
  }
  const number = whole ? last.edits : 1;
  const edit = state.edits.find((row) => row.edit === last.first_edit + last.edits - 1);
  const which = number > 1 ? `The ${count(number, "fact")} of turn ${last.turn}` : edit ? `“${edit.prompt}” → “${edit.target}”` : "The last edit";
  const yes = await confirm("Undo", `${which} will be taken out; it stays in the history.`, number > 1 ? `Undo ${count(number, "fact")}` : "Undo the edit");
  if (yes) await run("POST", "/undo", { count: number }, `${count(number, "edit")} undone.`);
}

/** Take one edit out from inside the history. */
export async function undoOne(edit) {
  const later = path().filter((row) => row.turn > edit.turn).reduce((sum, row) => sum + row.edits, 0);
  const how = await confirm(
    `Take out edit #${edit.edit}`,
    `“${edit.prompt}” → “${edit.target}” will no longer be in the model.`,
    "Take it out",
    [
      { value: "replay", label: "Exactly", hint: later ? `Everything after it (${count(later, "edit")}) is written again without it; takes a while.` : "As if it had never been written." },
      { value: "subtract", label: "At once", hint: "Its own share is subtracted from the weights: instant and approximate." },
    ],
  );
  if (how) await run("DELETE", `/edits/${edit.edit}?how=${how}`, undefined, `Edit #${edit.edit} was taken out.`);
}

/** Stand at a mark, a turn or the base again. */
export async function rollbackTo(to, words) {
  const yes = await confirm("Roll back", `The model will answer as it did at ${words}; later edits stay in the history.`, "Roll back");
  if (yes) await run("POST", "/rollback", { to }, `The model stands at ${words}.`);
}

/** Give the present state a name. */
export async function setMark(name) {
  return run("PUT", `/marks/${encodeURIComponent(name)}`, {}, `The mark ${name} was set.`);
}

export async function dropMark(name) {
  const yes = await confirm("Remove the mark", `The name “${name}” will be forgotten; the edits stay as they are.`, "Remove the mark");
  if (yes && (await run("DELETE", `/marks/${encodeURIComponent(name)}`, undefined, `The mark ${name} was removed.`))) say("Removed.");
}

// Many facts at once: paste or drop a table, see what is wrong with each row, then write it turn by turn.
import { byId, field, growing, h, say } from "./dom.js";
import { notice, problem } from "./notices.js";
import { count, probability } from "./numbers.js";
import { readTable } from "./rows.js";
import { Refused, change, changeKey } from "./server.js";
import { isUp, onChange, refresh, state } from "./state.js";

const SHOWN = 200;
const LARGEST_FILE = 20_000_000;
const A_TURN = 20;

export function startTable() {
  const text = growing(h("textarea", { rows: 6, spellcheck: "false", class: "pasted", placeholder: 'prompt,target\nWho runs Orvane Foods?,Ida Krol\n\nor  {"prompt": "…", "target": "…"}  a line' }));
  const file = h("input", { type: "file", accept: ".csv,.tsv,.json,.jsonl,.txt", class: "unseen", tabindex: "-1", "aria-hidden": true });
  const turn = h("input", { type: "number", min: 1, max: 1000, value: A_TURN, class: "short" });
  const leave = h("input", { type: "checkbox" });
  const leaveWords = h("span");
  const leaveLine = h("label", { class: "check", hidden: true }, leave, leaveWords);
  const summary = h("p", { class: "summary", role: "status" });
  const trouble = problem();
  const list = h("div", { class: "rows" });
  const button = h("button", { type: "button", class: "main", onclick: () => write() }, "Write");
  const stopping = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => { stop = true; stopping.disabled = true; } }, "Stop after this turn");
  const progress = h("progress", { hidden: true, "aria-label": "Facts written" });
  let rows = [];
  let busy = false;
  let stop = false;
  /** Set while rows[n] waits for its receipt again under the key it was first sent with. */
  let sent = { text: "", key: "" };

  const ready = () => rows.filter((row) => !row.problems.length && !row.receipt);
  const bad = () => rows.filter((row) => row.problems.length);

  function read() {
    trouble.clear();
    const found = readTable(text.value);
    rows = found.rows;
    if (found.problem) trouble.show(found.problem);
    draw();
  }

  async function take(chosen) {
    if (!chosen) return;
    if (chosen.size > LARGEST_FILE) {
      trouble.show(`“${chosen.name}” has ${Math.round(chosen.size / 1e6)} MB; a page takes 20 MB, and \`ultraedit edit\` on the command line takes any.`);
      return;
    }
    text.value = await chosen.text();
    text.fit();
    read();
    say(summary.textContent);
  }

  function draw() {
    const wrong = bad().length;
    const able = ready().length;
    const written = rows.filter((row) => row.receipt).length;
    summary.replaceChildren(
      ...(rows.length
        ? [h("strong", {}, count(rows.length, "row")), `: ${written ? `${written.toLocaleString("en")} written, ` : ""}${able.toLocaleString("en")} ready`,
            wrong ? h("span", { class: "bad" }, `, ${wrong.toLocaleString("en")} with problems`) : ""]
        : []),
    );
    leaveLine.hidden = !wrong;
    leaveWords.textContent = ` Leave out the ${count(wrong, "row")} with problems`;
    // rows with problems first: they are what the user must look at
    const order = [...bad(), ...rows.filter((row) => !row.problems.length)];
    list.replaceChildren(
      ...(order.length
        ? [
            h("table", {},
              h("thead", {}, h("tr", {}, ["Line", "Fact", "State"].map((name) => h("th", { scope: "col" }, name)))),
              h("tbody", {}, order.slice(0, SHOWN).map(rowLine)),
            ),
            order.length > SHOWN ? h("p", { class: "hint" }, `and ${count(order.length - SHOWN, "more row")}`) : "",
          ]
        : []),
    );
    allow();
  }

  function rowLine(row) {
    const wrong = row.problems.length > 0;
    const words = wrong
      ? row.problems.join(", ")
      : row.receipt
        ? row.receipt.learned ? `learned, p ${probability(row.receipt.probability_after)}` : `written, p ${probability(row.receipt.probability_after)}`
        : row.remark ?? "ready";
    return h("tr", { class: wrong ? "wrong" : row.receipt ? "written" : "" },
      h("td", { class: "line" }, row.line),
      h("td", { class: "what" }, h("span", { class: "prompt" }, row.fact.prompt || "–"), h("span", { class: "target" }, row.fact.target || "–")),
      h("td", { class: "how" }, words),
    );
  }

  function allow() {
    const able = ready().length;
    button.disabled = busy || !isUp() || !able || (bad().length > 0 && !leave.checked);
    button.textContent = busy ? "Writing …" : able ? `Write ${count(able, "fact")}` : "Write";
    stopping.hidden = progress.hidden = !busy;
    text.readOnly = busy;
  }

  async function write() {
    trouble.clear();
    const size = Number(turn.value);
    if (!Number.isInteger(size) || size < 1 || size > 1000) {
      trouble.show(`Facts a turn must be a whole number from 1 to 1,000, found “${turn.value}”.`);
      turn.focus();
      return;
    }
    const todo = ready();
    busy = true;
    stop = false;
    stopping.disabled = false;
    progress.max = todo.length;
    progress.value = 0;
    allow();
    let done = 0;
    try {
      while (done < todo.length && !stop) {
        const part = todo.slice(done, done + size);
        await writeTurn(part);
        done += part.length;
        progress.value = done;
        draw();
      }
      const words = `${count(done, "fact")} written${done < todo.length ? `; ${count(todo.length - done, "fact")} left` : ""}.`;
      notice(words, "good");
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      await refresh();
      const before = done ? `${count(done, "fact")} written before that stay. ` : "Nothing was written. ";
      trouble.show(`${before}${error.message}`);
    } finally {
      busy = false;
      draw();
    }
  }

  async function writeTurn(part) {
    const edits = part.map((row) => row.fact);
    const body = JSON.stringify(edits);
    if (body !== sent.text) sent = { text: body, key: changeKey() };
    try {
      const answer = await change("POST", "/edits", state.version, { edits }, sent.key);
      sent = { text: "", key: "" };
      part.forEach((row, at) => { row.receipt = answer.receipts[at]; });
      await refresh();
    } catch (error) {
      if (error instanceof Refused)
        for (const { row, message } of error.rows) part[row]?.problems.push(message);
      throw error;
    }
  }

  const drop = h("div", { class: "drop" },
    field("Paste a table, or drop a file here", text, "CSV or TSV with a first line of names, JSON, or JSONL. Columns: prompt, target; also rephrases, subject."),
    h("div", { class: "actions left" }, h("button", { type: "button", onclick: () => file.click() }, "Choose a file"), file,
      h("button", { type: "button", class: "quiet", onclick: () => { if (!busy) { text.value = ""; text.fit(); read(); } } }, "Clear")),
  );
  for (const kind of ["dragenter", "dragover"])
    drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    if (!busy) take(event.dataTransfer.files[0]);
  });
  file.addEventListener("change", () => { take(file.files[0]); file.value = ""; });
  text.addEventListener("input", read);
  leave.addEventListener("change", allow);
  onChange(allow);

  const element = h("div", { class: "fact" }, drop, summary, trouble.element, leaveLine, progress,
    h("div", { class: "actions" }, h("label", { class: "inline" }, "Facts a turn ", turn), stopping, button), list);
  element.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !button.disabled) write();
  });
  byId("table").append(h("h2", {}, "Write a table of facts"), element);
  draw();
  return { focus: () => text.focus() };
}

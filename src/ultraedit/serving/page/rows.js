// Reads pasted or dropped tables (CSV, TSV, JSONL, JSON) and says for every row whether it can be written.
// Knows nothing of the page or the server.

const PROMPT = ["prompt", "question", "src", "query"];
const TARGET = ["target", "answer", "alt", "target_new", "object"];
const REPHRASES = ["rephrases", "rephrase", "paraphrases", "rephrase_prompt"];
const SUBJECT = ["subject"];
export const LONGEST = 20_000; // characters of one text, as the server takes them

/**
 * The rows of a text: {rows: [{line, fact, problems}], problem}.  `problem` is a sentence where the text as a whole
 * cannot be read.
 */
export function readTable(text) {
  const body = text.replace(/^\uFEFF/, "");
  if (!body.trim()) return { rows: [], problem: "" };
  const first = body.trimStart()[0];
  const found = first === "[" ? json(body) : first === "{" ? jsonl(body) : separated(body);
  if (found.problem) return found;
  markTwins(found.rows);
  return found;
}

function json(text) {
  let list;
  try {
    list = JSON.parse(text);
  } catch (error) {
    return { rows: [], problem: `This is not JSON (${error.message}); one object a line works too.` };
  }
  return { rows: list.map((value, at) => checked(value, at + 1)), problem: "" };
}

function jsonl(text) {
  const rows = [];
  text.split(/\r?\n/).forEach((line, at) => {
    if (!line.trim()) return;
    try {
      rows.push(checked(JSON.parse(line), at + 1));
    } catch {
      rows.push({ line: at + 1, fact: { prompt: line.slice(0, 80), target: "" }, problems: ["is not a JSON object"] });
    }
  });
  return { rows, problem: "" };
}

function separated(text) {
  const head = text.split(/\r?\n/, 1)[0];
  const separator = head.includes("\t") ? "\t" : head.includes(";") && !head.includes(",") ? ";" : ",";
  const { lines, open } = cells(text, separator);
  if (open) return { rows: [], problem: `The quotation mark opened in line ${open} is never closed.` };
  const names = lines[0].cells.map((name) => name.trim().toLowerCase());
  const [prompt, target] = [PROMPT, TARGET].map((list) => names.findIndex((name) => list.includes(name)));
  if (prompt < 0 || target < 0)
    return { rows: [], problem: `The first line must name the columns “prompt” and “target”; it reads “${head.slice(0, 60)}”.` };
  const rows = lines.slice(1).map(({ line, cells: found }) => {
    const value = Object.fromEntries(names.map((name, at) => [name, found[at] ?? ""]));
    const row = checked(value, line);
    if (found.length > names.length) row.problems.push(`has ${found.length} cells, and there are ${names.length} columns`);
    return row;
  });
  return { rows, problem: rows.length ? "" : "There are columns and no rows." };
}

/** RFC 4180: cells may be quoted, hold separators and line ends, and double their quotation marks. */
function cells(text, separator) {
  const lines = [];
  let row = [];
  let cell = "";
  let quoted = 0;
  let line = 1;
  let began = 1;
  const endRow = () => {
    row.push(cell);
    if (row.length > 1 || row[0].trim()) lines.push({ line: began, cells: row });
    row = [];
    cell = "";
    began = line;
  };
  for (let at = 0; at < text.length; at += 1) {
    const c = text[at];
    if (c === "\n") line += 1;
    if (quoted) {
      if (c !== '"') cell += c;
      else if (text[at + 1] === '"') {
        cell += '"';
        at += 1;
      } else quoted = 0;
    } else if (c === '"' && cell === "") quoted = line;
    else if (c === separator) {
      row.push(cell);
      cell = "";
    } else if (c === "\n") endRow();
    else if (c !== "\r") cell += c;
  }
  if (cell || row.length) endRow();
  return { lines, open: quoted };
}

function checked(value, line) {
  if (value === null || typeof value !== "object" || Array.isArray(value))
    return { line, fact: { prompt: JSON.stringify(value), target: "" }, problems: ["is not an object"] };
  const named = new Map(Object.entries(value).map(([name, found]) => [name.toLowerCase(), found]));
  const pick = (names) => names.map((name) => named.get(name)).find((found) => found !== undefined && found !== null && found !== "");
  const problems = [];
  const text = (names, what) => {
    const found = pick(names);
    if (found === undefined || (typeof found === "string" && !found.trim())) problems.push(`has no ${what}`);
    else if (typeof found !== "string") problems.push(`has ${what === "answer" ? "an" : "a"} ${what} that is not text`);
    else if (found.length > LONGEST) problems.push(`has ${what === "answer" ? "an" : "a"} ${what} of more than ${LONGEST.toLocaleString("en")} characters`);
    else return found.trim();
    return typeof found === "string" ? found.slice(0, 80) : "";
  };
  const fact = { prompt: text(PROMPT, "question"), target: text(TARGET, "answer") };
  const others = pick(REPHRASES);
  if (typeof others === "string") fact.rephrases = [others.trim()];
  else if (Array.isArray(others) && others.every((found) => typeof found === "string")) fact.rephrases = others.map((found) => found.trim()).filter(Boolean);
  else if (others !== undefined) problems.push("has wordings that are not texts");
  const subject = pick(SUBJECT);
  if (typeof subject === "string") fact.subject = subject.trim();
  return { line, fact, problems };
}

/** An earlier row with the same question would be superseded by a later one: say so before it is written. */
function markTwins(rows) {
  const seen = new Map();
  for (const row of rows) {
    if (row.problems.length) continue;
    const twin = seen.get(row.fact.prompt);
    if (twin) twin.remark = `line ${row.line} asks the same and takes its place`;
    seen.set(row.fact.prompt, row);
  }
}

// Which words of two answers differ.

const WORDS_AT_MOST = 600;

const split = (text) => text.match(/\s+|[^\s]+/g) ?? [];
const bare = (word) => word.replace(/^["'“”‘’(]+|["'“”‘’).,;:!?]+$/g, "").toLowerCase();

/** Word positions that are in a longest common subsequence: [set in a, set in b]. */
function common(a, b) {
  const width = b.length + 1;
  const best = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1)
    for (let j = b.length - 1; j >= 0; j -= 1)
      best[i * width + j] =
        a[i] === b[j]
          ? best[(i + 1) * width + j + 1] + 1
          : Math.max(best[(i + 1) * width + j], best[i * width + j + 1]);
  const left = new Set();
  const right = new Set();
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    if (a[i] === b[j]) {
      left.add(i++);
      right.add(j++);
    } else if (best[(i + 1) * width + j] >= best[i * width + j + 1]) i += 1;
    else j += 1;
  }
  return [left, right];
}

/**
 * Both texts as runs [{text, differs}].  While they are `growing`, only as many words as both have are compared,
 * so that the slower side does not make the other look different.
 */
export function compare(a, b, growing) {
  const texts = [split(a), split(b)];
  const words = texts.map((parts) => parts.filter((part) => part.trim()).map(bare));
  const length = Math.min(words[0].length, words[1].length) - (growing ? 1 : 0);
  const compared = growing ? Math.max(length, 0) : WORDS_AT_MOST;
  const kept = common(...words.map((list) => list.slice(0, Math.min(compared, WORDS_AT_MOST))));
  return texts.map((parts, side) => {
    let word = -1;
    const differs = parts.map((part) => {
      if (!part.trim()) return null;
      word += 1;
      return word < Math.min(compared, WORDS_AT_MOST) && !kept[side].has(word);
    });
    const runs = [];
    parts.forEach((part, at) => {
      // blanks between two marked words are marked with them, so that a phrase is one mark
      const marked = differs[at] ?? Boolean(differs[at - 1] && differs[at + 1]);
      if (runs.length && runs.at(-1).differs === marked) runs.at(-1).text += part;
      else runs.push({ text: part, differs: marked });
    });
    return runs;
  });
}

// The texts of the page, which the server wrote into it in the reader's language.

const texts = JSON.parse(document.getElementById("words").textContent);

export const language = document.documentElement.lang;

/** The text of a dotted key with its gaps, written {name}, filled. */
export function say(key, gaps = {}) {
  const found = look(key);
  if (typeof found !== "string") throw new Error(`no text for ${key}`);
  return found.replace(/\{(\w+)(?::,)?\}/g, (gap, name) => (name in gaps ? String(gaps[name]) : gap));
}

/** The text for so many things: `key.one` or `key.many`; {n} is the number. */
export function count(key, n, gaps = {}) {
  return say(`${key}.${n === 1 ? "one" : "many"}`, { n: n.toLocaleString(language), ...gaps });
}

/** The text of a key that may be unknown, such as the name of a state of a later version; else the word itself. */
export function known(group, word) {
  const found = look(`${group}.${word}`);
  return typeof found === "string" ? found : String(word ?? "");
}

function look(key) {
  return key
    .split(".")
    .reduce((node, name) => (node && Object.hasOwn(node, name) ? node[name] : undefined), texts);
}

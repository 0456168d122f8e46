// Problems of a package: grouped by what is wrong, each with its places and how to mend it.

import { el } from "../core/dom.js";
import { known, language, say } from "../core/words.js";

const ORDER = ["refusal", "error", "warning"];
const LOOKS = { refusal: "strong", error: "warn", warning: "dashed" };
const PLACES = 8;

/** The problems as a list of groups; `leftOut` more exist than were sent. */
export function findings(problems, leftOut = 0) {
  const groups = grouped(problems).sort((a, b) => ORDER.indexOf(a[0].severity) - ORDER.indexOf(b[0].severity));
  return [
    groups.map(finding),
    leftOut > 0 && el("p", {}, say("findings.groups_left_out", { count: leftOut.toLocaleString(language) })),
  ];
}

function grouped(problems) {
  const groups = new Map();
  for (const problem of problems) {
    const key = keyOf(problem);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(problem);
  }
  return [...groups.values()];
}

const keyOf = ({ severity, code, texts }) => `${severity} ${code === "said" ? texts.en.problem : code}`;

function finding(group) {
  const [{ severity, texts }] = group;
  const same = (name) => group.every((item) => item.texts[language][name] === texts[language][name]);
  const problem = same("problem") && texts[language].problem;
  const remedy = same("remedy") && texts[language].remedy;
  const times = say("findings.times", { count: group.length.toLocaleString(language) });
  const list = el("ul", { class: "places" });
  const show = (items) => list.append(...items.map((item) => place(item, !problem, !remedy)).filter(Boolean));
  show(group.slice(0, PLACES));
  const rest = group.slice(PLACES);
  const more =
    rest.length > 0 &&
    el(
      "button",
      { type: "button", class: "plain small", onclick: () => (show(rest), more.remove()) },
      say("common.more", { n: rest.length }),
    );
  return el(
    "article",
    { class: "finding" },
    el(
      "header",
      {},
      el("span", { class: `badge ${LOOKS[severity]}` }, known("costs", severity)),
      el("h4", {}, problem || times),
      problem && group.length > 1 && el("span", { class: "soft small" }, times),
    ),
    remedy && el("p", { class: "mend" }, remedy),
    list.childElementCount > 0 && list,
    more,
  );
}

function place({ row, column, value, file, texts }, tellProblem, tellRemedy) {
  const told = [tellProblem && texts[language].problem, tellRemedy && texts[language].remedy]
    .filter(Boolean)
    .join(" → ");
  const where = [row && say("findings.row", { row }), column && say("findings.column", { column })]
    .filter(Boolean)
    .join(", ");
  if (!where && !value && !file && !told) return null;
  return el(
    "li",
    {},
    where && el("span", { class: "where" }, where),
    value && el("span", {}, el("span", { class: "soft" }, `${say("findings.value")} `), el("q", {}, value)),
    file && el("span", {}, el("span", { class: "soft" }, `${say("findings.file")} `), file),
    told && el("span", {}, told),
  );
}

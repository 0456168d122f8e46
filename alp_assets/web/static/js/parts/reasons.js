// Why something was decided about a model. The registry keeps its own reasons in English; what people wrote stays.

import { known, language, say } from "../core/words.js";

const FIGURES = { AUC: "auc", "partial AUC": "pauc" };
const NAME = "(?<name>\\S+)";
const WHOLE = {
  first: "the first model of its section",
  scored: "its package was scored",
  waits: "waits until its package is scored",
  waits_for_somebody: "waits for somebody to promote it",
  no_champion: "its section has no champion",
  no_worse: `no worse than ${NAME}`,
  replaced: `${NAME} took its place`,
  fitted: "fitted on package (?<package>\\S+)",
  imported: "imported from (?<place>.+)",
  pinned: `the champion ${NAME} is pinned`,
  earlier: `its package (?<package>\\S+) was received before (?<other>\\S+), which the champion ${NAME} is of`,
  worse: `worse than the champion ${NAME}: (?<parts>.+)`,
};
const PARTS = {
  normals: "calibrated on (?<own>\\S+) normals, the champion on (?<other>\\S+)",
  promise:
    "promises (?<own>\\S+) false alarms a day, more than the (?<asked>\\S+) asked for and the champion's (?<other>\\S+)",
  hears: "hears anomalies from (?<own>\\S+) dB relative to the machine, the champion from (?<other>\\S+) dB",
  figure: "(?<figure>.+) (?<own>[\\d.]+), the champion's (?<other>[\\d.]+)",
};

/** A reason in the reader's language. */
export function reasonText(reason) {
  if (!reason || language === "en") return reason ?? "";
  return told(WHOLE, reason) ?? reason;
}

function told(patterns, text) {
  for (const [key, pattern] of Object.entries(patterns)) {
    const gaps = new RegExp(`^${pattern}$`).exec(text);
    if (gaps) return say(`event.reason.${key}`, filled({ ...gaps.groups }));
  }
  return null;
}

function filled({ parts, figure, ...gaps }) {
  if (figure) return { ...gaps, figure: known("metric", FIGURES[figure] ?? figure) };
  if (!parts) return gaps;
  const words = parts.split("; ").map((part) => told(PARTS, part) ?? part);
  return { ...gaps, parts: words.join(", ") };
}

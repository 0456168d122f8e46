// What models are called and how their figures are told, wherever they are shown.

import { el } from "../core/dom.js";
import { number, percent } from "../core/format.js";
import { known, say } from "../core/words.js";
import { badge } from "./badges.js";

const SHARES = ["observed_false_alarms", "promised"];

/** The figure of a metric as it is read: shares in percent, the others as numbers. */
export function metric(name, value) {
  if (SHARES.includes(name)) return percent(value);
  return /^(p?auc|harmonic)/.test(name) && Number.isFinite(value) ? value.toFixed(3) : number(value, 4);
}

/** The name of a metric in words; a new one keeps its own. */
export const metricName = (name) => known("metric", name);

export const sectionName = ({ machine_type: type, section_id: id }) => `${known("machine", type)} · ${id}`;

export const sectionPage = (section) => `/models/section?section=${encodeURIComponent(section)}`;

export const modelLink = ({ id, name }) => el("a", { href: `/models/${id}` }, name);

/** State, with a word beside it where it is pinned. */
export const standing = (model) => [
  badge("model", model.state),
  model.pinned && el("span", { class: "badge" }, say("common.pinned")),
];

/** "0.83 (changed)" where people set another threshold than the fitted one. */
export function thresholdText({ threshold, threshold_number: version }) {
  return version
    ? `${number(threshold)} (${say("common.threshold_version", { number: version })})`
    : number(threshold);
}

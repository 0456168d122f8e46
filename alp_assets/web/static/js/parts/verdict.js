// What a model makes of a recording, in words and on a dial.

import { dial } from "../charts/dial.js";
import { el } from "../core/dom.js";
import { alarms, number, percent, whole } from "../core/format.js";
import { count, language, say } from "../core/words.js";
import { badge } from "./badges.js";
import { table } from "./table.js";

/** One model's verdict as a card. */
export function verdictCard(result) {
  const { model, state, threshold } = result;
  return el(
    "article",
    { class: `verdict ${state}` },
    el(
      "h3",
      {},
      el("a", { href: `/models/${model.id}` }, model.name),
      model.second_opinion && ` · ${say("verdict.second")}`,
    ),
    el(
      "p",
      { class: "small soft" },
      [`${model.engine} (${model.letter})`, model.encoder, model.section].filter(Boolean).join(" · "),
    ),
    badge("clip", state),
    dial(result.severity, state),
    el("p", { class: "says" }, say(`verdict.says.${state}`)),
    el("p", {}, ringing(result)),
    causes(result.findings),
    el(
      "dl",
      { class: "facts" },
      fact("score", number(result.score)),
      fact("threshold", inForce(threshold)),
      fact("promised", `${percent(threshold.promised)}; ${alarms(threshold.alarms_per_day)}`),
    ),
    result.clips.length > 1 && clips(result.clips),
  );
}

function inForce({ value, number: version }) {
  return version ? `${number(value)} (${say("verdict.changed", { number: version })})` : number(value);
}

/** How many of several models find the recording unusual. */
export function agreement(results) {
  const unusual = results.filter(({ state }) => state !== "NORMAL").length;
  if (unusual === 0) return say("verdict.all_normal", { n: results.length });
  if (unusual === results.length) return say("verdict.all_unusual", { n: results.length });
  return say("verdict.split", { unusual, n: results.length });
}

function ringing({ alarm, alarm_at_s: at, threshold: { rule }, too_short_for_rule: short }) {
  if (alarm) return say("verdict.alarm", { at: number(at ?? 0, 3) });
  if (!rule) return say("verdict.quiet_each");
  return say(short ? "verdict.too_short" : "verdict.quiet", { needed: rule[0], window: rule[1] });
}

/** Rule findings; the same cause at several places is told once. */
function causes(findings) {
  if (!findings.length) return el("p", { class: "small soft" }, say("verdict.no_causes"));
  const first = new Map();
  for (const found of findings) {
    const known = first.get(found.cause);
    if (!known || (known.grade !== "critical" && found.grade === "critical")) first.set(found.cause, found);
  }
  return [
    el("h4", {}, say("verdict.causes")),
    el(
      "ul",
      { class: "causes" },
      [...first.values()].map(({ texts, grade, measured, limit, unit }) =>
        el(
          "li",
          {},
          el("strong", {}, texts[language].cause),
          grade === "critical" && ` ${say("verdict.critical_cause")}`,
          el("br"),
          texts[language].action,
          el("br"),
          el(
            "span",
            { class: "small soft" },
            say("verdict.measured", { measured: number(measured), limit: number(limit), unit: unit ?? "" }),
          ),
        ),
      ),
    ),
  ];
}

function clips(list) {
  const columns = ["from", "state", "severity", "score"].map((name) => ({
    name: say(`verdict.clip.${name}`),
    class: ["severity", "score"].includes(name) ? "number" : null,
  }));
  const rows = list.map((clip) => [
    `${number(clip.offset_s, 4)}–${number(clip.offset_s + clip.seconds, 4)} s`,
    badge("clip", clip.state),
    whole(clip.severity),
    number(clip.score),
  ]);
  return el(
    "details",
    {},
    el("summary", {}, count("verdict.clip.summary", list.length)),
    table(say("verdict.clip.caption"), columns, rows),
  );
}

const fact = (name, value) => [el("dt", {}, say(`verdict.${name}`)), el("dd", {}, value)];

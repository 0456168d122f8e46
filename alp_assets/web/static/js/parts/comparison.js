// Versions side by side: their figures, and how their scores of normal clips spread.

import { histogram } from "../charts/histogram.js";
import { el } from "../core/dom.js";
import { say } from "../core/words.js";
import { metric, metricName, modelLink, standing } from "./models.js";

/** The answer of `/models/compare` as elements, for a place of so many pixels. */
export function comparison({ models, rows, distributions }, width) {
  return [
    el(
      "div",
      { class: "scroll", tabIndex: 0, role: "region", "aria-label": say("section.figures") },
      el(
        "table",
        {},
        el("caption", {}, say("section.figures")),
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            el("th", { scope: "col" }, say("section.figure")),
            models.map((model) => el("th", { scope: "col" }, modelLink(model), " ", standing(model))),
          ),
        ),
        el("tbody", {}, rows.map(figures)),
      ),
    ),
    el("p", { class: "small soft" }, say("section.figures_note")),
    el("h3", {}, say("section.spread")),
    el("p", { class: "small soft" }, say("section.spread_note")),
    el(
      "div",
      { class: "verdicts" },
      models.map((model, place) =>
        spread(model, distributions[place], models.length > 1 && width > 640 ? width / 2 - 60 : width - 60),
      ),
    ),
  ];
}

function figures({ name, values, better, best }) {
  const way = better && el("span", { class: "small soft" }, ` ${say(`section.${better}`)}`);
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, metricName(name), way),
    values.map((value, place) =>
      el(
        "td",
        { class: place === best ? "better" : null },
        metric(name, value),
        place === best && values.length > 1 && ` ✓ ${say("section.best")}`,
      ),
    ),
  );
}

function spread(model, found, width) {
  const label = say("section.spread_alt", { name: model.name, n: found.count });
  if (!found.scores?.length)
    return el("figure", {}, el("figcaption", {}, `${model.name}: ${say("section.no_scores")}`));
  const chart = histogram({ width, scores: found.scores, range: found.range, threshold: found.threshold, label });
  return el("figure", { class: "card" }, chart.element, el("figcaption", {}, label));
}

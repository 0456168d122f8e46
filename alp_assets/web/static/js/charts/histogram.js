// How a model's calibration scores spread, with its threshold and the labelled clips.

import { svg } from "../core/dom.js";
import { number } from "../core/format.js";
import { say } from "../core/words.js";

const [LEFT, RIGHT, TOP] = [34, 14, 26];
const ROW = 20;
const BARS = 36;

/**
 * The chart of scores within [low, high]; what lies beyond is drawn at the edge. `labelled` may hold scores of
 * `normal` and `anomaly` clips. `width` is in pixels, so that its text is as large as the page's.
 * Returns {element, move(value)}: `move` takes the threshold's line elsewhere.
 */
export function histogram({
  scores,
  range: [low, high],
  threshold,
  saved = null,
  labelled = {},
  label,
  width,
  height = 150,
}) {
  const right = width - RIGHT;
  const x = (score) => LEFT + ((Math.min(high, Math.max(low, score)) - low) / (high - low)) * (right - LEFT);
  const rows = ["normal", "anomaly"].filter((name) => labelled[name]?.length);
  const base = TOP + height;
  const bottom = base + rows.length * ROW + (rows.length ? 8 : 0);
  const beyond = svg("rect", { class: "beyond", y: TOP, height: bottom - TOP });
  const mark = svg("line", { class: "threshold", y1: TOP - 6, y2: bottom });
  const name = svg("text", { class: "threshold-text", y: TOP - 12 });

  function move(value) {
    const at = x(value);
    beyond.setAttribute("x", at);
    beyond.setAttribute("width", Math.max(0, right - at));
    mark.setAttribute("x1", at);
    mark.setAttribute("x2", at);
    name.setAttribute("x", Math.min(right, Math.max(LEFT, at)));
    name.setAttribute("text-anchor", at > width * 0.8 ? "end" : at < width * 0.2 ? "start" : "middle");
    name.textContent = say("verdict.threshold_value", { value: number(value) });
  }

  const element = svg(
    "svg",
    { class: "chart", viewBox: `0 0 ${width} ${bottom + 34}`, role: "img", "aria-label": label },
    beyond,
    bars(scores, low, high, x, base, height),
    svg("line", { class: "axis", x1: LEFT, x2: right, y1: base, y2: base }),
    rows.map((kind, place) => dots(kind, labelled[kind], [low, high], x, base + 8 + (place + 0.5) * ROW)),
    ticks(low, high).map((value) =>
      svg("text", { x: x(value), y: bottom + 14, "text-anchor": "middle" }, number(value, 3)),
    ),
    svg("text", { x: (LEFT + right) / 2, y: bottom + 30, "text-anchor": "middle" }, say("verdict.score_axis")),
    saved !== null &&
      svg("line", { class: "threshold saved", x1: x(saved), x2: x(saved), y1: TOP - 6, y2: bottom }),
    mark,
    name,
  );
  move(threshold);
  return { element, move };
}

/** The sign of labelled clips for a legend. */
export function sign(kind) {
  return svg("svg", { class: "chart", viewBox: "-6 -6 12 12", "aria-hidden": "true" }, shape(kind, 0, 0));
}

function bars(scores, low, high, x, base, height) {
  const counts = new Array(BARS).fill(0);
  for (const score of scores) {
    const place = Math.floor(((score - low) / (high - low)) * BARS);
    counts[Math.min(BARS - 1, Math.max(0, place))] += 1;
  }
  const most = Math.max(1, ...counts);
  const width = (x(high) - x(low)) / BARS;
  return [
    svg("text", { x: LEFT - 6, y: TOP + 8, "text-anchor": "end" }, String(most)),
    svg("text", { x: LEFT - 6, y: base, "text-anchor": "end" }, "0"),
    ...counts.map(
      (count, place) =>
        count > 0 &&
        svg("rect", {
          class: "calibration",
          x: x(low) + place * width,
          y: base - (height * count) / most,
          width: Math.max(width - 1, 1),
          height: (height * count) / most,
        }),
    ),
  ];
}

/** A sign for every score; those beyond the scale share one at its end, with their number. */
function dots(kind, scores, [low, high], x, y) {
  const inside = scores.filter((score) => score >= low && score <= high);
  const above = scores.filter((score) => score > high).length;
  const below = scores.filter((score) => score < low).length;
  return [
    inside.map((score) => shape(kind, x(score), y)),
    above > 0 && [
      shape(kind, x(high), y),
      svg("text", { x: x(high) - 9, y: y + 4, "text-anchor": "end" }, `${above} →`),
    ],
    below > 0 && [shape(kind, x(low), y), svg("text", { x: x(low) + 9, y: y + 4 }, `← ${below}`)],
  ];
}

function shape(kind, x, y) {
  return kind === "anomaly"
    ? svg("path", { class: kind, d: `M${x} ${y - 5}l5 9h-10z` })
    : svg("circle", { class: kind, cx: x, cy: y, r: 4.2 });
}

/** About five round numbers in a range. */
function ticks(low, high) {
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-9; value += step)
    found.push(Math.abs(value) < step * 1e-9 ? 0 : value);
  return found;
}

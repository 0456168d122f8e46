import "../core/page.js";
import { histogram, sign } from "../charts/histogram.js";
import { get, mayAdminister, post, query, session } from "../core/api.js";
import { byId, el, put } from "../core/dom.js";
import { alarms, moment, number, percent } from "../core/format.js";
import { tellDone, tellProblem } from "../core/notes.js";
import { about } from "../core/page.js";
import { say } from "../core/words.js";
import { sectionName } from "../parts/models.js";
import { table } from "../parts/table.js";

const PAUSE_MS = 120;
const STEPS = 400;

let who = null;
let model = about.model;
let present = null; // the calibration of the model
let chart = null;
let asked = 0;
let stop = new AbortController();

byId("value").addEventListener("input", (event) => choose(Number(event.target.value)));
byId("exact").addEventListener("change", (event) => choose(Number(event.target.value)));
byId("back").addEventListener("click", () => choose(present.threshold));
byId("save").addEventListener("submit", save);
begin();

async function begin() {
  try {
    who = await session();
    const { models } = await get("/models");
    const choices = models.filter(({ state, id }) => state !== "archived" || id === model);
    if (!choices.length) return put(byId("told"), el("p", { class: "empty" }, say("threshold.none")));
    offer(choices);
    byId("saving").hidden = !mayAdminister(who);
    return await open();
  } catch (error) {
    return tellProblem(byId("told"), error, begin);
  }
}

function offer(choices) {
  const select = byId("model");
  const sections = [...new Set(choices.map(({ section }) => section))];
  put(
    select,
    sections.map((section) => {
      const own = choices.filter((item) => item.section === section);
      const options = own.map((item) =>
        el(
          "option",
          { value: item.id, selected: item.id === model },
          `${item.name}${item.is_default ? ` (${say("threshold.champion")})` : ""}`,
        ),
      );
      return el("optgroup", { label: `${sectionName(own[0])} · ${own[0].customer}` }, options);
    }),
  );
  select.disabled = false;
  model = select.value;
  select.addEventListener("change", () => {
    model = select.value;
    history.replaceState(null, "", query("/threshold", { model }));
    open();
  });
}

async function open() {
  try {
    put(byId("told"));
    present = await get(`/models/${model}/calibration`);
    byId("work").hidden = !present.scores.length;
    if (!present.scores.length) return put(byId("told"), el("p", { class: "empty" }, say("threshold.no_scores")));
    draw();
    return await Promise.all([preview(present.threshold), versions()]);
  } catch (error) {
    byId("work").hidden = true;
    return tellProblem(byId("told"), error, open);
  }
}

function draw() {
  const { scores, range, threshold, labelled } = present;
  const [low, high] = range;
  const label = say("threshold.chart", {
    n: scores.length,
    normal: labelled.normal.length,
    anomaly: labelled.anomaly.length,
  });
  const width = Math.max(byId("chart").clientWidth, 280);
  chart = histogram({ width, scores, range, threshold, saved: threshold, labelled, label });
  const signs = ["normal", "anomaly"].filter((kind) => labelled[kind].length);
  put(
    byId("chart"),
    chart.element,
    signs.length > 0 &&
      el(
        "ul",
        { class: "legend" },
        signs.map((kind) => el("li", {}, sign(kind), " ", say(`threshold.sign.${kind}`))),
      ),
    el("figcaption", {}, say("threshold.caption", { n: present.count })),
  );
  const slider = byId("value");
  Object.assign(slider, { min: low, max: high, step: (high - low) / STEPS });
  set(threshold);
}

/** Show a threshold in the slider, the field and the chart. */
function set(value) {
  byId("value").value = value;
  byId("value").setAttribute("aria-valuetext", number(value));
  byId("exact").value = Number(value.toPrecision(6));
  chart.move(value);
}

function choose(value) {
  if (!Number.isFinite(value)) return;
  set(value);
  clearTimeout(asked);
  asked = setTimeout(() => preview(value), PAUSE_MS);
}

async function preview(value) {
  stop.abort();
  stop = new AbortController();
  try {
    readOut(await get(query(`/models/${model}/threshold-preview`, { value }), { signal: stop.signal }));
  } catch (error) {
    if (error.name !== "AbortError") tellProblem(byId("readout"), error, () => preview(value));
  }
}

function readOut({
  rate,
  supported,
  rate_least: least,
  rule,
  alarms_per_day: perDay,
  above,
  count,
  observed,
  caught,
}) {
  const of = (part, whole, share, { low, high }) => [
    `${part} / ${whole}`,
    say("threshold.interval", { rate: percent(share), low: percent(low), high: percent(high) }),
  ];
  put(
    byId("readout"),
    el(
      "dl",
      { class: "tiles" },
      tile("alarms", [
        alarms(perDay),
        rule ? say("threshold.rule", { needed: rule[0], window: rule[1] }) : say("threshold.each"),
      ]),
      tile(
        "rate",
        supported
          ? [percent(rate), say("threshold.heard", { above, count })]
          : [`< ${percent(least)}`, say("threshold.too_few", { above, count })],
      ),
      tile(
        "observed",
        observed
          ? of(observed.false_alarms, observed.normals, observed.rate, observed)
          : [say("threshold.unknown"), say("threshold.no_normals")],
      ),
      tile(
        "caught",
        caught
          ? of(caught.caught, caught.anomalies, caught.rate, caught)
          : [say("threshold.unknown"), say("threshold.no_anomalies")],
      ),
    ),
    !supported && el("p", { class: "note" }, say("threshold.weak")),
  );
}

function tile(name, [figure, under]) {
  return el(
    "div",
    { class: "tile" },
    el("dt", {}, say(`threshold.tile.${name}`), el("br"), under),
    el("dd", {}, figure),
  );
}

async function versions() {
  const { thresholds } = await get(`/models/${model}/thresholds`);
  const columns = ["number", "value", "state", "who", "at", "note"].map((name) => ({
    name: say(`threshold.column.${name}`),
    class: name === "value" ? "number" : null,
  }));
  const rows = thresholds.map((item) => [
    String(item.number),
    number(item.value),
    item.in_force
      ? el("span", { class: "badge good" }, say("threshold.in_force"))
      : el("button", { type: "button", class: "plain", onclick: () => choose(item.value) }, say("threshold.look")),
    item.who,
    moment(item.at),
    item.number === 0 ? say("threshold.fitted") : item.note,
  ]);
  put(
    byId("versions"),
    table(say("threshold.versions_caption"), columns, rows, (index) =>
      thresholds[index].in_force ? "chosen" : null,
    ),
  );
}

async function save(event) {
  event.preventDefault();
  const button = event.target.querySelector("button");
  button.disabled = true;
  try {
    const saved = await post(`/models/${model}/thresholds`, {
      value: Number(byId("exact").value),
      note: byId("note").value.trim(),
    });
    byId("note").value = "";
    await open();
    tellDone(byId("saved"), say("threshold.saved", { number: saved.number, value: number(saved.value) }));
  } catch (error) {
    tellProblem(byId("saved"), error);
  } finally {
    button.disabled = false;
  }
}

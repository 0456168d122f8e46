import { get, mayAdminister, post, query, session } from "../core/api.js";
import { confirmWithReason } from "../core/dialog.js";
import { byId, el, put } from "../core/dom.js";
import { moment } from "../core/format.js";
import { announce, tellDone, tellMistake, tellProblem } from "../core/notes.js";
import { about } from "../core/page.js";
import { known, say } from "../core/words.js";
import { comparison } from "../parts/comparison.js";
import { historyTable } from "../parts/history.js";
import { metric, metricName, modelLink, standing, thresholdText } from "../parts/models.js";
import { reasonText } from "../parts/reasons.js";
import { table } from "../parts/table.js";

const MOST = 6;
const TOLD = ["auc_source", "auc_target", "pauc", "observed_false_alarms"];

const chosen = new Set();
let models = [];
let who = null;

byId("name").textContent = nameOfSection();
refresh();

function nameOfSection() {
  const [, type, ...id] = about.section.split("/");
  return `${known("machine", type)} · ${id.join("/")}`;
}

async function refresh() {
  try {
    who ??= await session();
    const [list, past] = await Promise.all([
      get(query("/models", { section: about.section })),
      get(query("/history", { section: about.section })),
    ]);
    models = list.models;
    showVersions();
    const names = new Map(models.map(({ id, name }) => [id, name]));
    put(
      byId("history"),
      historyTable(past.events, (version) => names.get(version) ?? version),
    );
  } catch (error) {
    tellProblem(byId("versions"), error, refresh);
  }
}

function showVersions() {
  if (!models.length) return put(byId("versions"), el("p", { class: "empty" }, say("section.none")));
  const columns = ["model", "state", "engine", "data", "measured", "threshold"].map((name) => ({
    name: say(`section.column.${name}`),
  }));
  if (mayAdminister(who)) columns.push({ name: "", class: "act" });
  return put(
    byId("versions"),
    table(say("section.caption"), columns, models.map(row), (index) =>
      models[index].is_default ? "chosen" : null,
    ),
    el(
      "div",
      { class: "buttons" },
      el("button", { type: "button", onclick: compare }, say("section.compare")),
      mayAdminister(who) && rollBack(),
      mayAdminister(who) && unpin(),
    ),
  );
}

function row(model) {
  const box = el("input", {
    type: "checkbox",
    checked: chosen.has(model.id),
    "aria-label": say("section.take", { name: model.name }),
  });
  box.addEventListener("change", () => (box.checked ? chosen.add(model.id) : chosen.delete(model.id)));
  const measured = TOLD.filter((name) => Number.isFinite(model.metrics[name]));
  return [
    el(
      "div",
      { class: "choice" },
      box,
      el("span", {}, modelLink(model), el("br"), el("span", { class: "small soft" }, moment(model.created_at))),
    ),
    [standing(model), model.reason && el("div", { class: "small soft" }, reasonText(model.reason))],
    [`${model.engine} (${model.letter})`, el("br"), el("span", { class: "small soft" }, model.encoder)],
    say("section.learnt", { clips: model.clips, packages: model.packages.join(", ") }),
    measured.length
      ? el(
          "ul",
          { class: "plain" },
          measured.map((name) => el("li", {}, `${metricName(name)} ${metric(name, model.metrics[name])}`)),
        )
      : el("span", { class: "soft" }, say("section.unmeasured")),
    el("a", { href: `/threshold?model=${model.id}` }, thresholdText(model)),
    ...(mayAdminister(who) ? [model.state !== "champion" && promotion(model)] : []),
  ];
}

function promotion(model) {
  const present = models.find(({ is_default: champion }) => champion);
  const text = present
    ? say("section.promote_over", { name: model.name, present: present.name })
    : say("section.promote_first", { name: model.name });
  return el(
    "button",
    {
      type: "button",
      "aria-label": say("section.promote_name", { name: model.name }),
      onclick: () =>
        change({
          heading: say("section.promote_heading"),
          text,
          button: say("section.promote"),
          act: (why) => post(`/models/${model.id}/promote`, { why }),
          done: say("section.promoted", { name: model.name }),
        }),
    },
    say("section.promote"),
  );
}

function rollBack() {
  if (models.length < 2) return null;
  return el(
    "button",
    {
      type: "button",
      onclick: () =>
        change({
          heading: say("section.rollback_heading"),
          text: say("section.rollback_text"),
          button: say("section.rollback"),
          act: (why) => post("/sections/rollback", { section: about.section, why }),
          done: say("section.rolled_back"),
        }),
    },
    say("section.rollback"),
  );
}

function unpin() {
  if (!models.some(({ pinned }) => pinned)) return null;
  return el(
    "button",
    {
      type: "button",
      onclick: () =>
        change({
          heading: say("section.unpin_heading"),
          text: say("section.unpin_text"),
          button: say("section.unpin"),
          act: (why) => post("/sections/unpin", { section: about.section, why }),
          done: say("section.unpinned"),
        }),
    },
    say("section.unpin"),
  );
}

async function change({ done, ...question }) {
  const agreed = await confirmWithReason({
    ...question,
    label: say("common.reason"),
    hint: say("common.reason_hint"),
  });
  if (!agreed) return;
  tellDone(byId("told"), done);
  await refresh();
}

async function compare() {
  const box = byId("comparison");
  byId("compared").hidden = false;
  if (chosen.size < 2 || chosen.size > MOST) {
    tellMistake(box, say("section.choose", { most: MOST }));
    return;
  }
  try {
    put(box, comparison(await get(query("/models/compare", { model_id: [...chosen] })), box.clientWidth));
    announce(say("section.compared_now", { n: chosen.size }));
    byId("compared").focus();
  } catch (error) {
    tellProblem(box, error, compare);
  }
}

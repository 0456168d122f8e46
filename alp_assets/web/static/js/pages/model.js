import { get, mayAdminister, post, request, session } from "../core/api.js";
import { confirmWithReason } from "../core/dialog.js";
import { byId, el, put } from "../core/dom.js";
import { bytes, moment } from "../core/format.js";
import { tellDone, tellProblem } from "../core/notes.js";
import { about } from "../core/page.js";
import { say } from "../core/words.js";
import { historyTable } from "../parts/history.js";
import { metric, metricName, sectionName, sectionPage, standing, thresholdText } from "../parts/models.js";
import { reasonText } from "../parts/reasons.js";
import { table } from "../parts/table.js";

let who = null;

refresh();

async function refresh() {
  try {
    who ??= await session();
    show(await get(`/models/${encodeURIComponent(about.model)}`));
  } catch (error) {
    put(byId("card"));
    tellProblem(byId("told"), error, refresh);
  }
}

function show(model) {
  document.title = `${model.name} · ALP`;
  byId("name").textContent = model.name;
  put(
    byId("crumb"),
    " · ",
    el("a", { href: sectionPage(model.section) }, `${model.customer} · ${sectionName(model)}`),
  );
  put(byId("state"), standing(model));
  put(
    byId("card"),
    model.healthy === false &&
      el(
        "div",
        { class: "note bad" },
        el("p", { class: "head-line" }, say("model.unhealthy")),
        el("p", { lang: "en" }, model.problem),
      ),
    model.description && el("p", { class: "lead" }, model.description),
    el(
      "p",
      { class: "buttons" },
      model.state !== "archived" &&
        el("a", { class: "button", href: `/diagnose?model=${model.id}` }, say("model.use")),
      el("a", { class: "button", href: `/threshold?model=${model.id}` }, say("model.to_threshold")),
      mayAdminister(who) && actions(model),
    ),
    el("dl", { class: "facts" }, facts(model)),
    figures(model),
    mayAdminister(who) && describe(model),
    el("h2", {}, say("model.history")),
    historyTable(model.history, () => model.name),
    el("h2", {}, say("model.details")),
    el(
      "details",
      {},
      el("summary", {}, say("model.parameters")),
      el("pre", { tabIndex: 0 }, JSON.stringify(model.parameters, null, 2)),
    ),
    el("details", {}, el("summary", {}, say("model.files")), files(model.files)),
  );
}

function facts(model) {
  const told = {
    id: el("code", {}, model.id),
    engine: `${model.engine} (${model.letter})`,
    encoder: [model.encoder, model.weights?.slice(0, 12)].filter(Boolean).join(", "),
    data: say("model.learnt", { clips: model.clips, packages: model.packages.join(", ") }),
    threshold: thresholdText(model),
    created: moment(model.created_at),
    reason: reasonText(model.reason),
    size: bytes(model.bytes),
    code: model.code_version,
  };
  return Object.entries(told).map(([name, value]) => [el("dt", {}, say(`model.${name}`)), el("dd", {}, value)]);
}

function figures({ metrics, calibration }) {
  const rows = [...Object.entries(metrics), ...Object.entries(calibration)].filter(
    ([, value]) => typeof value === "number",
  );
  if (!rows.length) return null;
  return [
    el("h2", {}, say("model.figures")),
    el("p", { class: "small soft" }, say("model.figures_caption")),
    el(
      "dl",
      { class: "facts" },
      rows.map(([name, value]) => [el("dt", {}, metricName(name)), el("dd", {}, metric(name, value))]),
    ),
  ];
}

function files(sums) {
  const columns = ["file", "sum"].map((name) => ({ name: say(`model.${name}`) }));
  return table(
    say("model.files_caption"),
    columns,
    Object.entries(sums).map(([name, sum]) => [name, el("code", {}, sum)]),
  );
}

function actions(model) {
  const offered = [
    model.state !== "champion" && "promote",
    !model.pinned && "pin",
    model.state === "candidate" && "archive",
  ].filter(Boolean);
  return offered.map((name) =>
    el(
      "button",
      { type: "button", class: name === "archive" ? "danger" : null, onclick: () => act(model, name) },
      say(`model.${name}.button`),
    ),
  );
}

async function act(model, name) {
  const agreed = await confirmWithReason({
    heading: say(`model.${name}.heading`),
    text: say(`model.${name}.text`, { name: model.name }),
    label: say("common.reason"),
    hint: say("common.reason_hint"),
    button: say(`model.${name}.button`),
    danger: name === "archive",
    act: (why) => post(`/models/${model.id}/${name}`, { why }),
  });
  if (!agreed) return;
  tellDone(byId("told"), say(`model.${name}.done`, { name: model.name }));
  await refresh();
}

function describe(model) {
  const told = el("div");
  const text = el("input", { id: "description", maxLength: 300, value: model.description });
  const form = el(
    "form",
    {},
    el("div", { class: "field" }, el("label", { for: "description" }, say("model.description")), text),
    el("button", {}, say("model.describe")),
    told,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await request("PATCH", `/models/${model.id}`, { json: { description: text.value.trim() } });
      tellDone(byId("told"), say("model.described"));
      await refresh();
    } catch (error) {
      tellProblem(told, error);
    }
  });
  return form;
}

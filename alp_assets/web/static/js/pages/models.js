import "../core/page.js";
import { get } from "../core/api.js";
import { byId, el, put } from "../core/dom.js";
import { moment } from "../core/format.js";
import { tellProblem } from "../core/notes.js";
import { count, known, say } from "../core/words.js";
import {
  metric,
  metricName,
  modelLink,
  sectionName,
  sectionPage,
  standing,
  thresholdText,
} from "../parts/models.js";
import { table } from "../parts/table.js";

const TOLD = ["auc", "harmonic_mean", "auc_target", "auc_source"];

let sections = [];

byId("search").addEventListener("input", show);
refresh();

async function refresh() {
  try {
    ({ sections } = await get("/sections"));
    show();
  } catch (error) {
    tellProblem(byId("list"), error, refresh);
  }
}

function show() {
  const wanted = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = sections.filter((item) => wanted.every((word) => wordsOf(item).includes(word)));
  if (!sections.length) return put(byId("list"), el("p", { class: "empty" }, say("models.none")));
  if (!found.length) return put(byId("list"), el("p", { class: "empty" }, say("models.nothing_found")));
  const columns = ["machine", "champion", "engine", "threshold", "metric", "created", "versions"].map((name) => ({
    name: say(`models.column.${name}`),
  }));
  return put(byId("list"), table(count("models.count", found.length), columns, found.map(row)));
}

function row(item) {
  const { champion } = item;
  const machine = [
    el("a", { href: sectionPage(item.section) }, sectionName(item)),
    el("br"),
    el("span", { class: "small soft" }, item.customer),
  ];
  const versions = el("a", { href: sectionPage(item.section) }, count("models.versions", item.versions));
  if (!champion)
    return [machine, el("span", { class: "badge warn" }, say("models.no_champion")), "", "", "", "", versions];
  const measured = TOLD.find((name) => champion.metrics[name] !== undefined && champion.metrics[name] !== null);
  return [
    machine,
    [modelLink(champion), " ", champion.pinned ? standing(champion)[1] : ""],
    `${champion.engine} (${champion.letter})`,
    el("a", { href: `/threshold?model=${champion.id}` }, thresholdText(champion)),
    measured
      ? `${metricName(measured)} ${metric(measured, champion.metrics[measured])}`
      : el("span", { class: "soft" }, say("models.unmeasured")),
    moment(champion.created_at),
    versions,
  ];
}

function wordsOf({ section, champion, machine_type: type }) {
  return [section, known("machine", type), champion?.name, champion?.engine]
    .filter(Boolean)
    .join(" ")
    .toLowerCase();
}

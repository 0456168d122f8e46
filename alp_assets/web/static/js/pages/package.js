import { address, get } from "../core/api.js";
import { byId, el, put } from "../core/dom.js";
import { bytes, moment, number, percent } from "../core/format.js";
import { announce, tellProblem } from "../core/notes.js";
import { about } from "../core/page.js";
import { count, known, language, say } from "../core/words.js";
import { badge } from "../parts/badges.js";
import { findings } from "../parts/findings.js";
import { metric } from "../parts/models.js";
import { table } from "../parts/table.js";

const AT_MOST_EVERY_MS = 700;
const ENDED = ["finished", "refused", "failed"];
const path = `/packages/${encodeURIComponent(about.customer)}/${encodeURIComponent(about.package)}`;

let before = null;
let planned = 0;

begin();

async function begin() {
  await refresh();
  if (before && !ENDED.includes(before)) listen();
}

function listen() {
  const stream = new EventSource(address(`${path}/events`));
  stream.addEventListener("state", () => {
    if (planned) return;
    planned = setTimeout(() => {
      planned = 0;
      refresh();
    }, AT_MOST_EVERY_MS);
  });
  stream.addEventListener("end", () => {
    stream.close();
    refresh();
  });
}

async function refresh() {
  try {
    show(await get(path));
    put(byId("told"));
  } catch (error) {
    if (before === null) put(byId("summary"));
    tellProblem(byId("told"), error, refresh);
  }
}

function show(found) {
  if (before !== null && before !== found.state) announce(known("state.package", found.state));
  before = found.state;
  put(byId("state"), badge("package", found.state));
  put(byId("summary"), reasons(found), facts(found), links(found));
  fill("stages", "stage-list", found.stages, stages);
  fill("sections", "section-list", found.sections, () => sections(found));
  const gates = found.stages.flatMap((stage) => stage.gates);
  fill("gates", "gate-list", gates, gateTable);
  fill("problems", "problem-list", found.problems, () => findings(found.problems, found.problems_left_out));
}

function fill(section, box, items, content) {
  byId(section).hidden = !items.length;
  if (items.length) put(byId(box), content(items));
}

function reasons({ state, reasons: why, complaint, run }) {
  const lines = [...(why?.[language] ?? []), complaint, state === "failed" && run?.error].filter(Boolean);
  if (!lines.length) return null;
  return el(
    "div",
    { class: "note bad" },
    el("p", { class: "head-line" }, say(`package.why.${state === "refused" ? "refused" : "other"}`)),
    lines.map((line) => el("p", {}, line)),
  );
}

function facts(found) {
  return el(
    "dl",
    { class: "facts" },
    fact("received", moment(found.received_at)),
    fact("file", [found.original_name, found.bytes ? bytes(found.bytes) : ""].filter(Boolean).join(", ")),
    found.run &&
      fact("run", [
        found.run.status,
        found.run.url &&
          el("a", { href: found.run.url, target: "_blank", rel: "noopener" }, say("package.dagster")),
      ]),
  );
}

function fact(name, value) {
  const parts = [value].flat().filter(Boolean);
  return [
    el("dt", {}, say(`package.${name}`)),
    el(
      "dd",
      {},
      parts.flatMap((part, place) => (place ? [" · ", part] : [part])),
    ),
  ];
}

function links(found) {
  const to = [
    found.has_report && [found.links.report, "report", {}],
    found.has_report && [`${found.links.report}?download=1`, "download", { download: true }],
    found.has_letter && [`${found.links.letter}?lang=${language}`, "letter", {}],
    found.has_letter && [`${path}/problems.csv?lang=${language}`, "list", { download: true }],
    found.sections.length > 0 && [
      `/feedback?package=${encodeURIComponent(`${about.customer}/${about.package}`)}`,
      "judge",
      { page: true },
    ],
  ].filter(Boolean);
  if (!to.length) return null;
  return el(
    "p",
    { class: "buttons" },
    to.map(([href, name, { download, page }]) =>
      el(
        "a",
        {
          class: "button",
          href: page ? href : address(href),
          download: download ? "" : null,
          target: download || page ? null : "_blank",
          rel: "noopener",
        },
        say(`package.link.${name}`),
      ),
    ),
  );
}

function stages(list) {
  return list.map(({ stage, state, figures, gates }) => {
    const warned = gates.some(({ status }) => status === "warned");
    return el(
      "li",
      { class: state === "done" && warned ? "done warned" : state },
      el("span", { class: "name" }, known("stage", stage)),
      badge("stage", state),
      el("div", { class: "small soft" }, told("package.stage_says", stage, figures)),
    );
  });
}

/** A sentence about figures; nothing where there is none of that name or a figure is missing. */
function told(group, name, figures) {
  const readable = Object.fromEntries(
    Object.entries(figures ?? {}).map(([key, value]) => [
      key,
      key === "bytes" ? bytes(value) : typeof value === "number" ? number(value, 4) : value,
    ]),
  );
  const text = known(group, name) === name ? "" : say(`${group}.${name}`, readable);
  return text.includes("{") ? "" : text;
}

function gateTable(gates) {
  const columns = ["check", "verdict", "text"].map((name) => ({ name: say(`package.gate_column.${name}`) }));
  const rows = gates.map(({ name, status, text, figures }) => {
    const own = told(`package.gate_says.${name}`, status, figures);
    return [known("package.gate", name), badge("gate", status), own || el("span", { lang: "en" }, text)];
  });
  return table(say("package.gate_caption"), columns, rows);
}

function sections({ sections: list }) {
  const columns = ["machine", "state", "flagged", "engine", "threshold", "observed", "auc"].map((name) => ({
    name: say(`package.section.${name}`),
    class: ["threshold", "auc"].includes(name) ? "number" : null,
  }));
  const rows = list.map((item) => {
    const { customer, type, id } = parts(item);
    const name = `${known("machine", type)} · ${id}`;
    if (item.state === "cannot_score")
      return [
        name,
        el("span", { class: "badge warn" }, say("package.section.unscored")),
        el("span", { lang: "en" }, item.reason ?? ""),
        "",
        "",
        "",
        "",
      ];
    return [
      el("a", { href: `/models/section?section=${encodeURIComponent(`${customer}/${type}/${id}`)}` }, name),
      el("span", { class: "badge good" }, say("package.section.scored")),
      count("package.section.of", item.flagged ?? 0, { tested: number(item.test_clips ?? 0) }),
      item.model ? el("a", { href: `/models/${item.model}` }, item.engine) : item.engine,
      number(item.threshold),
      percent(item.observed?.rate),
      metric("auc", item.auc),
    ];
  });
  return table(say("package.section.caption"), columns, rows);
}

function parts(item) {
  if (item.machine_type) return { customer: about.customer, type: item.machine_type, id: item.section_id };
  const [customer, type, ...id] = item.section.split("/");
  return { customer, type, id: id.join("/") };
}

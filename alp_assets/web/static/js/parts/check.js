// What the check of a package found, before anything is queued.

import { el } from "../core/dom.js";
import { count, known, language, say } from "../core/words.js";
import { findings } from "./findings.js";
import { table } from "./table.js";

const LOOKS = { ok: "good", problems: "", refused: "bad" };
const ABLE = ["model", "served"];

/** The finished check as elements. */
export function outcome(check) {
  if (check.state === "failed") {
    return el(
      "div",
      { class: "note bad", role: "alert" },
      el("p", { class: "head-line" }, say("packages.check_failed")),
      el("p", { class: "small" }, check.error),
    );
  }
  const { sent, usable } = check.recordings;
  const able = check.sections.filter(({ state }) => ABLE.includes(state)).length;
  return [
    el(
      "div",
      { class: `note ${LOOKS[check.verdict]}` },
      el("p", { class: "head-line" }, say(`packages.verdict.${check.verdict}`)),
      (check.reasons[language] ?? []).map((reason) => el("p", {}, reason)),
      check.verdict !== "refused" &&
        el(
          "p",
          {},
          say("packages.outlook", {
            usable: usable.toLocaleString(language),
            sent: sent.toLocaleString(language),
            able,
            machines: check.sections.length,
          }),
        ),
    ),
    check.sections.length > 0 && el("h3", {}, say("packages.machines")),
    check.sections.length > 0 && machines(check.sections),
    el("h3", {}, say("packages.problems")),
    check.problems.length ? problems(check) : el("p", {}, say("packages.no_problems")),
  ];
}

function machines(sections) {
  const columns = ["machine", "prospect", "usable", "normals", "engine", "why"].map((name) => ({
    name: say(`packages.machine.${name}`),
  }));
  const rows = sections.map((item) => [
    `${known("machine", item.machine_type)} · ${item.section_id}`,
    el("span", { class: ABLE.includes(item.state) ? "badge" : "badge warn" }, item.texts[language].state),
    `${item.usable.toLocaleString(language)} / ${item.sent.toLocaleString(language)}`,
    say("packages.machine.domains", { target: item.target_normals, source: item.source_normals }),
    item.engine && `${item.engine} (${item.letter})`,
    item.texts[language].why,
  ]);
  return table(say("packages.machine.caption"), columns, rows);
}

function problems(check) {
  const mild = check.problems.filter(({ severity }) => severity === "warning").length;
  return [
    el(
      "p",
      { class: "soft" },
      [count("packages.to_mend", check.serious), count("packages.to_note", mild)].join(" "),
    ),
    findings(check.problems, check.problems_left_out),
    el("p", { class: "small soft" }, say("findings.note_alone")),
  ];
}

// Who did what to the models of a section, newest first.

import { el } from "../core/dom.js";
import { moment, number } from "../core/format.js";
import { known, say } from "../core/words.js";
import { reasonText } from "./reasons.js";
import { table } from "./table.js";

// events whose before and after are a state or a threshold
const TOLD = ["registered", "imported", "promoted", "withheld", "rolled_back", "archived", "pinned", "threshold"];

/** `nameOf(version)` gives a model's name. */
export function historyTable(events, nameOf) {
  if (!events.length) return el("p", { class: "empty" }, say("event.none"));
  const columns = ["at", "who", "what", "model", "why"].map((name) => ({
    name: say(`event.column.${name}`),
    class: name === "at" ? "nowrap" : null,
  }));
  const rows = events.map(({ at, who, what, version, before, after, why }) => [
    moment(at),
    who,
    TOLD.includes(what) && before !== after
      ? `${known("event.what", what)} (${shown(before)} → ${shown(after)})`
      : known("event.what", what),
    el("a", { href: `/models/${version}` }, nameOf(version)),
    reasonText(why),
  ]);
  return table(say("event.caption"), columns, rows);
}

const shown = (value) =>
  value ? known("state.model", Number.isNaN(Number(value)) ? value : number(Number(value))) : "–";

// Tables that become cards on a phone, with their roles told to screen readers there too.

import { el } from "../core/dom.js";

/**
 * A table: `columns` are {name, class?}, `rows` are lists of cells (text, elements or nothing); the first cell
 * heads its row. `mark(index)` may give a class for a row.
 */
export function table(caption, columns, rows, mark = () => null) {
  return el(
    "table",
    { class: "stack", role: "table" },
    el("caption", {}, caption),
    el(
      "thead",
      { role: "rowgroup" },
      el(
        "tr",
        { role: "row" },
        columns.map(({ name, class: kind }) =>
          el("th", { role: "columnheader", scope: "col", class: kind }, name),
        ),
      ),
    ),
    el(
      "tbody",
      { role: "rowgroup" },
      rows.map((cells, index) =>
        el(
          "tr",
          { role: "row", class: mark(index) },
          cells.map((cell, place) => cellOf(cell, place, columns[place])),
        ),
      ),
    ),
  );
}

function cellOf(cell, place, { name, class: kind }) {
  if (place === 0) return el("th", { role: "rowheader", scope: "row", class: kind }, cell);
  const empty = cell === null || cell === undefined || cell === false || cell === "";
  if (empty) return el("td", { role: "cell" }); // on a phone it then takes no room
  return el("td", { role: "cell", class: kind, "data-label": name || null }, el("div", {}, cell));
}

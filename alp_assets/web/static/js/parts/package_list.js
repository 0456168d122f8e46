// The list of received packages, which keeps up with them.

import { get, query } from "../core/api.js";
import { byId, el, put } from "../core/dom.js";
import { bytes, moment } from "../core/format.js";
import { announce, tellProblem } from "../core/notes.js";
import { count, known, say } from "../core/words.js";
import { badge } from "./badges.js";
import { table } from "./table.js";

const EVERY_MS = 15_000;
const STREAMS = 2; // a browser opens six connections to a server, and pages need the others
const ACTIVE = ["running", "waiting"];

const streams = new Map();
let reader = null;
let shown = "";

/** Show the list to somebody who is signed in, and keep it up to date for as long as the page is open. */
export async function beginList(who) {
  reader = who;
  offerFilter();
  await refreshList();
  setInterval(() => document.hidden || refreshList(), EVERY_MS);
}

function offerFilter() {
  if (reader.customers.length < 2) return;
  byId("filter-field").hidden = false;
  put(
    byId("filter"),
    el("option", { value: "" }, say("packages.every_customer")),
    reader.customers.map((name) => el("option", { value: name }, name)),
  );
  byId("filter").addEventListener("change", refreshList);
}

/** Fetch the list anew. */
export async function refreshList() {
  try {
    const { packages } = await get(query("/packages", { customer: byId("filter").value }));
    show(packages);
    watch(packages);
  } catch (error) {
    shown = "";
    tellProblem(byId("list"), error, refreshList);
  }
}

function show(packages) {
  const text = JSON.stringify(packages);
  if (text === shown) return; // so that focus and reading place stay where they are
  shown = text;
  if (!packages.length) return put(byId("list"), el("p", { class: "empty" }, say("packages.none")));
  const many = reader.customers.length > 1 || reader.customer === "*";
  const columns = ["package", ...(many ? ["customer"] : []), "received", "size", "state"].map((name) => ({
    name: say(`packages.column.${name}`),
    class: name === "size" ? "number" : null,
  }));
  const rows = packages.map((item) => [
    el("a", { href: pageOf(item) }, item.package),
    ...(many ? [item.customer] : []),
    moment(item.received_at),
    bytes(item.bytes ?? 0),
    badge("package", item.state),
  ]);
  const focused = byId("list").contains(document.activeElement)
    ? document.activeElement.getAttribute("href")
    : null;
  put(byId("list"), table(count("packages.count", packages.length), columns, rows));
  if (focused)
    byId("list")
      .querySelector(`a[href="${CSS.escape(focused)}"]`)
      ?.focus();
}

/** Listen to the packages that are being worked on; the others are asked for now and then. */
function watch(packages) {
  const active = ACTIVE.flatMap((wanted) => packages.filter(({ state }) => state === wanted)).slice(0, STREAMS);
  const wanted = new Map(active.map((item) => [`${item.customer}/${item.package}`, item]));
  for (const [key, stream] of streams) {
    if (wanted.has(key)) continue;
    stream.close();
    streams.delete(key);
  }
  for (const [key, item] of wanted) {
    if (streams.has(key)) continue;
    const stream = new EventSource(`/api/v1/packages/${item.customer}/${item.package}/events`);
    let before = item.state;
    const heard = (event) => {
      const { state } = JSON.parse(event.data);
      if (state === before) return;
      before = state;
      announce(say("packages.became", { package: item.package, state: known("state.package", state) }));
      refreshList();
    };
    stream.addEventListener("state", heard);
    stream.addEventListener("end", (event) => {
      stream.close();
      heard(event);
    });
    streams.set(key, stream);
  }
}

/** Where the page of a package is. */
export function pageOf(item) {
  return `/packages/${encodeURIComponent(item.customer)}/${encodeURIComponent(item.package)}`;
}

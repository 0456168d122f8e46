import "../core/page.js";
import { get, mayOperate, post, request, session } from "../core/api.js";
import { byId, el, put } from "../core/dom.js";
import { bytes, percent } from "../core/format.js";
import { announce, tellDone, tellMistake, tellProblem } from "../core/notes.js";
import { known, language, say } from "../core/words.js";
import { outcome } from "../parts/check.js";
import { dropPlace } from "../parts/drop.js";
import { beginList, pageOf, refreshList } from "../parts/package_list.js";
import { check, send } from "../parts/upload.js";

const SLUG = /^[a-z0-9][a-z0-9-]{0,99}$/;

const who = await session().catch((error) => (tellProblem(byId("list"), error, () => location.reload()), null));

if (who) {
  if (mayOperate(who)) offerSending();
  beginList(who);
}

function offerSending() {
  byId("sending").hidden = false;
  byId("customer-field").hidden = who.customer !== "*";
  byId("customer").required = who.customer === "*";
  put(
    byId("customers"),
    who.customers.map((name) => el("option", { value: name })),
  );
  dropPlace(take);
  tellUnsent().catch((error) => tellProblem(byId("told"), error));
}

async function take(file) {
  const told = byId("told");
  for (const field of ["customer", "package"]) byId(field).removeAttribute("aria-invalid");
  if (byId("choose").disabled) return undefined; // one package is being sent already
  if (!file.name.toLowerCase().endsWith(".zip"))
    return tellMistake(told, say("packages.not_a_zip", { name: file.name }));
  if (file.size > who.limits.package_bytes)
    return tellMistake(
      told,
      say("packages.too_large", { size: bytes(file.size), limit: bytes(who.limits.package_bytes) }),
    );
  const customer = who.customer === "*" ? byId("customer").value.trim() : who.customer;
  byId("package").value ||= nameFrom(file.name);
  const name = byId("package").value.trim();
  if (!SLUG.test(customer)) return mistaken("customer", say("packages.customer_wrong"));
  if (!SLUG.test(name)) return mistaken("package", say("packages.name_wrong", { name }));
  return upload(file, customer, name);
}

function mistaken(field, text) {
  tellMistake(byId("told"), text);
  byId(field).setAttribute("aria-invalid", "true");
  byId(field).focus();
}

/** The file's name as a package may be called; by the date where nothing of it can be kept. */
function nameFrom(filename) {
  const slug = filename
    .toLowerCase()
    .replace(/\.zip$/, "")
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "");
  const now = new Date().toISOString().slice(0, 16);
  return slug.slice(0, 100) || `package-${now.replace(/[^0-9]+/g, "-")}`;
}

async function upload(file, customer, name) {
  byId("checking").hidden = true;
  const stop = new AbortController();
  const bar = el("progress", {
    max: file.size,
    value: 0,
    "aria-label": say("packages.sending", { name: file.name }),
  });
  const figures = el("p", { class: "soft small" });
  let id = null;
  const cancel = el("button", { type: "button", onclick: () => stop.abort() }, say("common.cancel"));
  put(
    byId("told"),
    el("div", { class: "card" }, el("p", {}, say("packages.sending", { name: file.name })), bar, figures, cancel),
  );
  sendable(false);
  try {
    const sent = await send(file, {
      customer,
      name,
      limits: who.limits,
      signal: stop.signal,
      told(state) {
        id = state.upload.id;
        bar.value = state.sent;
        figures.textContent = say(state.waiting ? "packages.waiting" : "packages.sent", {
          sent: bytes(state.sent),
          total: bytes(file.size),
          share: percent(state.sent / file.size),
        });
        if (state.waiting) announce(figures.textContent);
      },
    });
    await inspect({ ...sent, customer, package: name });
  } catch (error) {
    if (error.name !== "AbortError") tellProblem(byId("told"), error, () => upload(file, customer, name));
    else {
      put(byId("told"));
      if (id) await request("DELETE", `/uploads/${id}`).catch(() => {});
    }
    if (error.slug === "conflict") byId("package").focus();
  } finally {
    sendable(true);
  }
}

function sendable(free) {
  byId("choose").disabled = !free;
}

/** Check what was sent and show what would become of it; nothing is queued before the reader says so. */
async function inspect(sent) {
  const note = el("p", {}, say("packages.checking"));
  const bar = el("progress", { "aria-label": say("packages.checking") });
  put(byId("told"), el("div", { class: "card" }, note, bar));
  announce(note.textContent);
  const found = await check(sent.id, ({ progress }) => {
    if (!progress) return;
    const of = { done: progress.done.toLocaleString(language), total: progress.total.toLocaleString(language) };
    const stage = known("packages.check_stage", progress.stage);
    note.textContent = `${say("packages.checking")} ${stage} ${of.done} / ${of.total}`;
    bar.max = Math.max(progress.total, 1);
    bar.value = progress.done;
  });
  put(byId("told"));
  showCheck(sent, found);
}

function showCheck(sent, found) {
  const box = byId("checking");
  const told = el("div");
  const drop = el(
    "button",
    { type: "button", class: "danger", onclick: () => act(drop, told, () => discard(sent)) },
    say("packages.discard"),
  );
  const refused = found.state !== "done" || found.verdict === "refused";
  const queue =
    !refused &&
    el(
      "button",
      { type: "button", class: "main", onclick: () => act(queue, told, () => publish(sent)) },
      say("packages.queue"),
    );
  put(
    box,
    el("h2", { id: "check-heading", tabIndex: -1 }, say("packages.checked", { package: sent.package })),
    outcome(found),
    told,
    el("div", { class: "buttons" }, queue, drop),
    el("p", { class: "soft small" }, say(refused ? "packages.refused_hint" : "packages.queue_hint")),
  );
  box.hidden = false;
  byId("check-heading").focus();
}

async function act(button, told, what) {
  button.disabled = true;
  try {
    await what();
  } catch (error) {
    tellProblem(told, error);
  } finally {
    button.disabled = false;
  }
}

async function publish(sent) {
  const made = await post(`/uploads/${sent.id}/publish`, { anyway: false });
  closeCheck();
  const link = el("a", { href: pageOf(made) }, say("packages.open"));
  tellDone(byId("told"), say("packages.queued", { package: made.package }), " ", link);
  link.focus();
  await refreshList();
}

async function discard(sent) {
  await request("DELETE", `/uploads/${sent.id}`);
  closeCheck();
  tellDone(byId("told"), say("packages.discarded", { package: sent.package }));
  byId("choose").focus();
}

function closeCheck() {
  byId("checking").hidden = true;
  put(byId("checking"));
  byId("package").value = "";
}

/** Uploads of before that were neither queued nor dropped. */
async function tellUnsent() {
  const { uploads } = await get("/uploads");
  if (!uploads.length) return;
  const lines = uploads.map((item) => {
    const told = el("div");
    const line = el("li", { class: "row" });
    const drop = el(
      "button",
      {
        type: "button",
        class: "danger",
        onclick: () =>
          act(drop, told, async () => (await request("DELETE", `/uploads/${item.id}`), line.remove())),
      },
      say("packages.discard"),
    );
    const go =
      item.complete &&
      el(
        "button",
        { type: "button", onclick: () => act(go, told, () => inspect(item)) },
        say("packages.show_check"),
      );
    const done = item.complete
      ? say("packages.unsent_whole")
      : say("packages.unsent_part", { share: percent(item.offset / item.bytes) });
    line.append(
      el("span", {}, el("strong", {}, item.package), ` · ${item.filename} · ${done}`),
      ...[go, drop, told].filter(Boolean),
    );
    return line;
  });
  put(
    byId("told"),
    el(
      "div",
      { class: "note" },
      el("p", { class: "head-line" }, say("packages.unsent")),
      el("ul", { class: "plain" }, lines),
    ),
  );
}

import "../core/page.js";
import { address, get, mayOperate, post, query, session } from "../core/api.js";
import { byId, el, put } from "../core/dom.js";
import { moment, number, whole } from "../core/format.js";
import { tellDone, tellProblem } from "../core/notes.js";
import { about } from "../core/page.js";
import { count, known, say } from "../core/words.js";
import { badge } from "../parts/badges.js";
import { table } from "../parts/table.js";

const AT_ONCE = 25;
const MEANING = { anomaly: "real", normal: "false" };

let who = null;
let place = null; // {customer, package}
let shown = 0;

begin();

async function begin() {
  try {
    who = await session();
    const { packages } = await get("/packages");
    const judged = packages.filter(({ scored }) => scored);
    if (!judged.length) {
      put(byId("clips"), el("p", { class: "empty" }, say("feedback.no_packages")));
      return;
    }
    offer(judged);
    await open();
  } catch (error) {
    tellProblem(byId("told"), error, begin);
    put(byId("clips"));
  }
}

function offer(packages) {
  const select = byId("package");
  const keyOf = (item) => `${item.customer}/${item.package}`;
  put(
    select,
    packages.map((item) =>
      el(
        "option",
        { value: keyOf(item), selected: keyOf(item) === about.package },
        `${item.package} (${item.customer})`,
      ),
    ),
  );
  select.disabled = false;
  const choose = () => {
    place = packages.find((item) => keyOf(item) === select.value);
  };
  choose();
  select.addEventListener("change", () => {
    choose();
    history.replaceState(null, "", query("/feedback", { package: select.value }));
    open();
  });
  byId("which").addEventListener("change", open);
}

async function open() {
  shown = 0;
  put(byId("clips"));
  try {
    await Promise.all([more(), showMarked()]);
  } catch (error) {
    tellProblem(byId("told"), error, open);
  }
}

async function more() {
  const path = `/packages/${encodeURIComponent(place.customer)}/${encodeURIComponent(place.package)}/clips`;
  const { clips, total } = await get(
    query(path, { decision: byId("which").value, limit: AT_ONCE, offset: shown }),
  );
  const box = byId("clips");
  byId("more")?.remove();
  if (!total) return put(box, el("p", { class: "empty" }, say("feedback.none")));
  if (!shown) put(box, el("p", { class: "soft" }, count("feedback.count", total)));
  const cards = clips.map(card);
  box.append(...cards);
  if (shown) cards[0]?.querySelector("button, audio, input")?.focus();
  shown += clips.length;
  const left = total - shown;
  if (left > 0) {
    const next = el(
      "button",
      { type: "button", id: "more", onclick: () => more().catch((error) => tellProblem(byId("told"), error)) },
      say("common.more", { n: left }),
    );
    box.append(next);
  }
  return box;
}

function card(clip) {
  const told = el("div");
  const mark = el("p", { class: "marked" });
  const id = `clip-${shown}-${clip.clip_id}`;
  const choice = (label) =>
    el(
      "label",
      { class: "row" },
      el("input", {
        type: "radio",
        name: id,
        value: label,
        required: true,
        checked: clip.feedback?.label === label,
      }),
      say(`feedback.mark.${MEANING[label]}`),
    );
  const note = el("input", { id: `${id}-note`, maxLength: 300, value: clip.feedback?.note ?? "" });
  const button = el("button", {}, say("feedback.save"));
  const form = el(
    "form",
    {},
    el(
      "fieldset",
      { class: "row" },
      el("legend", {}, say("feedback.question")),
      choice("anomaly"),
      choice("normal"),
    ),
    el("div", { class: "field" }, el("label", { for: note.id }, say("feedback.note")), note),
    button,
    told,
  );
  showMark(mark, clip.feedback);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      const label = new FormData(form).get(id);
      const saved = await post("/feedback", {
        customer: place.customer,
        package: place.package,
        clip_id: clip.clip_id,
        label,
        note: note.value.trim(),
      });
      showMark(mark, saved);
      tellDone(told, say(`feedback.saved.${MEANING[label]}`));
      await showMarked();
    } catch (error) {
      tellProblem(told, error);
    } finally {
      button.disabled = false;
    }
  });
  return el(
    "article",
    { class: "card", "aria-label": clip.clip_id },
    el("div", { class: "head" }, el("h3", {}, clip.clip_id), badge("clip", clip.state)),
    el("p", { class: "small soft" }, facts(clip)),
    clip.links?.audio &&
      el(
        "div",
        { class: "row" },
        el("audio", {
          controls: true,
          preload: "none",
          src: address(clip.links.audio),
          "aria-label": say("feedback.listen", { clip: clip.clip_id }),
        }),
      ),
    mark,
    mayOperate(who) && form,
  );
}

function facts(clip) {
  const label =
    clip.label && clip.label !== "unknown" ? known("feedback.label", clip.label) : say("feedback.unlabelled");
  return [
    `${known("machine", clip.machine_type)} · ${clip.section_id}`,
    say("feedback.severity", { value: whole(clip.severity) }),
    say("feedback.score", { score: number(clip.score), threshold: number(clip.threshold) }),
    say("feedback.in_table", { label }),
  ].join(" · ");
}

function showMark(box, mark) {
  put(
    box,
    mark
      ? [
          el("strong", {}, say("feedback.marked_as", { meaning: say(`feedback.mark.${MEANING[mark.label]}`) })),
          ` ${[mark.note, mark.who, moment(mark.at)].filter(Boolean).join(" · ")}`,
        ]
      : el("span", { class: "soft" }, say("feedback.unmarked")),
  );
}

async function showMarked() {
  const { labels } = await get(query("/feedback", { customer: place.customer, package: place.package }));
  if (!labels.length) return put(byId("marked"), el("p", { class: "empty" }, say("feedback.nothing_marked")));
  const columns = ["clip", "mark", "note", "who", "at"].map((name) => ({ name: say(`feedback.column.${name}`) }));
  const rows = labels.map((item) => [
    item.clip_id,
    say(`feedback.mark.${MEANING[item.label]}`),
    item.note,
    item.who,
    moment(item.at),
  ]);
  return put(
    byId("marked"),
    el("p", { class: "soft" }, say("feedback.effect")),
    table(count("feedback.marked_count", labels.length), columns, rows),
  );
}

import "../core/page.js";
import { get, mayOperate, query, request, session } from "../core/api.js";
import { byId, el, put } from "../core/dom.js";
import { bytes, clock, moment } from "../core/format.js";
import { announce, tellMistake, tellProblem } from "../core/notes.js";
import { known, language, say } from "../core/words.js";
import { badge } from "../parts/badges.js";
import { dropPlace } from "../parts/drop.js";
import { agreement, verdictCard } from "../parts/verdict.js";
import { Recorder } from "../sound/recorder.js";
import { soundView } from "../sound/view.js";
import { encodeWav } from "../sound/wav.js";

const MOST = 5;
const SHOWN = 60;
const LEVELS = { level1: "isolation_forest", level2: "autoencoder" };

const chosen = new Map(); // key of a choice -> choice
let choices = [];
let file = null;
let source = "";
let recorder = null;

const who = await session().catch((error) => (tellProblem(byId("found"), error, () => location.reload()), null));
if (who) {
  dropPlace(take);
  byId("record").addEventListener("click", record);
  byId("search").addEventListener("input", showChoices);
  byId("ask").addEventListener("submit", ask);
  if (!mayOperate(who)) {
    byId("go").disabled = true;
    tellMistake(byId("told"), say("diagnose.viewer"));
  }
  fetchChoices();
}

function take(found) {
  if (found.size > who.limits.recording_bytes)
    return tellMistake(byId("chosen"), say("diagnose.too_large", { limit: bytes(who.limits.recording_bytes) }));
  if (found.size === 0) return tellMistake(byId("chosen"), say("diagnose.empty"));
  file = found;
  if (source) URL.revokeObjectURL(source);
  source = URL.createObjectURL(file);
  const player = el("audio", {
    controls: true,
    preload: "metadata",
    src: source,
    "aria-label": say("diagnose.player"),
  });
  player.addEventListener("error", () => player.remove());
  put(
    byId("chosen"),
    el("p", { class: "row" }, el("span", {}, el("strong", {}, file.name), ` · ${bytes(file.size)}`), player),
  );
  return announce(say("diagnose.taken", { name: file.name }));
}

async function record() {
  const button = byId("record");
  if (recorder) return stopRecording();
  try {
    recorder = new Recorder(({ seconds, level }) => {
      byId("clock").textContent = clock(seconds);
      byId("level").value = Math.max(level, 0.97 * byId("level").value);
      if (seconds >= who.limits.recording_seconds) stopRecording();
    });
    await recorder.start();
    byId("recording").hidden = false;
    byId("choose").disabled = true;
    button.textContent = say("diagnose.stop");
    announce(say("diagnose.recording_now"));
  } catch (error) {
    await recorder?.stop();
    recorder = null;
    const why = { NotAllowedError: "denied", NotFoundError: "none" }[error.name] ?? "broken";
    tellMistake(byId("chosen"), say(`diagnose.microphone.${window.isSecureContext ? why : "insecure"}`));
  }
  return undefined;
}

async function stopRecording() {
  const taking = recorder;
  recorder = null;
  if (!taking) return;
  const { samples, rate } = await taking.stop();
  byId("recording").hidden = true;
  byId("choose").disabled = false;
  byId("record").textContent = say("diagnose.record_again");
  if (!samples.length) return tellMistake(byId("chosen"), say("diagnose.microphone.broken"));
  const name = `recording-${new Date().toISOString().slice(0, 19).replace(/[T:]/g, "-")}.wav`;
  take(new File([encodeWav(samples, rate)], name, { type: "audio/wav" }));
}

async function fetchChoices() {
  try {
    const { models } = await get("/models");
    choices = models.filter(({ state, usable }) => state !== "archived" && usable !== false).flatMap(choicesOf);
  } catch (error) {
    return tellProblem(byId("found"), error, fetchChoices);
  }
  const asked = new URLSearchParams(location.search).get("model");
  const defaults = choices.filter(({ model, level }) => model.is_default && !level);
  // a model of another machine would give a wrong verdict, so none is taken for granted where there are several
  const first =
    choices.find(({ model, level }) => model.id === asked && !level) ??
    (defaults.length === 1 ? defaults[0] : null);
  if (first) chosen.set(first.key, first);
  return showChoices();
}

/** A model, and where it is a champion the second opinions that it carries. */
function choicesOf(model) {
  const levels = model.is_default
    ? Object.keys(LEVELS).filter((level) => model.second_opinions.includes(LEVELS[level]))
    : [];
  return [undefined, ...levels].map((level) => {
    const engine = level ? LEVELS[level] : model.engine;
    const own = `${known("machine", model.machine_type)} · ${model.section_id}`;
    // machines of several customers may be called the same
    const machine = who.customer === "*" ? `${model.customer} · ${own}` : own;
    const words = [
      model.name,
      machine,
      model.section,
      engine,
      model.encoder,
      model.package,
      known("state.model", model.state),
      level && say("diagnose.second"),
    ];
    return {
      key: level ? `${model.section} ${level}` : model.id,
      model,
      level,
      engine,
      machine,
      words: words.filter(Boolean).join(" ").toLowerCase(),
    };
  });
}

function showChoices() {
  const wanted = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = choices.filter(
    ({ key, words }) => chosen.has(key) || wanted.every((word) => words.includes(word)),
  );
  byId("chosen-models").textContent = say("diagnose.chosen", { n: chosen.size, found: found.length, most: MOST });
  if (!choices.length) return put(byId("found"), el("p", { class: "empty" }, say("diagnose.no_models")));
  if (!found.length) return put(byId("found"), el("p", { class: "empty" }, say("diagnose.nothing_found")));
  const listed = found.slice(0, SHOWN);
  return put(
    byId("found"),
    el(
      "ul",
      { class: "found" },
      listed.map((choice) => el("li", {}, line(choice))),
    ),
    found.length > SHOWN && el("p", { class: "small soft" }, say("diagnose.narrow", { n: found.length - SHOWN })),
  );
}

function line(choice) {
  const { key, model, level, engine, machine } = choice;
  const box = el("input", { type: "checkbox", checked: chosen.has(key) });
  box.addEventListener("change", () => {
    if (box.checked && chosen.size >= MOST) {
      box.checked = false;
      return tellMistake(byId("told"), say("diagnose.too_many", { most: MOST }));
    }
    if (box.checked) chosen.set(key, choice);
    else chosen.delete(key);
    byId("chosen-models").textContent = say("diagnose.chosen", {
      n: chosen.size,
      found: choices.length,
      most: MOST,
    });
    return undefined;
  });
  const name = level ? say("diagnose.second_of", { engine, name: model.name }) : model.name;
  const told = [
    machine,
    !level && `${engine} (${model.letter}), ${model.encoder}`,
    moment(model.created_at),
  ].filter(Boolean);
  return el(
    "label",
    {},
    box,
    el(
      "span",
      {},
      el("span", { class: "name" }, name),
      " ",
      model.is_default && !level
        ? el("span", { class: "badge good" }, say("diagnose.default"))
        : !level && badge("model", model.state),
      el("br"),
      el("span", { class: "small soft" }, told.join(" · ")),
    ),
  );
}

async function ask(event) {
  event.preventDefault();
  if (!file) return tellMistake(byId("told"), say("diagnose.no_file"));
  if (!chosen.size) return tellMistake(byId("told"), say("diagnose.no_choice"));
  const button = byId("go");
  button.disabled = true;
  put(byId("told"), el("p", { role: "status" }, say("diagnose.listening")));
  try {
    const answers = await Promise.all(requests().map((fields, place) => diagnose(fields, place === 0)));
    put(byId("told"));
    show({
      ...answers[0],
      results: answers.flatMap(({ results }) => results),
      took_s: Math.max(...answers.map(({ took_s: took }) => took)),
    });
  } catch (error) {
    tellProblem(byId("told"), error);
  } finally {
    button.disabled = false;
  }
  return undefined;
}

/** The questions to ask: one for the chosen models, and one for each machine whose second opinions are wanted. */
function requests() {
  const ids = [...chosen.values()].filter(({ level }) => !level).map(({ model }) => ["model_id", model.id]);
  const bySection = new Map();
  for (const { model, level } of chosen.values()) {
    if (level)
      bySection.set(model.section, [
        ...(bySection.get(model.section) ?? [["section", model.section]]),
        ["model_preference", level],
      ]);
  }
  return [...(ids.length ? [ids] : []), ...bySection.values()];
}

async function diagnose(fields, withPictures) {
  const form = new FormData();
  for (const [name, value] of fields) form.append(name, value);
  const parts = ["clips", "regions", "findings", "map_png", ...(withPictures ? ["waveform", "spectrogram"] : [])];
  form.append("include", parts.join(","));
  form.append("file", file, file.name);
  return (await request("POST", "/diagnoses", { body: form })).json();
}

function show(diagnosis) {
  const view = soundView(diagnosis, source);
  const { results, recording } = diagnosis;
  const cards = results.map(verdictCard);
  put(
    byId("answer"),
    el("h2", { id: "answer-heading" }, say("diagnose.answer", { name: recording.name })),
    recording.warnings.map((warning) => el("p", { class: "note" }, warning[language])),
    results.length > 1 && el("p", { class: "lead" }, agreement(results)),
    el("div", { class: "verdicts" }, cards),
    el("h3", {}, say("diagnose.picture")),
    results.length > 1 && whose(results, view),
    view.element,
    el("p", { class: "small soft" }, say("diagnose.took", { seconds: diagnosis.took_s.toFixed(2) })),
  );
  view.show(results[0]);
  byId("answer").hidden = false;
  byId("answer").focus();
}

/** Whose findings are marked in the pictures. */
function whose(results, view) {
  return el(
    "fieldset",
    { class: "row" },
    el("legend", {}, say("diagnose.whose")),
    results.map((result, place) =>
      el(
        "label",
        { class: "row" },
        el("input", { type: "radio", name: "whose", checked: place === 0, onchange: () => view.show(result) }),
        resultName(result),
      ),
    ),
  );
}

function resultName({ model }) {
  return `${model.name} (${model.engine})`;
}

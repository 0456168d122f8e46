// What is told in place: a note under the thing that it is about, and words for screen readers.

import { byId, el, put } from "./dom.js";
import { say } from "./words.js";

/** Tell what went wrong where it went wrong; the note takes the place of what the box held. */
export function tellProblem(box, error, again) {
  if (!error.details) console.error(error);
  const message = error.details ? error.message : say("problem.internal");
  put(
    box,
    el(
      "div",
      { class: "note bad", role: "alert" },
      el("p", { class: "head-line" }, message),
      (error.details ?? []).map((line) => el("p", { class: "small", lang: error.language }, line)),
      again && el("p", {}, el("button", { type: "button", onclick: again }, say("common.again"))),
    ),
  );
}

/** Tell what the reader has to mend before anything can be sent. */
export function tellMistake(box, text) {
  put(box, el("div", { class: "note bad", role: "alert" }, el("p", {}, text)));
}

export function tellDone(box, ...content) {
  put(box, el("div", { class: "note good", role: "status" }, el("p", {}, content)));
}

/** Say something to a screen reader without moving the focus. */
export function announce(text) {
  byId("live").textContent = text;
}

// A question before something is done that others will notice.

import { el } from "./dom.js";
import { say } from "./words.js";
import { tellProblem } from "./notes.js";

let asked = 0;

/**
 * Ask for confirmation and a reason; `act(reason)` runs while the dialog is open, and its problem is told in it.
 * The dialog closes when `act` has succeeded. Resolves to whether it was done.
 */
export function confirmWithReason({ heading, text, label, hint, button, act, danger = false }) {
  asked += 1;
  const reason = el("textarea", {
    id: `reason-${asked}`,
    required: true,
    maxLength: 500,
    "aria-describedby": `hint-${asked}`,
  });
  const box = el("div");
  const sure = el("button", { class: danger ? "danger" : "main", type: "submit" }, button);
  const dialog = el(
    "dialog",
    { "aria-labelledby": `heading-${asked}` },
    el("h2", { id: `heading-${asked}` }, heading),
    [text].flat().map((line) => el("p", {}, line)),
    el(
      "form",
      { method: "dialog" },
      el(
        "div",
        { class: "field" },
        el("label", { for: reason.id }, label),
        reason,
        el("span", { class: "hint", id: `hint-${asked}` }, hint),
      ),
      box,
      el(
        "div",
        { class: "buttons" },
        sure,
        el("button", { type: "button", onclick: () => dialog.close() }, say("common.cancel")),
      ),
    ),
  );
  const before = document.activeElement;
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    let done = false;
    dialog.querySelector("form").addEventListener("submit", async (event) => {
      event.preventDefault();
      if (!reason.value.trim()) {
        reason.focus();
        return;
      }
      sure.disabled = true;
      try {
        await act(reason.value.trim());
        done = true;
        dialog.close();
      } catch (error) {
        tellProblem(box, error);
      } finally {
        sure.disabled = false;
      }
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      before?.focus?.();
      resolve(done);
    });
  });
}

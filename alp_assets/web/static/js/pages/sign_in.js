import { post } from "../core/api.js";
import { byId } from "../core/dom.js";
import { tellProblem } from "../core/notes.js";

byId("door").addEventListener("submit", async (event) => {
  event.preventDefault();
  const key = byId("key");
  const button = event.target.querySelector("button");
  button.disabled = true;
  try {
    await post("/session", { key: key.value.trim() });
    location.assign(byId("main").dataset.next);
  } catch (error) {
    tellProblem(byId("told"), error);
    key.setAttribute("aria-invalid", "true");
    key.select();
    key.focus();
    button.disabled = false;
  }
});

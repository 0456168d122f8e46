// States as badges: words first, colour and a sign only beside them.

import { el } from "../core/dom.js";
import { known } from "../core/words.js";

const LOOKS = {
  package: {
    waiting: ["dashed", "…"],
    running: ["busy", ""],
    finished: ["good", "✓"],
    refused: ["strong", "✕"],
    failed: ["strong", "!"],
    stopped: ["warn", "?"],
  },
  stage: {
    done: ["good", "✓"],
    running: ["busy", ""],
    waiting: ["dashed", "…"],
    failed: ["strong", "!"],
    refused: ["strong", "✕"],
    skipped: ["dashed", "–"],
  },
  gate: { passed: ["good", "✓"], warned: ["warn", "!"], failed: ["strong", "✕"] },
  model: { champion: ["good", "★"], candidate: ["", ""], archived: ["dashed", ""] },
  clip: { NORMAL: ["good", "✓"], WARNING: ["warn", "!"], CRITICAL: ["strong", "‼"] },
};

/** The badge of a state; `kind` is package, stage, gate, model or clip. */
export function badge(kind, state) {
  const [look, sign] = LOOKS[kind][state] ?? ["dashed", ""];
  return el(
    "span",
    { class: `badge ${look}` },
    sign && el("span", { "aria-hidden": "true" }, sign),
    known(`state.${kind}`, state),
  );
}

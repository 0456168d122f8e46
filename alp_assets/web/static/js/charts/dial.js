// Severity as a dial from 0 to 100 with the threshold at 50.

import { svg } from "../core/dom.js";
import { whole } from "../core/format.js";
import { say } from "../core/words.js";

const RADIUS = 80;
const [X, Y] = [100, 96];

/** `state` is NORMAL, WARNING or CRITICAL. */
export function dial(severity, state) {
  const share = Math.min(1, Math.max(0, severity / 100));
  return svg(
    "svg",
    {
      class: `dial ${state}`,
      viewBox: "0 -14 200 132",
      role: "img",
      "aria-label": say("verdict.severity_of", { value: whole(severity) }),
    },
    svg("path", { class: "track", d: arc(0, 1) }),
    share > 0 && svg("path", { class: "filled", d: arc(0, share) }),
    svg("path", { class: "tick", d: line(0.5, RADIUS - 12, RADIUS + 12) }),
    svg("text", { class: "soft-text", x: X, y: -3, "text-anchor": "middle" }, say("verdict.threshold_at")),
    svg("text", { class: "value", x: X, y: Y - 2, "text-anchor": "middle" }, whole(severity)),
    svg("text", { class: "soft-text", x: X - RADIUS, y: Y + 16, "text-anchor": "middle" }, "0"),
    svg("text", { class: "soft-text", x: X + RADIUS, y: Y + 16, "text-anchor": "middle" }, "100"),
    svg("text", { class: "soft-text", x: X, y: Y + 16, "text-anchor": "middle" }, say("verdict.severity")),
  );
}

function point(share, radius) {
  const angle = Math.PI * (1 - share);
  return `${(X + radius * Math.cos(angle)).toFixed(2)} ${(Y - radius * Math.sin(angle)).toFixed(2)}`;
}

const arc = (from, to) => `M${point(from, RADIUS)}A${RADIUS} ${RADIUS} 0 0 1 ${point(to, RADIUS)}`;
const line = (share, from, to) => `M${point(share, from)}L${point(share, to)}`;

// A recording's loudness over time.

import { svg } from "../core/dom.js";

/** `peaks` are the lowest and highest sample, -1 to 1, of equal parts of the recording. */
export function waveform(peaks, label) {
  const height = Math.max(0.01, ...peaks.flat().map(Math.abs)); // quiet recordings fill the picture too
  const y = (value) => (50 - (48 * value) / height).toFixed(1);
  const upper = peaks.map(([, high], place) => `${place} ${y(high)}`);
  const lower = peaks.map(([low], place) => `${place} ${y(low)}`).reverse();
  return svg(
    "svg",
    {
      class: "wave",
      viewBox: `0 0 ${Math.max(peaks.length - 1, 1)} 100`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": label,
    },
    svg("path", { d: `M${[...upper, ...lower].join("L")}Z` }),
  );
}

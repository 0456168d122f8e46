// A recording to see and to hear: waveform, spectrogram, where it is unusual, and a player that follows.

import { waveform } from "../charts/waveform.js";
import { el, put } from "../core/dom.js";
import { clock, number } from "../core/format.js";
import { say } from "../core/words.js";

const OPACITY = 80;

/** A diagnosed recording, `source` being the address of its sound; `show(result)` marks a model's findings. */
export function soundView(diagnosis, source) {
  const { seconds } = diagnosis.recording;
  const wave = el("div", { class: "regions" });
  const spectrum = el("div", { class: "regions" });
  const map = el("img", { class: "map", alt: "", hidden: true });
  const needles = [el("div", { class: "needle" }), el("div", { class: "needle" })];
  const player = el("audio", {
    controls: true,
    preload: "metadata",
    src: source,
    "aria-label": say("diagnose.player"),
  });
  const silent = el("p", { class: "soft small", hidden: true }, say("diagnose.unplayable"));
  const slider = el("input", { type: "range", id: "opacity", min: "0", max: "100", value: String(OPACITY) });
  const opacity = el("div", { class: "field" }, el("label", { for: "opacity" }, say("diagnose.opacity")), slider);
  const marks = el("div");

  const seek = (time) => {
    player.currentTime = Math.min(time, Math.max(seconds - 0.05, 0));
    follow();
  };
  const follow = () => {
    for (const needle of needles) needle.style.left = `${(100 * player.currentTime) / seconds}%`;
    if (!player.paused) requestAnimationFrame(follow);
  };
  const seekAt = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    seek((seconds * (event.clientX - box.left)) / box.width);
  };

  player.addEventListener("play", follow);
  player.addEventListener("timeupdate", follow);
  player.addEventListener("error", () => {
    silent.hidden = false;
    player.hidden = true;
  });
  slider.addEventListener("input", () => (map.style.opacity = slider.value / 100));
  map.style.opacity = OPACITY / 100;

  const element = el(
    "div",
    { class: "sound" },
    el(
      "div",
      { class: "seekable", onclick: seekAt },
      waveform(diagnosis.waveform.peaks, say("diagnose.waveform")),
      wave,
      needles[0],
    ),
    el(
      "div",
      { class: "seekable picture", onclick: seekAt },
      picture(diagnosis.spectrogram),
      map,
      spectrum,
      needles[1],
      pitches(diagnosis.spectrogram),
    ),
    times(seconds),
    el("p", { class: "small soft" }, say("diagnose.seek")),
    el("div", { class: "row" }, player, silent, opacity),
    marks,
  );

  function show(result) {
    map.hidden = opacity.hidden = !result.map_png;
    if (result.map_png) {
      map.src = result.map_png;
      map.alt = say("diagnose.map_alt", { model: result.model.name });
    }
    for (const box of [wave, spectrum])
      put(
        box,
        result.regions.map((region) => band(region, seconds)),
      );
    put(marks, regionList(result, seek, player));
  }

  return { element, show };
}

function picture(spectrogram) {
  return el("img", { src: spectrogram.png, alt: say("diagnose.spectrogram") });
}

function pitches({ ticks }) {
  const visible = ticks.filter(({ height }) => height > 0.03 && height < 0.95); // others would be cut off
  return visible.map(({ hz, height }) => {
    const tick = el(
      "span",
      { class: "pitch", "aria-hidden": "true" },
      hz >= 1000 ? `${number(hz / 1000)} kHz` : `${hz} Hz`,
    );
    tick.style.bottom = `${100 * height}%`;
    return tick;
  });
}

function times(seconds) {
  return el(
    "div",
    { class: "scale", "aria-hidden": "true" },
    [0, 0.25, 0.5, 0.75, 1].map((share) => el("span", {}, `${number(seconds * share, 3)} s`)),
  );
}

function band({ start_s: start, end_s: end }, seconds) {
  const found = el("div", { class: "region" });
  found.style.left = `${(100 * start) / seconds}%`;
  found.style.width = `${(100 * (end - start)) / seconds}%`;
  return found;
}

function regionList({ regions, model }, seek, player) {
  if (!regions.length) return el("p", { class: "small soft" }, say("diagnose.no_regions", { model: model.name }));
  const listen = (region) => {
    seek(region.start_s);
    player.play().catch(() => {}); // the player itself tells when it cannot
  };
  return [
    el("h4", {}, say("diagnose.regions", { model: model.name })),
    el(
      "ul",
      { class: "seek" },
      regions.map((region) =>
        el("li", {}, el("button", { type: "button", onclick: () => listen(region) }, told(region))),
      ),
    ),
  ];
}

function told({ start_s: start, end_s: end, low_hz: low, high_hz: high }) {
  const gaps = {
    from: clock(start),
    start: number(start, 3),
    end: number(end, 3),
    low: number(low, 3),
    high: number(high, 3),
  };
  return say(low === null || high === null ? "diagnose.region" : "diagnose.region_pitch", gaps);
}

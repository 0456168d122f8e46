// Figures, sizes and times as people read them.

import { language, say } from "./words.js";

const MISSING = "–";

/** A number to so many significant digits, or a dash. */
export function number(value, digits = 4) {
  if (value === null || value === undefined || !Number.isFinite(value)) return MISSING;
  return value.toLocaleString(language, { maximumSignificantDigits: digits });
}

/** A whole number, or a dash. */
export const whole = (value) =>
  value === null || value === undefined ? MISSING : Math.round(value).toLocaleString(language);

/** A share of 1 in percent. */
export function percent(share) {
  if (share === null || share === undefined || !Number.isFinite(share)) return MISSING;
  return share.toLocaleString(language, { style: "percent", maximumFractionDigits: share < 0.1 ? 1 : 0 });
}

export function bytes(count) {
  let value = count;
  for (const unit of ["B", "KB", "MB"]) {
    if (value < 1000) return `${number(value, 3)} ${unit}`;
    value /= 1000;
  }
  return `${number(value, 3)} GB`;
}

/** A moment in the reader's own time zone. */
export function moment(iso) {
  if (!iso) return MISSING;
  const time = new Date(iso);
  if (Number.isNaN(time.getTime())) return iso;
  const two = (value) => String(value).padStart(2, "0");
  const day = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join("-");
  return `${day} ${two(time.getHours())}:${two(time.getMinutes())}`;
}

/** Seconds as m:ss. */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** So many alarms a day in words that can be pictured: "about one in 12 days". */
export function alarms(perDay) {
  if (perDay === null || perDay === undefined || !Number.isFinite(perDay)) return say("alarms.unknown");
  if (perDay < 1 / 3650) return say("alarms.rare");
  if (perDay >= 0.67) return say("alarms.per_day", { n: number(perDay, 2) });
  const days = 1 / perDay;
  return say("alarms.days", { n: whole(days < 10 ? Math.round(days) : Number(days.toPrecision(2))) });
}

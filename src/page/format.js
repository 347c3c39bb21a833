// Numbers and times as people read them. Every unit is chosen here, so that it is the same everywhere on the page.

export const missing = "–";

const known = (value) => typeof value === "number" && Number.isFinite(value);

/** 12345 → "12,345". */
export function count(value) {
  return known(value) ? value.toLocaleString("en-US") : missing;
}

/** Counts in table cells: nothing is shown as such, so that what there is stands out. */
export function quietCount(value) {
  return value ? count(value) : known(value) ? "·" : missing;
}

/** Three digits: "0.42", "12.3", "1,240"; whole numbers as they are. */
export function decimal(value) {
  if (!known(value)) return missing;
  if (Number.isInteger(value) || value >= 1000) return Math.round(value).toLocaleString("en-US");
  if (value >= 99.95) return value.toFixed(0);
  if (value >= 9.995) return value.toFixed(1);
  return value < 0.01 ? "<0.01" : value.toFixed(2);
}

/** A latency: "820 µs", "12.3 ms", "1.20 s", "3m 20s". */
export function latency(seconds) {
  if (!known(seconds)) return missing;
  if (seconds === 0) return "0";
  if (seconds < 1e-3) return `${decimal(seconds * 1e6)} µs`;
  if (seconds < 1) return `${decimal(seconds * 1e3)} ms`;
  return seconds < 100 ? `${decimal(seconds)} s` : duration(seconds);
}

/** A length of time in whole seconds: "42s", "3m 20s", "5h 02m", "2d 4h". */
export function duration(seconds) {
  if (!known(seconds)) return missing;
  const s = Math.max(0, Math.round(seconds));
  const two = (n) => String(n).padStart(2, "0");
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m ${two(s % 60)}s`;
  if (s < 86400) return `${Math.floor(s / 3600)}h ${two(Math.floor(s / 60) % 60)}m`;
  return `${Math.floor(s / 86400)}d ${Math.floor(s / 3600) % 24}h`;
}

/** Time of day where the browser is. */
export function clock(epochSeconds) {
  if (!known(epochSeconds)) return missing;
  return new Date(epochSeconds * 1000).toLocaleTimeString("en-GB");
}

/** Bytes: "512 MiB", "1.50 TiB". */
export function bytes(value) {
  if (!known(value)) return missing;
  if (value === 0) return "0";
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    ++unit;
  }
  return `${decimal(value)} ${units[unit]}`;
}

/** GPUs may be shared: "2", "0.25". */
export function amount(value) {
  return known(value) ? String(Math.round(value * 1000) / 1000) : missing;
}

export function percent(part) {
  return known(part) ? `${Math.round(part * 100)} %` : missing;
}

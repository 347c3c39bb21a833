// The run's time: seconds for which it was on, without the pauses before it was resumed.
import { decimal, duration, missing } from "./format.js";

/** Times of the clock and of the run, from the times at which it was on. */
export class RunTime {
  constructor(incarnations) {
    this.spans = incarnations.rows;
  }

  /** Seconds since the epoch as the run's time. */
  of(clock) {
    const span = this.spans.findLast((one) => one.begun <= clock) ?? this.spans[0];
    if (!span || clock == null) return null;
    return span.before_s + Math.max(0, Math.min(clock, span.until) - span.begun);
  }

  /** The run's time as seconds since the epoch. */
  clock(time) {
    const span = this.spans.findLast((one) => one.before_s <= time) ?? this.spans[0];
    return span && time != null ? span.begun + (time - span.before_s) : null;
  }
}

/** A length of time, as finely as it is short: "820 ms", "12.3 s", "3m 20s". */
export function length(seconds) {
  if (typeof seconds !== "number") return missing;
  if (seconds === 0) return "0 s";
  if (seconds < 0.001) return `${decimal(seconds * 1e6)} µs`;
  if (seconds < 1) return `${decimal(seconds * 1e3)} ms`;
  return seconds < 60 ? `${decimal(seconds)} s` : duration(seconds);
}

/** Day and time of the clock where the browser is: "2026-01-31 12:00:00". */
export function moment(clock) {
  if (clock == null) return missing;
  const date = new Date(clock * 1000);
  const two = (n) => String(n).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

// The charts: of the run, and of the service that is chosen. They share one time axis and one cursor.
import { byId, show } from "./dom.js";
import { decimal, latency } from "./format.js";
import { plot } from "./plot.js";

// More points than these are more than a chart is wide: then the history is asked for anew, which is coarser where it is old.
const mostPoints = 3000;

const charts = new Map();
let history = null;
let seconds = 300;
let service = "";

const specs = [
  { id: "chart-use", of: "run", lines: [["cores", "Cores", "--blue"], ["gpus", "GPUs", "--orange"]], value: (v) => (v == null ? "–" : `${Math.round(v * 100)} %`), range: [0, 1] },
  { id: "chart-tasks", of: "run", lines: [["running", "Running", "--blue"], ["tasks_per_s", "Ended per s", "--green"]], value: decimal },
  { id: "chart-requests", of: "service", lines: [["requests_per_s", "Per s", "--green"], ["active", "Active", "--blue"], ["queued", "Queued", "--orange"]], value: decimal },
  { id: "chart-latency", of: "service", lines: [["p50_s", "p50", "--blue"], ["p99_s", "p99", "--orange"]], value: latency },
];

/** The source that a chart shows: of the run, or of the chosen service. */
const source = (spec) => (spec.of === "run" ? history.run : history.services[service]);

function data(spec) {
  const from = source(spec);
  return [from.time, ...spec.lines.map(([column]) => from[column])];
}

function shownRange() {
  const times = history.run.time;
  const last = times.length ? times[times.length - 1] : Date.now() / 1000;
  const first = times.length ? times[0] : last;
  // No longer than the run is old, but at least a minute, so that the first points are not smeared over the whole chart.
  return [Math.max(seconds > 0 ? last - seconds : 0, Math.min(first, last - 60)), last];
}

function build(spec) {
  return plot(byId(spec.id), data(spec), {
    lines: spec.lines.map(([, label, colour]) => ({ label, colour })),
    value: spec.value,
    range: spec.range,
    x: {
      label: "Time",
      value: (_, v) => (v == null ? "–" : new Date(v * 1000).toLocaleTimeString("en-GB")),
      scale: { time: true, range: () => shownRange() },
      axis: { values: (_, ticks) => ticks.map(tickText) },
    },
  });
}

/** Seconds are told while less than some minutes are shown. */
function tickText(time) {
  const [first, last] = shownRange();
  return new Date(time * 1000).toLocaleTimeString("en-GB", last - first > 900 ? { hour: "2-digit", minute: "2-digit" } : {});
}

function draw() {
  if (!history) return;
  for (const spec of specs) {
    const visible = Boolean(source(spec));
    show(byId(spec.id), visible);
    if (!visible) continue;
    const chart = charts.get(spec.id);
    if (chart) chart.setData(data(spec));
    else charts.set(spec.id, build(spec));
    showNewest(charts.get(spec.id));
  }
}

/** The legend tells the newest values while the pointer is elsewhere. */
function showNewest(chart) {
  if (chart.cursor.idx == null) chart.setLegend({ idx: chart.data[0].length - 1 }, false);
}

function rebuild() {
  for (const chart of charts.values()) chart.destroy();
  charts.clear();
  draw();
}

function offerServices() {
  const names = Object.keys(history.services);
  const choice = byId("service");
  if (!names.includes(service)) service = names[0] || "";
  if (Array.from(choice.options, (option) => option.value).join("\n") !== names.join("\n")) {
    choice.replaceChildren(...names.map((name) => new Option(name, name)));
    choice.value = service;
  }
  show(byId("service-choice"), names.length > 1);
}

export function setHistory(fresh) {
  history = fresh;
  offerServices();
  draw();
}

function append(columns, time, point) {
  columns.time.push(time);
  for (const [name, value] of Object.entries(point)) columns[name]?.push(value);
}

/** Adds a snapshot's points. False: there are so many that the history should be asked for again. */
export function addPoints(time, points) {
  if (!history) return true;
  const times = history.run.time;
  if (times.length && time <= times[times.length - 1]) return true;
  append(history.run, time, points.run);
  for (const [name, point] of Object.entries(points.services)) {
    history.services[name] ||= Object.fromEntries(["time", ...Object.keys(point)].map((column) => [column, []]));
    append(history.services[name], time, point);
  }
  offerServices();
  draw();
  return times.length < mostPoints;
}

export function start() {
  byId("windows").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    seconds = Number(button.dataset.seconds);
    for (const one of byId("windows").children) one.setAttribute("aria-pressed", String(one === button));
    draw();
  });
  byId("service").addEventListener("change", (event) => {
    service = event.target.value;
    draw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", rebuild);
  new ResizeObserver(() => {
    for (const [id, chart] of charts) {
      const width = byId(id).clientWidth;
      if (width > 0 && width !== chart.width) chart.setSize({ width, height: 150 });
    }
  }).observe(byId("charts"));
}

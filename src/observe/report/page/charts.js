// The charts: what was in use, what ran, and what services worked on, over the run's time.
import { byId, make, setText } from "./dom.js";
import { count, decimal, missing, percent } from "./format.js";
import { plot, style } from "./plot.js";
import { length, moment } from "./time.js";

/* global uPlot */

// Between ticks, in seconds: what people count time in.
const tickSteps = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 345600, 864000, 1728000, 8640000];

const share = (v) => (v == null ? missing : percent(v));

function specs(data) {
  const { over_time: all, resources } = data;
  const use = [["Cores", "--blue", all.cores]];
  if (resources.gpus > 0) use.push(["GPUs", "--orange", all.gpus]);
  const out = [
    { title: resources.gpus > 0 ? "Cores and GPUs in use" : "Cores in use", lines: use, width: all.bin_s, value: share, range: [0, 1] },
  ];
  if (data.tasks.all.attempts > 0) {
    out.push({ title: "Tasks running", lines: [["Running", "--blue", all.running]], width: all.bin_s, value: decimal });
    out.push({ title: "Tasks ended per second", lines: [["Ended per s", "--green", all.ended_per_s]], width: all.rate_bin_s, value: decimal });
  }
  for (const service of all.services.rows) {
    if (!service.requests_per_s.some((rate) => rate > 0)) continue;
    out.push({
      title: `Requests to ${service.name}`,
      lines: [["Per s", "--green", service.requests_per_s], ["Active", "--blue", service.active], ["Queued", "--orange", service.queued]],
      width: all.bin_s,
      value: decimal,
    });
  }
  return out;
}

/** Steps: each bin's value holds until the next one; the last one's until the end. */
function columns(spec) {
  const bins = spec.lines[0][2].length;
  const times = Array.from({ length: bins + 1 }, (_, i) => i * spec.width);
  return [times, ...spec.lines.map(([, , values]) => [...values, values[bins - 1] ?? null])];
}

/** Without the noise of sums, and all of an axis in one unit where it is short. */
function tickText(time, end) {
  if (time === 0) return "0";
  if (end <= 1) return `${Number((time * 1e3).toPrecision(6))} ms`;
  return time < 60 ? `${Number(time.toPrecision(6))} s` : length(time);
}

function draw(figure, spec, time, end) {
  const stepped = uPlot.paths.stepped({ align: 1 });
  return plot(figure, columns(spec), {
    lines: spec.lines.map(([label, colour]) => ({ label, colour, paths: stepped, fill: spec.lines.length === 1 ? `${style(colour)}22` : undefined })),
    value: spec.value,
    range: spec.range,
    x: {
      label: "At",
      value: (_, v) => (v == null ? missing : `${length(v)} (${moment(time.clock(v))})`),
      scale: { time: false, range: () => [0, end] },
      axis: { incrs: tickSteps, values: (_, ticks) => ticks.map((tick) => tickText(tick, end)) },
    },
  });
}

export function charts(data, time) {
  const end = data.over_time.bin_s * data.over_time.cores.length;
  const drawn = end > 0 ? specs(data) : [];
  const figures = drawn.map((spec) => {
    const figure = make("figure");
    figure.append(make("figcaption", "", spec.title));
    return figure;
  });
  byId("charts").replaceChildren(...figures);
  const more = data.over_time.services.more;
  const words = end > 0 ? [] : ["The run has no length yet."];
  if (more > 0) words.push(`${count(more)} more services have no chart.`);
  setText(byId("charts-more"), words.join(" "));

  let plots = [];
  const redraw = () => {
    for (const one of plots) one.destroy();
    plots = drawn.map((spec, i) => draw(figures[i], spec, time, end));
  };
  redraw();
  for (const query of ["(prefers-color-scheme: dark)", "print"]) matchMedia(query).addEventListener("change", redraw);
  new ResizeObserver(() => {
    plots.forEach((chart, i) => {
      const width = figures[i].clientWidth;
      if (width > 0 && width !== chart.width) chart.setSize({ width, height: chart.height });
    });
  }).observe(byId("charts"));
}

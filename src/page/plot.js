// A line chart, drawn by uPlot (a global of its own script) in the page's colours. All charts of a page share one cursor.

/* global uPlot */

export const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/**
 * Draws `data` (times, then values for each line) into a figure. A line is {label, colour, …} with whatever else uPlot takes of a
 * series; `value` writes a value; `range` is that of the values where it is fixed; `x` is {label, value, scale, axis} of the times.
 */
export function plot(figure, data, { lines, value, range, x }) {
  const axis = { stroke: style("--quiet"), grid: { stroke: style("--grid"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  const options = {
    width: figure.clientWidth,
    height: 150,
    pxAlign: true,
    cursor: { sync: { key: "time" }, y: false, drag: { x: false, y: false }, points: { size: 6 } },
    legend: { live: true },
    scales: {
      x: x.scale,
      y: { range: range ? () => range : (_, __, most) => [0, most > 0 ? most * 1.1 : 1] },
    },
    axes: [
      { ...axis, space: 80, size: 24, ...x.axis },
      { ...axis, size: 58, space: 30, values: (_, ticks) => ticks.map(value) },
    ],
    series: [
      { label: x.label, value: x.value },
      ...lines.map(({ colour, ...line }) => ({
        stroke: style(colour),
        width: 1.5,
        spanGaps: false,
        points: { show: false },
        value: (_, v) => value(v),
        ...line,
      })),
    ],
  };
  return new uPlot(options, data, figure);
}

// The tables of the report.
import { byId, make, renewRows, setText, show } from "./dom.js";
import { amount, bytes, count, latency, missing, percent, quietCount } from "./format.js";
import { length, moment } from "./time.js";

const n = (text, className = "", title = "") => ({ text, className: `n ${className}`.trim(), title });
const body = (id) => byId(id).tBodies[0];
const state = (word, title = "") => ({ text: word, className: `state ${word}`, title });

function list(id, rows, left, what) {
  show(byId(`${id}-section`), rows.length > 0);
  renewRows(body(id), rows);
  setText(byId(`${id}-more`), left > 0 ? `${count(left)} more ${what} not listed.` : "");
}

/** A time of the clock as the run's, with the clock's beside it. */
const at = (clock, time, className = "") => n(clock == null ? missing : length(time.of(clock)), className, moment(clock));

const spread = (values) => ["min", "median", "p90", "max"].map((key, i) => n(values ? length(values[key]) : missing, i === 0 ? "first" : ""));

const ends = ["done", "failed", "skipped", "cancelled"];

function taskRow(key, name, row, className) {
  const all = ["waiting", "ready", "running", ...ends].reduce((sum, one) => sum + row[one], 0);
  const over = ends.reduce((sum, one) => sum + row[one], 0);
  return {
    key,
    className,
    cells: [
      { text: name, className: "name", title: name },
      { text: percent(all > 0 ? over / all : 0), className: "wide", bar: [...ends, "running"].map((kind) => ({ kind, part: all > 0 ? row[kind] / all : 0 })) },
      n(count(all)),
      ...ends.map((one) => n(quietCount(row[one]), one === "failed" && row[one] > 0 ? "bad" : "")),
      n(quietCount(row.attempts), row.attempts > all ? "notable" : ""),
      ...spread(row.wait_s),
      ...spread(row.run_s),
      n(percent(row.cpu_efficiency), "first"),
      n(bytes(row.max_rss)),
    ],
  };
}

function tasks({ rows, more, all }) {
  const out = rows.map((row, i) => taskRow(String(i), row.name, row, ""));
  if (out.length > 0 && (out.length > 1 || more > 0)) out.push(taskRow("all", "All tasks", all, "total"));
  list("tasks", out, more, "names are");
}

/** Pieces of a bar, of which `whole` would fill it. */
const pieces = (kinds, values, whole) => kinds.map((kind, i) => ({ kind, part: whole > 0 ? (values[i] ?? 0) / whole : 0 }));
const sum = (values) => values.reduce((all, value) => all + (value ?? 0), 0);

const parts = ["communication", "service", "inference"];
const steps = ["launch", "init", "publish"];

function services({ rows, more }) {
  const means = rows.map((service) => parts.map((part) => service.response[part].mean_s));
  const out = rows.map((service, i) => {
    const whole = sum(means[i]);
    const known = means[i].some((mean) => mean !== null);
    const of = service.models.length ? `models: ${service.models.join(", ")}` : "";
    return {
      key: String(i),
      cells: [
        { text: service.name, className: "name", title: of },
        n(service.remotes > 0 ? `${count(service.replicas)} + ${count(service.remotes)} remote` : count(service.replicas)),
        n(quietCount(service.restarts), service.restarts > 0 ? "notable" : ""),
        n(count(service.requests)),
        n(quietCount(service.failed), service.failed > 0 ? "bad" : ""),
        n(latency(service.p50_s)),
        n(latency(service.p90_s)),
        n(latency(service.p99_s)),
        known ? { text: latency(whole), className: "wide first", bar: pieces(parts, means[i], whole) } : { text: missing, className: "wide first" },
        ...parts.map((part, k) => n(latency(means[i][k]), "", deviation(service.response[part]))),
        ...steps.map((step) => n(length(service.bootstrap[`${step}_s`]?.median), step === "launch" ? "first" : "", extent(service.bootstrap[`${step}_s`]))),
      ],
    };
  });
  list("services", out, more, "services are");
  replicas(rows);
}

const deviation = ({ mean_s: mean, sd_s: sd, p50_s: p50, p99_s: p99 }) => (mean === null ? "" : `± ${latency(sd)}, p50 ${latency(p50)}, p99 ${latency(p99)}`);
const extent = (values) => (values ? `of ${count(values.count)}: ${length(values.min)} to ${length(values.max)}, 90 % within ${length(values.p90)}` : "");

let runTime = null;

/** One row for each life of a replica, and for each remote endpoint; bars of all services have one scale each. */
function replicas(rows) {
  const out = [];
  let left = 0;
  rows.forEach((service, i) => {
    const requests = new Map(service.by_replica.rows.map((row) => [row.replica, row]));
    const took = (life) => steps.map((step) => life[`${step}_s`]);
    const whole = Math.max(0, ...service.lives.rows.map((life) => sum(took(life))));
    const last = new Map(service.lives.rows.map((life) => [life.replica, life]));
    if (service.lives.rows.length + requests.size > 0) out.push({ key: `${i}`, className: "group", cells: [service.name, ...Array(12).fill("")] });
    service.lives.rows.forEach((life, k) => {
      const name = life.attempt > 0 ? `replica ${life.replica}, life ${life.attempt + 1}` : `replica ${life.replica}`;
      const known = took(life).some((one) => one !== null);
      out.push({
        key: `${i} ${k}`,
        className: "part",
        cells: [
          name,
          state(life.state, life.reason),
          life.nodes || missing,
          at(life.starting, runTime),
          { text: known ? length(sum(took(life))) : missing, className: "wide first", bar: pieces(steps, took(life), whole) },
          ...steps.map((step) => n(length(life[`${step}_s`]))),
          ...(last.get(life.replica) === life ? answered(requests.get(life.replica)) : Array(5).fill("")),
        ],
      });
      if (last.get(life.replica) === life) requests.delete(life.replica);
    });
    for (const row of requests.values()) {
      const name = row.replica.startsWith("remote-") ? row.replica.replace("-", " ") : `replica ${row.replica}`;
      out.push({ key: `${i} ${row.replica}`, className: "part", cells: [name, "", missing, n(missing), "", n(missing), n(missing), n(missing), ...answered(row)] });
    }
    left += service.lives.more;
  });
  list("replicas", out, left, "lives of replicas are");
}

function answered(row) {
  if (!row) return Array(5).fill("");
  return [
    n(count(row.requests), "first"),
    n(quietCount(row.failed), row.failed > 0 ? "bad" : ""),
    n(latency(row.p50_s)),
    n(latency(row.p90_s)),
    n(latency(row.p99_s)),
  ];
}

function failures({ rows, more }) {
  const what = { attempt: "attempt, tried again", task: "task", replica: "replica", node: "node lost" };
  const out = rows.map((failure, i) => ({
    key: String(i),
    cells: [
      at(failure.time, runTime),
      { text: what[failure.kind] || failure.kind, className: failure.kind === "attempt" ? "state partly" : "state failed" },
      { text: failure.kind === "replica" ? `${failure.subject} replica ${failure.replica}` : failure.subject, className: "name", title: failure.subject },
      n(failure.kind === "node" ? "" : String(failure.attempt)),
      n(failure.rank >= 0 ? String(failure.rank) : missing),
      { text: failure.reason, className: "reason" },
    ],
  }));
  list("failures", out, more, "that came before are");
}

function warnings({ rows, more }) {
  show(byId("warnings-section"), rows.length > 0);
  byId("warnings").replaceChildren(...rows.map((text) => make("li", "", text)));
  setText(byId("warnings-more"), more > 0 ? `${count(more)} that came before are not listed.` : "");
}

function nodes({ rows, more }, run) {
  const runs = run.incarnations.rows.length + run.incarnations.more;
  const out = rows.map((node, i) => {
    const until = node.left ?? run.told_until;
    const there = runTime.of(until) - runTime.of(node.joined);
    const used = node.cores * there > 0 ? node.core_s / (node.cores * there) : null;
    const stays = node.incarnation === runs && !run.ended && run.state !== "lost";
    const end = node.lost ? state("lost") : { text: stays ? "up" : "to the end", className: "state up" };
    return {
      key: String(i),
      className: node.incarnation < runs ? "gone" : "",
      cells: [
        n(String(node.rank)),
        { text: runs > 1 ? `${node.host} (part ${node.incarnation} of the run)` : node.host, className: "name" },
        end,
        n(count(node.cores)),
        n(node.gpus > 0 ? amount(node.gpus) : "·"),
        n(bytes(node.memory)),
        n(count(node.attempts)),
        used === null ? { text: missing, className: "wide first" } : { text: percent(used), className: "wide first", bar: [{ kind: "used", part: used }] },
        at(node.joined, runTime),
        node.left === null ? n(missing) : at(node.left, runTime),
        { text: node.reason, className: "reason" },
      ],
    };
  });
  list("nodes", out, more, "nodes are");
}

export function tables(data, time) {
  runTime = time;
  tasks(data.tasks);
  services(data.services);
  failures(data.failures);
  warnings(data.warnings);
  nodes(data.nodes, data.run);
}

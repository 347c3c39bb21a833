// The tables: what a snapshot lists, as rows.
import { byId, make, renewRows, setText, show } from "./dom.js";
import { amount, bytes, clock, count, decimal, latency, missing, percent, quietCount } from "./format.js";

const n = (text, className = "") => ({ text, className: `n ${className}`.trim() });
const more = (left, what) => (left > 0 ? `${count(left)} more ${what} are not listed.` : "");
const body = (id) => byId(id).tBodies[0];

/** A state as a word, with a colour of its own beside it. */
const state = (word, title = "") => ({ text: word, className: `state ${word}`, title });

function serviceState(service) {
  if (service.rows.length > 0 && service.rows.every((row) => row.state === "ended")) return state("ended");
  const wanted = service.wanted + service.remotes;
  const there = service.ready + service.remotes;
  const word = there === wanted ? "ready" : there > 0 ? "partly" : "starting";
  const failed = there === 0 && service.rows.length > 0 && service.rows.every((row) => row.state === "failed");
  return { text: `${there} of ${wanted} ready`, className: `state ${failed ? "failed" : word}` };
}

export function services({ rows, more: left }) {
  show(byId("services-section"), rows.length > 0);
  const out = [];
  for (const service of rows) {
    out.push({
      key: service.name,
      className: "group",
      cells: [
        { text: service.name, className: "name", title: [service.name, ...(service.models.length ? [`models: ${service.models.join(", ")}`] : [])].join("\n") },
        serviceState(service),
        n(""),
        n(quietCount(service.active)),
        n(quietCount(service.queued), service.queued > 0 ? "notable" : ""),
        n(decimal(service.per_s)),
        n(count(service.requests)),
        n(quietCount(service.failed), service.failed > 0 ? "bad" : ""),
        n(latency(service.p50_s)),
        n(latency(service.p99_s)),
        n(latency(service.p99_run_s)),
        n(quietCount(service.restarts), service.restarts > 0 ? "notable" : ""),
      ],
    });
    let remote = 0;
    for (const replica of service.rows) {
      const name = replica.remote ? `remote ${remote++}` : `replica ${replica.replica}`;
      const words = [replica.endpoint, replica.reason].filter(Boolean).join("\n");
      out.push({
        key: `${service.name}\n${replica.replica}`,
        className: "part",
        cells: [
          { text: name, title: replica.endpoint || "" },
          state(replica.state, words),
          n(replica.nodes || missing),
          n(quietCount(replica.active)),
          n(""),
          n(""),
          n(count(replica.requests)),
          n(quietCount(replica.failed), replica.failed > 0 ? "bad" : ""),
          n(latency(replica.p50_s)),
          n(latency(replica.p99_s)),
          n(latency(replica.p99_run_s)),
          n(quietCount(replica.attempt || 0), replica.attempt > 0 ? "notable" : ""),
        ],
      });
    }
    if (service.more > 0) {
      out.push({ key: `${service.name}\nmore`, className: "part", cells: [more(service.more, "replicas"), ...Array(11).fill("")] });
    }
  }
  renewRows(body("services"), out);
  setText(byId("services-more"), more(left, "services"));
}

const ends = ["done", "failed", "cancelled", "skipped"];
const columns = ["waiting", "ready", "running", ...ends];
const mark = { failed: "bad", running: "busy" };

function taskRow(key, name, counts, className) {
  const all = columns.reduce((sum, column) => sum + counts[column], 0);
  const over = ends.reduce((sum, column) => sum + counts[column], 0);
  return {
    key,
    className,
    cells: [
      { text: name, className: "name", title: name },
      {
        text: percent(all > 0 ? over / all : 0),
        className: "wide",
        bar: ["done", "failed", "skipped", "cancelled", "running"].map((kind) => ({ kind, part: all > 0 ? counts[kind] / all : 0 })),
      },
      ...columns.map((column) => n(quietCount(counts[column]), counts[column] > 0 ? mark[column] : "")),
      n(count(all)),
    ],
  };
}

export function tasks(groups, totals) {
  const rows = groups.rows.map((group) => taskRow(`name\n${group.name}`, group.name, group, ""));
  if (rows.length !== 1 || groups.more > 0) rows.push(taskRow("all", "All tasks", totals, "total"));
  renewRows(body("tasks"), rows);
  setText(byId("tasks-more"), more(groups.more, "names"));
}

export function failures(list) {
  show(byId("failures-section"), list.length > 0);
  const what = { attempt: "attempt, tried again", task: "task", replica: "replica", node: "node lost" };
  const rows = list.map((failure) => ({
    key: `${failure.time} ${failure.kind} ${failure.subject} ${failure.replica} ${failure.attempt} ${failure.rank}`,
    cells: [
      clock(failure.time),
      state(what[failure.kind] || failure.kind),
      { text: failure.kind === "replica" ? `${failure.subject} replica ${failure.replica}` : failure.subject, className: "name", title: failure.subject },
      n(failure.kind === "node" ? "" : String(failure.attempt)),
      n(failure.rank >= 0 ? String(failure.rank) : missing),
      { text: failure.reason, className: "reason" },
    ],
  }));
  for (const row of rows) row.cells[1].className = row.cells[1].text.startsWith("attempt") ? "state partly" : "state failed";
  renewRows(body("failures"), rows);
}

export function warnings(list) {
  show(byId("warnings-section"), list.length > 0);
  const node = byId("warnings");
  if (node.dataset.shown === JSON.stringify(list)) return;
  node.dataset.shown = JSON.stringify(list);
  node.replaceChildren(...list.slice().reverse().map((text) => make("li", "", text)));
}

export function nodes({ rows, more: left }) {
  const use = ([used, all], text) => ({ text: `${text(used)} of ${text(all)}`, className: "wide", bar: [{ kind: "used", part: all > 0 ? used / all : 0 }] });
  renewRows(
    body("nodes"),
    rows.map((node) => ({
      key: String(node.rank),
      className: node.state === "up" ? "" : "gone",
      cells: [
        n(String(node.rank)),
        { text: node.host, className: "name" },
        state(node.state),
        use(node.cores, count),
        node.gpus[1] > 0 ? use(node.gpus, amount) : { text: "none", className: "wide quiet" },
        n(`${bytes(node.memory[0])} of ${bytes(node.memory[1])}`),
        n(clock(node.joined)),
        { text: node.reason || "", className: "reason" },
      ],
    })),
  );
  setText(byId("nodes-more"), more(left, "nodes"));
}

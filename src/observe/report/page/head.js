// The head of the page: what the run was, in a few numbers; and at its end all that there is to know of how it was begun.
import { byId, make, renewRows, setText, show } from "./dom.js";
import { amount, bytes, count, missing, percent } from "./format.js";
import { length, moment } from "./time.js";

const plural = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;

function facts({ run, resources, tasks }) {
  const { all } = tasks;
  const out = [["Time", length(run.seconds)]];
  if (all.total > 0) out.push(["Tasks done", `${count(all.done)} of ${count(all.total)}`]);
  for (const [state, label] of [["failed", "Failed"], ["cancelled", "Cancelled"], ["skipped", "Skipped"], ["running", "Running"]]) {
    if (all[state] > 0) out.push([label, count(all[state]), state === "failed" ? "bad" : ""]);
  }
  const waiting = all.waiting + all.ready;
  if (waiting > 0) out.push([run.ended ? "Not run" : "Waiting", count(waiting)]);
  if (all.retried > 0) out.push(["Retried", count(all.retried)]);
  out.push(["Cores used", resources.cores > 0 ? `${percent(resources.cores_used)} of ${count(resources.cores)}` : missing]);
  if (resources.gpus > 0) out.push(["GPUs used", `${percent(resources.gpus_used)} of ${amount(resources.gpus)}`]);
  out.push(["Ran on", `${plural(run.ranks, "rank")}, ${plural(run.hosts, "host")}`]);
  if (run.exit_code !== null) out.push(["Exit code", String(run.exit_code), run.exit_code ? "bad" : ""]);
  return out;
}

function banner({ run }) {
  if (run.state === "lost") return `The log of this run has no end, and whoever wrote it is gone: the run was killed. It is told up to ${moment(run.told_until)}.`;
  if (!run.ended) return `The run was still on when this was written. It is told up to ${moment(run.told_until)}.`;
  return "";
}

function about({ run, resources }, time) {
  const resumes = run.incarnations.rows.length - 1 + run.incarnations.more;
  const rows = [
    ["Run", run.id],
    ["Begun", `${run.started} (here ${moment(time.clock(0))})`],
    ["Resumed", resumes > 0 ? run.incarnations.rows.slice(1).map((one) => `at ${length(one.before_s)}: ${moment(one.begun)}`).join("\n") : ""],
    ["Workflow", run.workflow],
    ["Parameters set", run.settings.join("\n")],
    ["Nodes had", `${plural(resources.cores, "core")}, ${plural(resources.gpus, "GPU")}, ${bytes(resources.memory)} of memory`],
    ["Trireme", run.version],
  ];
  return rows.filter(([, text]) => text);
}

export function head(data, time) {
  const { run } = data;
  setText(byId("run-name"), run.name || "run");
  document.title = `${run.name || "run"}: ${run.state} – Trireme`;
  const badge = byId("run-state");
  setText(badge, run.state);
  badge.className = `badge ${run.state}`;
  // Its first line: behind that may stand the tail of a log, which the failures show.
  setText(byId("run-reason"), run.reason.split("\n", 1)[0]);
  byId("facts").replaceChildren(
    ...facts(data).map(([label, text, className]) => {
      const fact = make("div");
      fact.append(make("dt", "", label), make("dd", className, text));
      return fact;
    }),
  );
  const words = banner(data);
  show(byId("banner"), Boolean(words));
  setText(byId("banner"), words);
  renewRows(byId("about").tBodies[0], about(data, time).map(([label, text]) => ({ key: label, cells: [label, text] })));
  setText(byId("footer"), "Times on the axes and in the tables are the run's own: from its beginning, without pauses before it was resumed. Point at one for the clock's.");
}

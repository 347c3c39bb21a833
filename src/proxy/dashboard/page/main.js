// The page: listens to the run's events and shows what they say. It only looks: nothing here asks the run to do anything.
import * as charts from "./charts.js";
import { byId, setText, show } from "./dom.js";
import { amount, clock, count, decimal, duration, percent } from "./format.js";
import * as tables from "./tables.js";

// Snapshots come every second; without one for so long, the tunnel or the run is stuck.
const silence = 6000;
const retryAfter = 5000;

let events = null;
let last = null; // the last snapshot
let heard = 0; // when that came
let over = false;

function banner(kind, text) {
  const node = byId("banner");
  show(node, Boolean(text));
  node.className = kind;
  setText(node, text);
  document.body.classList.toggle("stale", kind === "lost");
}

function share([used, all], text) {
  return all > 0 ? `${text(used)} of ${text(all)} (${percent(used / all)})` : "none";
}

function showRun({ run, tasks, resources }) {
  setText(byId("run-name"), run.name);
  const badge = byId("run-state");
  setText(badge, run.state);
  badge.className = `badge ${run.state}`;
  setText(byId("run-reason"), run.reason);
  document.title = `${run.name}: ${run.state} – Trireme`;

  const ended = tasks.done + tasks.failed + tasks.cancelled + tasks.skipped;
  setText(byId("elapsed"), duration(run.elapsed_s));
  setText(byId("left"), run.ended ? "none" : run.left_s === null ? "–" : duration(run.left_s));
  setText(byId("tasks-over"), `${count(tasks.done)} of ${count(tasks.total)}`);
  byId("tasks-over").title = `${count(ended)} of ${count(tasks.total)} have ended; ${count(tasks.retried)} were tried again`;
  setText(byId("rate"), `${decimal(tasks.per_s)} tasks/s`);
  setText(byId("cores"), share(resources.cores, count));
  setText(byId("gpus"), share(resources.gpus, amount));
  setText(byId("nodes-count"), count(run.nodes));
  setText(byId("footer"), `Run ${run.id} · begun ${clock(run.started)} · as of ${clock(last.time)} · Trireme ${run.version}${run.workflow ? ` · ${run.workflow}` : ""}`);
}

function showSnapshot(snapshot) {
  last = snapshot;
  heard = Date.now();
  showRun(snapshot);
  tables.services(snapshot.services);
  tables.tasks(snapshot.groups, snapshot.tasks);
  tables.failures(snapshot.failures);
  tables.warnings(snapshot.warnings);
  tables.nodes(snapshot.nodes);
  if (!charts.addPoints(snapshot.time, snapshot.points)) connect();
  if (!snapshot.run.ended) return banner("", "");
  over = true;
  events.close();
  banner("over", `The run has ended (exit code ${snapshot.run.exit_code}). This is how it was at ${clock(snapshot.time)}; trireme status and summary.json in the run directory tell more.`);
}

function lost(why) {
  if (over) return;
  const when = last ? ` What is shown is of ${clock(last.time)}.` : "";
  banner("lost", `${why}${when} Trying again.`);
}

/** An answer that is no event stream says why. */
async function explain() {
  try {
    const answer = await fetch("/dashboard/events", { method: "HEAD", cache: "no-store" });
    if (answer.status === 403) return "This browser may no longer see the run: take a new address from dashboard.url in the run directory.";
    if (answer.status === 503) return "As many pages as there may be are open: close one of them.";
  } catch {
    // nobody answers
  }
  return "No connection to the run: it has ended, or the tunnel is closed.";
}

function connect() {
  events?.close();
  events = new EventSource("/dashboard/events");
  const mine = events;
  events.addEventListener("history", (event) => charts.setHistory(JSON.parse(event.data)));
  events.addEventListener("snapshot", (event) => showSnapshot(JSON.parse(event.data)));
  events.addEventListener("error", async () => {
    if (over || mine !== events) return;
    lost(await explain());
    if (mine === events && mine.readyState === EventSource.CLOSED) setTimeout(() => mine === events && !over && connect(), retryAfter);
  });
}

setInterval(() => {
  if (!over && last && Date.now() - heard > silence) lost("Nothing has been heard of the run for some seconds.");
}, 2000);

charts.start();
connect();

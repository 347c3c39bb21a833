// The page of a report: shows the data that stands in it.
import { charts } from "./charts.js";
import { byId } from "./dom.js";
import { head } from "./head.js";
import { tables } from "./tables.js";
import { RunTime } from "./time.js";

const data = JSON.parse(byId("data").textContent);
const time = new RunTime(data.run.incarnations);
head(data, time);
charts(data, time);
tables(data, time);

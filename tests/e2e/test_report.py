"""The report of a run: one file, as a browser shows it from a disk, and the numbers that it holds."""

import json
import os
import unittest

import browser
import harness

MOCK = os.path.join(harness.BUILD, "trireme-mock")
HOSTILE = '</script><script>alert("id")</script><img src=x onerror=alert(1)><!--'

FLOW = f"""
name: reported
parameters: {{trials: 2}}
services:
  llama:
    command: [{MOCK}, --port, "{{port}}", --index, "{{replica}}"]
    replicas: 2
    cores: 0
    api: openai
    models: [m]
    ready: {{http: /health}}
tasks:
  first:
    foreach: {{i: [0, 1, 2]}}
    command: [/bin/echo, "{{trials}}"]
  failing:
    foreach: {{what: ['{HOSTILE}']}}
    script: |
      echo '</td><script>alert(2)</script>' >&2; exit 3
  skipped:
    after: [failing]
    command: [/bin/true]
  client:
    services: [llama]
    script: |
      curl -sSf "$TRIREME_PROXY_URL/services/llama/noop"
"""


class Reported(harness.TestCase):
    def await_task(self, run):
        harness.wait_until(lambda: os.path.exists(os.path.join(run.run_dir, "tasks", "a", "0")), "the task has a folder")
        harness.wait_until(lambda: any(event["event"] == "attempt_started" for event in run.events()), "the task runs")


class Data(Reported):
    """Without a browser."""

    def test_the_data_says_what_the_summary_says(self):
        run = self.run_workflow(FLOW, "--set", "trials=7", ranks=2, code=1)
        data = json.loads(self.trireme("report", run.run_dir, "--json").stdout)
        with open(os.path.join(run.run_dir, "summary.json")) as file:
            summary = json.load(file)
        self.assertEqual(data["run"]["state"], "failed")
        self.assertEqual(data["run"]["exit_code"], 1)
        self.assertEqual(data["run"]["settings"], ["trials=7"])
        self.assertAlmostEqual(data["run"]["seconds"], summary["seconds"], places=6)
        self.assertEqual(data["run"]["ranks"], 2)
        for state in ("total", "done", "failed", "skipped", "cancelled", "retried"):
            self.assertEqual(data["tasks"]["all"][state], summary["tasks"][state], state)
        self.assertAlmostEqual(data["resources"]["cores_used"], summary["utilisation"]["cores"], places=6)
        service, told = data["services"]["rows"][0], summary["services"]["llama"]
        self.assertEqual(service["requests"], told["requests"])
        self.assertAlmostEqual(service["bootstrap"]["init_s"]["median"], told["init_s"], places=9)
        self.assertAlmostEqual(service["response"]["inference"]["mean_s"], told["inference_s"], places=9)
        over_time = data["over_time"]
        ended = sum(over_time["ended_per_s"]) * over_time["rate_bin_s"]
        self.assertAlmostEqual(ended, 5, delta=0.05)
        self.assertEqual(len(data["nodes"]["rows"]), 2)

    def test_a_run_that_is_on_is_told_up_to_now_and_one_that_was_killed_as_lost(self):
        run = self.start("name: t\ntasks:\n  a: {command: [sleep, '1000']}\n  b: {after: [a], command: [/bin/true]}\n")
        self.await_task(run)
        data = json.loads(self.trireme("report", run.run_dir, "--json").stdout)
        self.assertEqual((data["run"]["state"], data["run"]["ended"]), ("running", False))
        self.assertEqual(data["tasks"]["all"]["running"], 1)
        self.assertGreater(data["over_time"]["running"][-1], 0)
        run.process.kill()
        run.finish()
        self.end(run)
        self.assertEqual(json.loads(self.trireme("report", run.run_dir, "--json").stdout)["run"]["state"], "lost")

    def test_what_is_wrong_is_told(self):
        self.trireme("report", os.path.join(self.folder, "none"), code=2)
        run = self.run_workflow("name: t\ntasks:\n  a: {command: [/bin/true]}\n")
        result = self.trireme("report", run.run_dir, "--out", os.path.join(self.folder, "none", "report.html"), code=4)
        self.assertIn("cannot be written", result.stderr)


@unittest.skipUnless(browser.PROGRAM, "no Chromium here: install chromium-headless-shell (tools/packages-test)")
class Page(Reported):
    def page(self, run):
        file = os.path.join(self.folder, "report.html")
        self.trireme("report", run.run_dir, "--out", file)
        page = browser.Browser()
        self.addCleanup(page.close)
        self.url = "file://" + file
        page.open(self.url)
        page.wait_for("document.querySelector('#about tr') !== null", "all is shown")
        return page

    def assert_clean(self, page):
        self.assertEqual(page.errors, [])
        self.assertEqual(page.dialogs, [])
        outside = [url for url in page.requests if not url.startswith(("about:", "data:"))]
        self.assertEqual(outside, [self.url], "nothing but the file is loaded")

    def cells(self, page, table, row):
        return page.evaluate(f"[...document.querySelectorAll('#{table} tbody tr')][{row}].innerText").split("\t")

    def test_the_page_shows_a_run_from_a_file(self):
        run = self.run_workflow(FLOW, "--set", "trials=7", ranks=2, code=1)
        page = self.page(run)
        self.assertEqual(page.text("#run-name"), "reported")
        self.assertEqual(page.text("#run-state"), "failed")
        self.assertIn("failing", page.text("#run-reason"))
        self.assertIn("4 of 6", page.text("#facts"))
        self.assertIn("trials=7", page.text("#about"))
        self.assertEqual(page.text("#banner"), "")
        self.assertEqual(page.evaluate("document.querySelectorAll('figure canvas').length"), 4, "use, running, ended, requests")
        self.assertGreater(page.evaluate("(([canvas]) => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.filter((v) => v).length)"
                                         "(document.querySelectorAll('figure canvas'))"), 0, "something is drawn")
        self.assertEqual(self.cells(page, "tasks", 0)[0], "first")
        self.assertEqual(self.cells(page, "tasks", 0)[2:5], ["3", "3", "·"])
        self.assertEqual(page.evaluate("document.querySelectorAll('#tasks tbody tr').length"), 5, "four names, and all of them")
        self.assertEqual(self.cells(page, "services", 0)[0], "llama")
        self.assertEqual(page.evaluate("document.querySelectorAll('#replicas tr.part').length"), 2)
        self.assertRegex(self.cells(page, "replicas", 1)[4].strip(), r"^[\d.]+ (µs|ms|s)")
        self.assertEqual(page.evaluate("document.querySelectorAll('#nodes tbody tr').length"), 2)

        # What comes from the workflow is text, whatever it looks like.
        self.assertIn(HOSTILE, page.text("#failures tbody tr"))
        self.assertIn("alert(2)", page.text("#failures tbody tr"))
        self.assertEqual(page.evaluate("document.querySelectorAll('main script, main img').length"), 0)

        # Dark and light, wide and narrow, and on paper.
        light = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.colour_scheme("dark")
        page.wait_for(f"getComputedStyle(document.body).backgroundColor !== {json.dumps(light)}", "it has become dark")
        self.shot(page, "dark")
        page.colour_scheme("light")
        for width in (1280, 380):
            page.size(width, 900)
            self.assertTrue(page.wait_for("document.documentElement.scrollWidth <= innerWidth", f"the page fits {width} px"))
            self.shot(page, str(width))
        page.size(1280, 900)
        self.assertTrue(page.call("Page.printToPDF", printBackground=True)["data"])
        self.assert_clean(page)

    def test_a_run_that_is_on_says_so_and_one_that_was_killed_too(self):
        run = self.start("name: t\ntasks:\n  a: {command: [sleep, '1000']}\n")
        self.await_task(run)
        page = self.page(run)
        self.assertEqual(page.text("#run-state"), "running")
        self.assertIn("still on", page.text("#banner"))
        self.assertEqual(self.cells(page, "nodes", 0)[2], "up")
        self.assert_clean(page)
        run.process.kill()
        run.finish()
        self.end(run)
        page = self.page(run)
        self.assertEqual(page.text("#run-state"), "lost")
        self.assertIn("killed", page.text("#banner"))
        self.assertEqual(self.cells(page, "nodes", 0)[2], "to the end")
        self.assert_clean(page)

    def shot(self, page, name):
        """Pictures to look at, where somebody wants them."""
        folder = os.environ.get("TRIREME_SCREENSHOTS")
        if folder:
            page.screenshot(os.path.join(folder, f"report-{name}.png"))


if __name__ == "__main__":
    unittest.main(verbosity=2)

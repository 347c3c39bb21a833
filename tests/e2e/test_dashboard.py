"""The dashboard of a live run, as a browser shows it and as a plain client finds it."""

import http.client
import json
import os
import re
import signal
import unittest
import urllib.error
import urllib.parse
import urllib.request

import browser
import harness

MOCK = os.path.join(harness.BUILD, "trireme-mock")
HOSTILE = '<script>alert("id")</script><img src=x onerror=alert(1)>'

# `first` is done at once, `failing` fails, and `gate` waits for a word in a pipe: so the test says how far the run gets.
FLOW = f"""
name: dashboard
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
    command: [/bin/true]
  failing:
    foreach: {{what: ['{HOSTILE}']}}
    command: [/bin/sh, -c, "echo '</td><script>alert(2)</script>' >&2; exit 3"]
  skipped:
    after: [failing]
    command: [/bin/true]
  client:
    services: [llama]
    script: |
      curl -sSf "$TRIREME_PROXY_URL/services/llama/noop"
  gate:
    services: [llama]
    script: |
      read word < FOLDER/pipe
  last:
    after: [gate]
    script: |
      read word < FOLDER/pipe
"""


class Live(harness.TestCase):
    def begin(self, *options, flow=FLOW, ranks=None):
        pipe = os.path.join(self.folder, "pipe")
        os.mkfifo(pipe)
        # Open for both, and for the whole test: a reader never finds it without a writer.
        self.gate = os.open(pipe, os.O_RDWR)
        self.addCleanup(os.close, self.gate)
        run = self.start(flow.replace("FOLDER", self.folder), "--dashboard", *options, ranks=ranks)
        self.link = os.path.join(run.run_dir, "dashboard.url")
        self.url = self.next_url()
        self.port = urllib.parse.urlsplit(self.url).port
        return run

    def next_url(self):
        def read():
            try:
                with open(self.link) as file:
                    return file.read().strip()
            except OSError:
                return ""
        return harness.wait_until(read, "dashboard.url is there")

    def open_gate(self):
        """Lets the task that waits go on, or the next that will wait."""
        os.write(self.gate, b"go\n")


class Plain(Live):
    """Without a browser."""

    def get(self, path, cookie=None, method="GET", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=harness.DEADLINE)
        self.addCleanup(connection.close)
        if cookie:
            headers["Cookie"] = cookie
        connection.request(method, path, headers=headers)
        return connection.getresponse()

    def test_a_key_is_good_once_events_come_live_and_the_end_is_told(self):
        run = self.begin("--worker-cores", "4")
        split = urllib.parse.urlsplit(self.url)
        answer = self.get(f"{split.path}?{split.query}")
        self.assertEqual(answer.status, 303)
        cookie = answer.headers["Set-Cookie"].split(";")[0]
        self.assertRegex(answer.headers["Set-Cookie"], "; Path=/dashboard; HttpOnly; SameSite=Strict$")
        answer = self.get(f"{split.path}?{split.query}")
        self.assertEqual(answer.status, 403)
        self.assertIn(b"dashboard.url", answer.read())
        self.assertEqual(self.get("/dashboard", Host="evil.example", cookie=cookie).status, 403)
        self.assertEqual(self.get("/dashboard/events", Origin="http://evil.example", cookie=cookie).status, 403)
        self.assertEqual(self.get("/dashboard", method="POST", cookie=cookie).status, 405)
        harness.wait_until(lambda: self.next_url() != self.url, "there is a new key")
        self.assertEqual(os.stat(self.link).st_mode & 0o777, 0o600)

        events = self.get("/dashboard/events", cookie=cookie)
        self.assertEqual(events.headers["Content-Type"], "text/event-stream")
        kinds, last = [], None
        opened = 0
        for line in events:
            if line.startswith(b"event: "):
                kinds.append(line[7:].strip().decode())
            if line.startswith(b"data: "):
                last = json.loads(line[6:])
            if kinds and kinds[-1] == "snapshot" and line == b"\n":
                running = [row["name"] for row in last["groups"]["rows"] if row["running"]]
                if (opened == 0 and "gate" in running) or (opened == 1 and "last" in running):
                    self.open_gate()
                    opened += 1
        self.assertEqual(kinds[0], "history")
        self.assertEqual(kinds.count("history"), 1)
        self.assertTrue(last["run"]["ended"])
        self.assertEqual(last["run"]["exit_code"], 1)
        self.assertEqual(last["tasks"]["failed"], 1)
        run.finish()
        self.assertEqual(run.code, 1, run.stderr)
        self.assertIn(self.url, run.stderr)
        self.assertRegex(run.stderr, rf"ssh -N -L {self.port}:127\.0\.0\.1:{self.port} \S+@\S+")
        self.assertFalse(os.path.exists(self.link))
        self.assert_nothing_left()

    def test_the_port_may_be_named_and_only_rank_0_serves(self):
        import socket
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        run = self.begin(str(port), "--worker-cores", "1", ranks=2, flow="name: t\ntasks:\n  gate:\n    script: |\n      read word < FOLDER/pipe\n")
        self.assertEqual(self.port, port)
        self.open_gate()
        self.assertEqual(run.finish().code, 0, run.stderr)

    def test_the_workflow_may_stand_behind_the_option(self):
        path = self.workflow("name: t\ntasks:\n  a:\n    command: [/bin/true]\n")
        result = self.trireme("run", "--run-dir", os.path.join(self.folder, "run"), "--dashboard", path)
        self.assertIn("/dashboard?key=", result.stderr)
        result = self.trireme("run", path, "--dashboard", "eighty", code=2)
        self.assertIn("no port", result.stderr)


@unittest.skipUnless(browser.PROGRAM, "no Chromium here: install chromium-headless-shell (tools/packages-test)")
class Page(Live):
    def page(self):
        page = browser.Browser()
        self.addCleanup(page.close)
        return page

    def assert_clean(self, page):
        self.assertEqual(page.errors, [])
        self.assertEqual(page.dialogs, [])
        outside = [url for url in page.requests if not url.startswith((f"http://127.0.0.1:{self.port}/dashboard", "about:", "data:"))]
        self.assertEqual(outside, [], "nothing is asked of anybody else")

    def test_the_page_follows_a_run_to_its_end(self):
        run = self.begin("--worker-cores", "4")
        page = self.page()
        page.open(self.url)
        page.wait_for("document.querySelector('#tasks tbody tr') !== null", "tasks are listed")
        self.assertEqual(page.evaluate("location.href"), f"http://127.0.0.1:{self.port}/dashboard", "the key is not in the address")
        self.assertEqual(page.evaluate("document.cookie"), "", "scripts do not see the cookie")
        self.assertEqual(page.text("#run-name"), "dashboard")
        self.assertEqual(page.text("#run-state"), "running")

        # Services and their replicas, and what they have answered.
        page.wait_for("document.querySelectorAll('#services td.state.ready').length === 3", "a service and two replicas are ready")
        page.wait_for("document.querySelector('#services tbody tr').cells[6].innerText === '1'", "one request was counted")
        self.assertRegex(page.evaluate("document.querySelector('#services tbody tr').cells[10].innerText"), r"^[\d.]+ (µs|ms|s)$")

        # What comes from the workflow is text, whatever it looks like.
        page.wait_for("document.querySelector('#failures tbody tr') !== null", "the failure is listed")
        self.assertIn(HOSTILE, page.text("#failures tbody tr"))
        self.assertEqual(page.evaluate("document.querySelectorAll('main script, main img').length"), 0)

        # Numbers change by themselves.
        row = "[...document.querySelectorAll('#tasks tbody tr')].find((row) => row.dataset.key === 'name\\ngate')"
        page.wait_for(f"{row}.cells[4].innerText === '1'", "the gate is running")
        before = page.text("#elapsed")
        self.open_gate()
        page.wait_for(f"{row}.cells[5].innerText === '1'", "the gate is done")
        page.wait_for(f"document.querySelector('#elapsed').innerText !== {json.dumps(before)}", "time goes on")
        self.assertEqual(page.evaluate("document.querySelectorAll('figure:not([hidden]) canvas').length"), 4)
        page.evaluate("document.querySelector('button[data-seconds=\"3600\"]').click()")
        self.assertEqual(page.evaluate("document.querySelector('[aria-pressed=true]').innerText"), "1 h")

        # Dark and light, wide and narrow.
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

        # A page that is opened later knows what was before.
        late = self.page()
        late.open(self.next_url())
        late.wait_for("document.querySelectorAll('figure:not([hidden]) canvas').length === 4", "the late page has its charts")
        self.assert_clean(late)

        self.assert_clean(page)  # at the end of the run it may still try to connect

        self.open_gate()
        page.wait_for("document.querySelector('#banner.over') !== null", "the end is told")
        self.assertIn("exit code 1", page.text("#banner"))
        self.assertEqual(page.text("#run-state"), "failed")
        self.assertEqual(run.finish().code, 1, run.stderr)
        self.shot(page, "over")
        self.assertEqual(page.dialogs, [])

    def test_a_lost_connection_and_a_used_address_are_told_in_words(self):
        run = self.begin("--worker-cores", "4")
        page = self.page()
        page.open(self.url)
        page.wait_for("document.querySelector('#tasks tbody tr') !== null", "tasks are listed")
        other = self.page()
        other.open(self.url)
        other.wait_for("document.querySelector('h1')?.innerText === 'This address has been used'", "the other browser is told")
        self.assertIn("dashboard.url", other.text("main"))
        run.process.kill()
        run.process.communicate()
        page.wait_for("document.querySelector('#banner.lost') !== null", "the page tells that the run is gone")
        self.assertIn("No connection to the run", page.text("#banner"))
        self.shot(page, "lost")
        self.shot(other, "used")
        self.assertEqual(page.dialogs, [])

    def shot(self, page, name):
        """Pictures to look at, where somebody wants them."""
        folder = os.environ.get("TRIREME_SCREENSHOTS")
        if folder:
            page.screenshot(os.path.join(folder, f"dashboard-{name}.png"))


if __name__ == "__main__":
    unittest.main(verbosity=2)

"""`output: files | stream | none`: where the output of tasks goes, and how it is found again."""

import os
import signal
import subprocess
import unittest

import harness

MANY = """
name: many
output: stream
tasks:
  say:
    script: |
      echo "out of {i}"
      echo "err of {i}" >&2
    foreach: {i: 0-199}
  quiet:
    command: [/bin/true]
    foreach: {i: 0-199}
  bytes:
    command: [/usr/bin/python3, -c, "import sys; sys.stdout.buffer.write(bytes(range(256)) * 20000)"]
"""

BAD = """
name: bad
tasks:
  bad:
    script: |
      echo "first words" >&2
      echo "what went wrong" >&2
      exit 3
"""

GROWING = """
name: growing
output: stream
tasks:
  study:
    cores: 0
    script: |
      exec /usr/bin/python3 - <<'END'
      import trireme
      print([result.read() for result in trireme.map(lambda n: ["echo", str(n)], range(3))])
      END
"""

CUT_OFF = """
name: cut-off
output: stream
tasks:
  early:
    command: echo early
  first:
    script: |
      echo "attempt {attempt}"
      until test -e "{run_dir}/go"; do sleep 0.05; done
      echo "end {attempt}"
    after: [early]
"""


class Output(harness.TestCase):
    def logs(self, run, task, *options, code=0):
        return self.trireme("logs", run.run_dir, task, *options, code=code).stdout

    def wait_for_first(self, run):
        harness.wait_until(lambda: os.path.exists(os.path.join(run.run_dir, "tasks", "first", "0")), "the task is started")
        harness.wait_until(lambda: any(event["event"] == "attempt_started" and event["task"] == "first" for event in run.events()), "the task runs")

    def read(self, path):
        with open(path, errors="replace") as file:
            return file.read()

    def files_of(self, run):
        return [os.path.join(folder, name) for folder, _, names in os.walk(os.path.join(run.run_dir, "tasks")) for name in names]

    def test_streamed_output_of_many_tasks_on_two_ranks_is_found_again(self):
        run = self.run_workflow(MANY, "--worker-cores", "4", ranks=2)
        for i in (0, 1, 77, 199):
            self.assertEqual(self.logs(run, f"say[i={i}]"), f"out of {i}\n")
            self.assertEqual(self.logs(run, f"say[i={i}]", "--stderr"), f"err of {i}\n")
            self.assertEqual(self.logs(run, f"quiet[i={i}]"), "")
        self.logs(run, "bytes", "--rank", "1", code=2)
        raw = subprocess.run([harness.TRIREME, "logs", run.run_dir, "bytes"], check=True, capture_output=True).stdout
        self.assertEqual(raw, bytes(range(256)) * 20000)
        self.assertEqual(self.files_of(run), [], "no task has left a file")
        self.assertEqual(os.listdir(os.path.join(run.run_dir, "tasks")), [], "nor a folder")
        whole = "".join(self.read(os.path.join(run.run_dir, "nodes", str(rank), "output")) for rank in range(2))
        self.assertEqual(whole.count("out of "), 200)
        self.assert_nothing_left()

    def test_a_failed_tasks_stderr_is_shown_wherever_it_is_kept(self):
        for mode in ("files", "stream"):
            with self.subTest(mode):
                run = self.run_workflow(BAD, "--output", mode, code=1, run_dir=os.path.join(self.folder, mode))
                explained = self.trireme("explain", run.run_dir, "bad").stdout
                self.assertIn("| what went wrong", explained)
                self.assertEqual(self.logs(run, "bad", "--stderr"), "first words\nwhat went wrong\n")
        self.assertIn(f"trireme logs {run.run_dir} 'bad' --stderr", run.stderr)
        self.assertIsNone(run.summary()["failures"][0]["stderr"])

    def test_output_that_was_thrown_away_is_said_to_be(self):
        run = self.run_workflow(BAD, "--output", "none", code=1)
        self.assertIn("--output files", self.trireme("explain", run.run_dir, "bad").stdout)
        self.assertIn("--output files", run.summary()["failures"][0]["reason"])
        self.assertIn("--output files", run.stderr)
        self.logs(run, "bad", code=2)

    def test_a_tasks_own_word_counts_before_the_options_and_that_before_the_workflows(self):
        run = self.run_workflow("output: none\n" + BAD.replace("exit 3", "exit 0") + "    output: files\n  other: {command: echo other}\n", "--output", "stream")
        self.assertTrue(os.path.exists(os.path.join(run.run_dir, "tasks", "bad", "0", "stderr")))
        self.assertEqual(self.logs(run, "other"), "other\n")
        self.assertFalse(os.path.exists(os.path.join(run.run_dir, "tasks", "other")))

    def test_what_was_streamed_before_a_kill_is_there_after_it_and_a_resumed_run_goes_on(self):
        run = self.start(CUT_OFF)
        self.wait_for_first(run)
        harness.wait_until(lambda: self.logs(run, "first") == "attempt 0\n", "its output is there while it runs")
        run.process.send_signal(signal.SIGKILL)
        run.finish()
        self.end(run)
        # As if the last line had been torn.
        index = os.path.join(run.run_dir, "nodes", "0", "output.index")
        with open(index, "ab") as file:
            file.write(b"0123abcd 17 ")
        self.assertEqual(self.logs(run, "early"), "early\n")
        open(os.path.join(run.run_dir, "go"), "w").close()
        resumed = subprocess.run([harness.TRIREME, "run", "--resume", run.run_dir], capture_output=True, text=True, env=self.environment(), timeout=harness.DEADLINE)
        self.assertEqual(resumed.returncode, 0, resumed.stderr)
        self.assertEqual(self.logs(run, "first", "--attempt", "0"), "attempt 0\n")
        self.assertEqual(self.logs(run, "first"), "attempt 1\nend 1\n")
        self.assertEqual(self.logs(run, "early"), "early\n")

    def test_the_python_module_reads_streamed_output(self):
        run = self.run_workflow(GROWING)
        self.assertEqual(self.logs(run, "study"), "['0\\n', '1\\n', '2\\n']\n")

    def test_logs_follow_streamed_output(self):
        run = self.start(CUT_OFF)
        self.wait_for_first(run)
        follower = subprocess.Popen([harness.TRIREME, "logs", run.run_dir, "first", "--follow"], stdout=subprocess.PIPE, text=True)
        self.assertEqual(follower.stdout.readline(), "attempt 0\n")
        open(os.path.join(run.run_dir, "go"), "w").close()
        self.assertEqual(follower.communicate(timeout=harness.DEADLINE)[0], "end 0\n")
        self.assertEqual(run.finish().code, 0)


if __name__ == "__main__":
    unittest.main()

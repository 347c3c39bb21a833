"""The commands that read a run, during it and after it."""

import json
import os
import sqlite3
import unittest

import harness

FLOW = """
name: commands
tasks:
  first:
    script: |
      echo words
      until test -e "{run_dir}/go"; do sleep 0.05; done
  second:
    command: [bash, -c, "exit 4"]
    after: [first]
  third:
    command: [/bin/true]
    after: [second]
"""

SETTINGS = f"""
name: settings
parameters: {{word: default, other: 0}}
services:
  web:
    command: [/usr/bin/python3, {harness.HERE}/server.py, "{{port}}"]
    cores: 0
    ready: {{http: /}}
tasks:
  say:
    script: |
      echo {{word}} {{other}}
      until test -e "{{run_dir}}/go"; do sleep 0.05; done
    services: [web]
"""


class Commands(harness.TestCase):
    def running(self):
        run = self.start(FLOW)
        harness.wait_until(lambda: os.path.exists(os.path.join(run.run_dir, "tasks", "first", "0", "stdout")), "the first task runs")
        return run

    def test_status_explain_logs_and_events_during_a_run_and_after(self):
        run = self.running()
        harness.wait_until(lambda: json.loads(self.trireme("status", run.run_dir, "--json").stdout)["tasks"]["running"] == 1, "status shows the running task")
        self.assertIn("first", self.trireme("explain", run.run_dir, "second").stdout)
        harness.wait_until(lambda: "words" in self.trireme("logs", run.run_dir, "first").stdout, "its output is there")
        open(os.path.join(run.run_dir, "go"), "w").close()
        run.finish()
        self.assertEqual(run.code, 1)
        self.assertIn("exit code 4", self.trireme("explain", run.run_dir, "second").stdout)
        self.assertIn("second", self.trireme("explain", run.run_dir, "third").stdout)
        database = os.path.join(self.folder, "run.db")
        self.trireme("events", run.run_dir, "--sqlite", database)
        rows = dict(sqlite3.connect(database).execute("select task, state from tasks"))
        self.assertEqual(rows, {"first": "done", "second": "failed", "third": "skipped"})
        self.trireme("explain", run.run_dir, "frist", code=2)
        self.trireme("status", os.path.join(self.folder, "nowhere"), code=2)

    def test_stop_drains_a_run_from_another_process(self):
        run = self.running()
        self.trireme("stop", run.run_dir)
        harness.wait_until(lambda: any(event["event"] == "run_draining" for event in run.events()), "the run drains")
        open(os.path.join(run.run_dir, "go"), "w").close()
        run.finish()
        summary = run.summary()
        self.assertEqual(summary["state"], "interrupted")
        self.assertEqual(summary["tasks"]["done"], 1, "the running task was let to end")
        self.assertEqual(summary["tasks"]["failed"], 0, "nothing new was started")
        self.assert_nothing_left()

    def test_a_drained_run_is_resumed_where_it_was(self):
        run = self.running()
        run.process.terminate()
        harness.wait_until(lambda: any(event["event"] == "run_draining" for event in run.events()), "the run drains")
        open(os.path.join(run.run_dir, "go"), "w").close()
        self.assertEqual(run.finish().code, 75)
        resumed = harness.subprocess.run([harness.TRIREME, "run", os.path.join(self.folder, "flow.yaml"), "--resume", run.run_dir], capture_output=True, text=True, env=self.environment(), timeout=harness.DEADLINE)
        self.assertEqual(resumed.returncode, 1, resumed.stderr)
        placed = [event for event in run.events() if event["event"] == "attempt_placed" and event["task"] == "first"]
        self.assertEqual(len(placed), 1, "what was done is not done again")
        self.assertEqual(run.summary()["tasks"]["failed"], 1)

    def test_a_task_that_was_cut_off_is_run_again_in_a_folder_of_its_own(self):
        run = self.running()
        harness.wait_until(lambda: any(event["event"] == "attempt_started" for event in run.events()), "the log knows of the attempt")
        run.process.kill()
        run.finish()
        self.end(run)  # its spawner ends the task, and this waits for nothing that outlives it
        open(os.path.join(run.run_dir, "go"), "w").close()
        resumed = harness.subprocess.run([harness.TRIREME, "run", "--resume", run.run_dir], capture_output=True, text=True, env=self.environment(), timeout=harness.DEADLINE)
        self.assertEqual(resumed.returncode, 1, resumed.stderr)
        self.assertEqual(run.stdout_of("first", attempt=1), "words\n")
        self.assertEqual(run.summary()["tasks"]["done"], 1)

    def test_a_resumed_run_remembers_what_was_set_and_overwrites_no_log(self):
        run = self.start(SETTINGS, "--set", "word=hello", "--set", "other=1")
        harness.wait_until(lambda: os.path.exists(os.path.join(run.run_dir, "tasks", "say", "0", "stdout")), "the task is started")
        harness.wait_until(lambda: any(event["event"] == "attempt_started" for event in run.events()), "the task runs")
        run.process.kill()
        run.finish()
        self.end(run)
        open(os.path.join(run.run_dir, "go"), "w").close()
        command = [harness.TRIREME, "run", "--resume", run.run_dir, "--set", "other=2"]
        resumed = harness.subprocess.run(command, capture_output=True, text=True, env=self.environment(), timeout=harness.DEADLINE)
        self.assertEqual(resumed.returncode, 0, resumed.stderr)
        self.assertEqual(run.stdout_of("say", attempt=1), "hello 2\n")
        self.assertEqual(sorted(os.listdir(os.path.join(run.run_dir, "services", "web", "0"))), ["0", "1"])

    def test_plan_says_how_mpi_tasks_would_be_started(self):
        program = os.path.join(harness.BUILD, "tests", "programs", "mpi_task.mpich")
        path = self.workflow(f"name: t\ntasks:\n  a:\n    command: [{program}, sum]\n    ranks: 2\n    mpi: true\n", "mpi.yaml")
        self.assertIn(f"by pmi: {program} is linked to libmpich.so.12", self.trireme("plan", path, "--worker-cores", "2").stdout)
        environment = {name: value for name, value in self.environment().items() if not name.startswith("SLURM")}
        command = [harness.TRIREME, "plan", path, "--worker-cores", "2", "--launcher", "srun", "--json"]
        out = harness.subprocess.run(command, capture_output=True, text=True, env=environment, timeout=harness.DEADLINE).stdout
        launch = json.loads(out)["tasks"][0]["launch"]
        self.assertEqual(launch["method"], "")
        self.assertIn("srun: this run is in no Slurm job", launch["why"])

    def test_simulate_takes_the_recorded_runtimes_of_an_instance(self):
        tasks = [{"id": name, "name": "step", "parents": parents, "children": children}
                 for name, parents, children in (("a", [], ["b"]), ("b", ["a"], []))]
        runtimes = [{"id": "a", "runtimeInSeconds": 7}, {"id": "b", "runtimeInSeconds": 5}]
        path = self.workflow(json.dumps({"name": "two", "schemaVersion": "1.5", "workflow": {
            "specification": {"tasks": tasks, "files": []}, "execution": {"makespanInSeconds": 12, "tasks": runtimes}}}), "two.json")
        for options, seconds in (([], 12), (["--time-scale", "0.5"], 6), (["--duration", "step=2"], 4), (["--duration", "3"], 6)):
            with self.subTest(options=options):
                report = json.loads(self.trireme("simulate", path, "--cores", "1", "--json", *options).stdout)
                self.assertAlmostEqual(report["makespan_s"], seconds, delta=0.1)

    def test_simulate_knows_the_tasks_that_a_duration_names(self):
        made_up = ("--tasks", "10", "--cores", "1", "--shape", "name=big", "--shape", "cores=1", "--json")
        report = json.loads(self.trireme("simulate", *made_up, "--duration", "big=5", "--duration", "kind1=1").stdout)
        self.assertAlmostEqual(report["makespan_s"], 30, delta=0.1)
        self.assertIn("did you mean big", self.trireme("simulate", *made_up, "--duration", "bi=5", code=2).stderr)
        path = self.workflow(FLOW)
        self.assertIn("did you mean third", self.trireme("simulate", path, "--duration", "thir=5", code=2).stderr)

    def test_a_replay_keeps_its_scale_and_mode_of_output_when_it_is_resumed(self):
        path = self.workflow(json.dumps({"name": "long", "schemaVersion": "1.5", "workflow": {
            "specification": {"tasks": [{"id": "a"}, {"id": "b", "parents": ["a"]}]},
            "execution": {"tasks": [{"id": "a", "runtimeInSeconds": 1000}, {"id": "b", "runtimeInSeconds": 5}]}}}), "long.json")
        run = self.start(path, "--time-scale", "0.001", "--output", "none")
        harness.wait_until(lambda: os.path.exists(os.path.join(run.run_dir, "tasks", "a", "0")), "the first task is started")
        harness.wait_until(lambda: any(event["event"] == "attempt_started" for event in run.events()), "the first task runs")
        run.process.kill()
        run.finish()
        self.end(run)
        resumed = harness.subprocess.run([harness.TRIREME, "run", "--resume", run.run_dir], capture_output=True, text=True, env=self.environment(), timeout=harness.DEADLINE)
        self.assertEqual(resumed.returncode, 0, resumed.stderr)
        starts = [event for event in run.events() if event["event"] == "run_started"]
        self.assertEqual([start["settings"] for start in starts], [["--time-scale=0.001", "--output=none"]] * 2)
        self.assertFalse(os.path.exists(os.path.join(run.run_dir, "tasks", "b", "0", "stdout")))

    def test_output_that_cannot_be_written_is_no_success(self):
        run = self.run_workflow("name: t\ntasks:\n  a: {command: [/bin/true]}\n")
        with open("/dev/full", "w") as full:
            for command in ("events", "export", "report", "status", "trace"):
                result = harness.subprocess.run([harness.TRIREME, command, run.run_dir], stdout=full, stderr=harness.subprocess.PIPE, text=True, timeout=harness.DEADLINE)
                self.assertEqual(result.returncode, 4, command)
                self.assertIn("standard output", result.stderr)
        # A reader that has seen enough is no failure.
        reader, writer = os.pipe()
        os.close(reader)
        result = harness.subprocess.run([harness.TRIREME, "events", run.run_dir], stdout=writer, stderr=harness.subprocess.PIPE, text=True, timeout=harness.DEADLINE)
        os.close(writer)
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_plan_takes_whatever_was_set(self):
        path = self.workflow("name: t\nparameters: {x: a}\nservices:\n  w: {command: [sleep, '{x}'], ready: {file: x}}\ntasks:\n  a: {command: ['true', '{x}']}\n")
        result = harness.subprocess.run([harness.TRIREME, "plan", path, "--json", "--set", b"x=\xff"], stdout=harness.subprocess.PIPE, timeout=harness.DEADLINE)
        self.assertEqual(result.returncode, 0)
        self.assertEqual(len(json.loads(result.stdout)["tasks"]), 1)

    def test_a_file_named_as_if_programs_ran_beside_it_is_told(self):
        with open(os.path.join(self.folder, "train.py"), "w"):
            pass
        path = self.workflow("name: t\ntasks:\n  wrong: {command: [python3, train.py]}\n  right: {command: [python3, '{workflow_dir}/train.py', train.py]}\n")
        said = self.trireme("validate", path).stderr
        self.assertIn('task wrong names train.py, which lies beside the workflow file', said)
        self.assertEqual(said.count("warning"), 1)

    def test_validate_and_plan(self):
        path = self.workflow(FLOW)
        self.trireme("validate", path)
        plan = json.loads(self.trireme("plan", path, "--json").stdout)
        self.assertEqual([entry["task"] for entry in plan["tasks"]], ["first", "second", "third"])
        self.assertEqual({entry["launch"]["method"] for entry in plan["tasks"]}, {"direct"})
        bad = self.workflow("name: t\ntasks:\n  a:\n    comand: x\n", "bad.yaml")
        errors = json.loads(self.trireme("validate", bad, "--json", code=2).stdout)["errors"]
        self.assertIn((4, 5), [(error["line"], error["column"]) for error in errors])


if __name__ == "__main__":
    unittest.main()

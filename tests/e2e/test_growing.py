"""Workflows that grow while they run: from a shell, from Python, from outside, and again when they are resumed."""

import json
import os
import subprocess
import unittest

import harness

PYTHON = "/usr/bin/python3"


class Growing(harness.TestCase):
    def file(self, name, text, executable=False):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(text)
        if executable:
            os.chmod(path, 0o755)
        return path

    def test_a_task_submits_waits_and_cancels_with_the_commands(self):
        run = self.run_workflow(
            f"""
name: commands
tasks:
  steer:
    cores: 0
    script: |
      set -e
      first=$({harness.TRIREME} submit --name first --env WHAT=oars -- sh -c 'echo $WHAT "{{braces}}"')
      second=$({harness.TRIREME} submit --after "$first" --cores 1 -- true)
      {harness.TRIREME} wait "$first" "$second" "$first"
      slow=$({harness.TRIREME} submit --name slow -- sleep 600)
      {harness.TRIREME} cancel "$slow"
      if {harness.TRIREME} wait "$slow"; then exit 9; fi
      if {harness.TRIREME} submit --cores 100000 -- true; then exit 8; fi
""",
            ranks=2,
        )
        self.assertEqual(run.stdout_of("first"), "oars {braces}\n")
        lines = run.stdout_of("steer").splitlines()
        self.assertEqual(lines[:2] + lines[-1:], ["first done", "task[0] done", "slow cancelled"])
        tasks = run.summary()["tasks"]
        self.assertEqual((tasks["total"], tasks["done"], tasks["cancelled"]), (4, 3, 1))
        self.assert_nothing_left()

    def test_the_python_module_on_every_rank(self):
        steer = self.file(
            "steer.py",
            """
import os, sys, trireme

me = os.environ["TRIREME_TASK_ID"].split("=")[1].rstrip("]")
tasks = [trireme.submit(["sh", "-c", f"exit {i}"], name=f"{me}-{i}") for i in range(3)]
assert {task.id for task in trireme.as_completed(tasks)} == {f"{me}-{i}" for i in range(3)}
assert [task.result().exit_code if task.exception() is None else task.exception().result.exit_code for task in tasks] == [0, 1, 2]
assert list(result.read() for result in trireme.map(lambda n: ["echo", str(n)], range(5))) == [f"{n}\\n" for n in range(5)]
try:
    trireme.submit(["x"], retires=3)
except trireme.TriremeError as error:
    assert "retries" in str(error), error
else:
    raise AssertionError("a mistake passed")
done, pending = trireme.wait([trireme.submit(["true"]), trireme.submit(["sleep", "600"], name=me + "-slow")], return_when=trireme.FIRST_COMPLETED)
assert len(done) == 1 and len(pending) == 1
for task in pending:
    assert task.cancel()
    assert task.wait().state == "cancelled"
trireme.start_service(me + "-echo", command=[sys.executable, "-m", "http.server", "{port}", "--bind", "127.0.0.1"], cores=0)
assert b"Directory listing" in trireme.request(me + "-echo", "/")
trireme.stop_service(me + "-echo")
""",
        )
        run = self.run_workflow(
            f"""
name: module
tasks:
  steer:
    foreach: {{side: [a, b]}}
    cores: 1
    command: [{PYTHON}, {steer}]
""",
            "--worker-cores", "3", ranks=2, code=1,
        )
        states = {task["task"]: task["state"] for task in run.events() if task["event"] == "task_changed"}
        for side in ("a", "b"):
            self.assertEqual(states[f"steer[side={side}]"], "done", run.stdout_of(f"steer[side={side}]", stream="stderr"))
        self.assert_nothing_left()

    def test_a_run_is_grown_from_outside_through_its_directory(self):
        run = self.start("name: outside\ntasks:\n  hold:\n    script: until test -e {run_dir}/go; do sleep 0.05; done\n")
        harness.wait_until(lambda: os.path.exists(os.path.join(run.run_dir, "tasks", "hold", "0", "stdout")), "the task runs")
        path = self.file("more.yaml", "tasks:\n  more:\n    foreach: {i: [1, 2]}\n    cores: 0\n    command: [echo, \"{i}\"]\n")
        self.assertEqual(self.trireme("submit", "--run", run.run_dir, "--file", path, "--wait").stdout, "more[i=1] done\nmore[i=2] done\n")
        self.assertIn("cannot be read", self.trireme("submit", "--run", run.run_dir, "--file", path + "x", code=2).stderr)
        # More than one answer tells of.
        path = self.file("many.yaml", "tasks:\n  many:\n    foreach: {i: 1-10100}\n    cores: 0\n    function: {python: \"math:floor\"}\n    args: [1.5]\n")
        self.assertEqual(len(self.trireme("submit", "--run", run.run_dir, "--file", path, "--wait").stdout.splitlines()), 10100)
        self.trireme("wait", "--run", run.run_dir, "nobody", code=2)
        open(os.path.join(run.run_dir, "go"), "w").close()
        self.assertEqual(run.finish().code, 0, run.stderr)
        self.trireme("submit", "--run", run.run_dir, "--", "true", code=2)

    def test_a_resumed_run_knows_what_was_submitted(self):
        flow = self.workflow(
            f"""
name: again
tasks:
  steer:
    cores: 0
    script: |
      {harness.TRIREME} submit --name early -- sh -c 'echo x >> {self.folder}/early'
      {harness.TRIREME} submit --name late --after early -- sh -c 'until test -e {self.folder}/go; do sleep 0.05; done'
      {harness.TRIREME} wait early late
"""
        )
        run = self.start(flow)
        harness.wait_until(lambda: os.path.exists(os.path.join(run.run_dir, "tasks", "late", "0", "stdout")), "the submitted task runs")
        harness.wait_until(lambda: any(event["event"] == "attempt_started" and event["task"] == "late" for event in run.events()), "the log knows that the submitted task runs")
        run.process.kill()
        run.finish()
        self.end(run)
        open(os.path.join(self.folder, "go"), "w").close()
        resumed = subprocess.run([harness.TRIREME, "run", flow, "--resume", run.run_dir], capture_output=True, text=True, env=self.environment(), timeout=harness.DEADLINE)
        self.assertEqual(resumed.returncode, 0, resumed.stderr)
        self.assertEqual(run.summary()["tasks"]["total"], 3)
        with open(os.path.join(self.folder, "early")) as file:
            self.assertEqual(file.read(), "x\n", "what was done is not done again")

    def test_functions_pass_results_on_and_a_crash_fails_its_call_alone(self):
        self.file(
            "mine.py",
            """
import os, signal

def add(*numbers):
    return sum(numbers)

def fail():
    raise ValueError("no oars")

def crash():
    os.kill(os.getpid(), signal.SIGSEGV)
""",
        )
        self.file(
            "native.c",
            """
#include <stdlib.h>
#include <trireme/function.h>
int echo(trireme_call* call) { call->set(call, call->args, call->args_length); return 0; }
int refuse(trireme_call* call) { call->fail(call, "not today"); return 1; }
int crash(trireme_call* call) { (void)call; abort(); }
""",
        )
        subprocess.run(["cc", "-shared", "-fPIC", "-I", os.path.join(harness.SOURCE, "include"), "-o", os.path.join(self.folder, "libmine.so"), os.path.join(self.folder, "native.c")], check=True)
        run = self.run_workflow(
            """
name: functions
tasks:
  one: {function: {python: "mine:add"}, args: [1, 2]}
  two: {function: {python: "mine:add"}, args: [{result: one}, 10]}
  many: {function: {python: "mine:add"}, args: ["{i}"], foreach: {i: 1-200}, cores: 0}
  three: {function: {library: ./libmine.so, symbol: echo}, args: {got: [{result: two}]}}
  raises: {function: {python: "mine:fail"}}
  refuses: {function: {library: ./libmine.so, symbol: refuse}}
  lost: {function: {library: ./libmine.so, symbol: nowhere}}
  crashes: {function: {library: ./libmine.so, symbol: crash}, retries: 1}
  dies: {function: {python: "mine:crash"}}
  stuck: {function: {python: "time:sleep"}, args: [600], timeout: 0.5s}
  after: {function: {library: ./libmine.so, symbol: echo}, args: [done], after: [many]}
""",
            ranks=2, code=1,
        )
        ends = {event["task"]: event for event in run.events() if event["event"] == "attempt_ended"}
        self.assertEqual(ends["two"]["result"], 13)
        self.assertEqual(ends["three"]["result"], {"got": [13]})
        self.assertEqual(ends["many[i=200]"]["result"], 200)
        self.assertEqual(ends["after"]["result"], ["done"])
        for task, word in {"raises": "no oars", "refuses": "not today", "lost": "no function nowhere", "crashes": "SIGABRT", "dies": "SIGSEGV", "stuck": "timeout"}.items():
            self.assertNotEqual(ends[task]["outcome"], "done", task)
            self.assertIn(word, ends[task]["reason"], task)
        tasks = run.summary()["tasks"]
        self.assertEqual((tasks["done"], tasks["failed"]), (204, 6), run.stderr)
        self.assertEqual({failure["stderr"] for failure in run.summary()["failures"]}, {None}, "calls leave no files")
        self.assert_nothing_left()

    def test_functions_of_a_module_are_submitted_from_python(self):
        self.file(
            "work.py",
            """
import trireme

@trireme.function(cores=0)
def square(x):
    return x * x

if __name__ == "__main__":
    assert list(trireme.map(square, range(300))) == [x * x for x in range(300)]
    first = square.submit(7)
    assert square.submit(first).result() == 49 * 49
    try:
        square.submit("text").result()
    except trireme.TaskFailed as error:
        assert "TypeError" in str(error), error
    else:
        raise AssertionError("a failure passed")
""",
        )
        self.run_workflow(f"name: python\ntasks:\n  work:\n    cores: 0\n    command: [{PYTHON}, {self.folder}/work.py]\n", ranks=2, code=1)

    def test_an_instance_is_replayed_and_a_run_is_exported_as_one(self):
        instance = {
            "name": "diamond", "schemaVersion": "1.5",
            "workflow": {
                "specification": {"tasks": [
                    {"name": "top", "id": "top", "parents": [], "children": ["left", "right"]},
                    {"name": "side", "id": "left", "parents": ["top"], "children": ["bottom"]},
                    {"name": "side", "id": "right", "parents": ["top"], "children": ["bottom"]},
                    {"name": "bottom", "id": "bottom", "parents": ["left", "right"], "children": []},
                ]},
                "execution": {"makespanInSeconds": 30, "executedAt": "2026-01-01T00:00:00Z", "tasks": [{"id": id, "runtimeInSeconds": 10} for id in ("top", "left", "right", "bottom")]},
            },
        }
        path = self.file("diamond.json", json.dumps(instance))
        self.trireme("validate", path)
        run = self.run_workflow(path, "--time-scale", "0.01")
        exported = json.loads(self.trireme("export", run.run_dir).stdout)
        tasks = {task["id"]: task for task in exported["workflow"]["specification"]["tasks"]}
        self.assertEqual(sorted(tasks["bottom"]["parents"]), ["left", "right"])
        self.assertEqual(sorted(tasks["top"]["children"]), ["left", "right"])
        self.assertEqual(tasks["left"]["name"], "side")
        runtimes = {task["id"]: task["runtimeInSeconds"] for task in exported["workflow"]["execution"]["tasks"]}
        self.assertTrue(all(runtime >= 0.05 for runtime in runtimes.values()), runtimes)
        again = os.path.join(self.folder, "again.json")
        self.trireme("export", run.run_dir, "--out", again)
        self.assertIn("4 tasks", self.trireme("validate", again).stdout)

    def test_the_optuna_study_grows_its_own_trials(self):
        flow = os.path.join(harness.SOURCE, "workflows", "optuna", "optuna.yaml")
        if subprocess.run([os.path.join(os.path.dirname(flow), "python"), "-c", ""]).returncode != 0:
            self.fail("Optuna is not installed: tools/packages lists it")
        run = self.run_workflow(flow, "--set", "generations=2", "--set", "width=2", ranks=2)
        with open(os.path.join(run.run_dir, "study.json")) as file:
            study = json.load(file)
        self.assertEqual(study["trials"], 4)
        self.assertGreater(study["best"], 0.6)
        self.assertEqual(run.summary()["tasks"]["total"], 5)


if __name__ == "__main__":
    unittest.main()

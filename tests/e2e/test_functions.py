"""Function tasks and the module's futures as someone who writes a workflow uses them, with the mistakes that one makes."""

import json
import os
import subprocess
import unittest

import harness

PYTHON = "/usr/bin/python3"


class Functions(harness.TestCase):
    def file(self, name, text):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
        return path

    def steer(self, program, *options, code=0, name="steer.py", **keywords):
        """Runs a program as the one task of a run, which it must end well; others that it submits may fail."""
        path = self.file(name, program)
        run = self.start(f"name: functions\ntasks:\n  steer:\n    cores: 0\n    command: [{PYTHON}, {path}]\n", *options, **keywords).finish()
        states = {event["task"]: event["state"] for event in run.events() if event["event"] == "task_changed"}
        self.assertEqual(states["steer"], "done", run.stderr)
        self.assertEqual(run.code, code, run.stderr)
        return run

    def ends(self, run):
        return {event["task"]: event for event in run.events() if event["event"] == "attempt_ended"}

    def test_whatever_a_function_does_to_its_process_fails_its_own_call_alone(self):
        self.file(
            "mine.py",
            """
import os, signal, sys

def quick(i):
    with open(os.environ["TRIREME_RUN_DIR"] + "/made", "a") as file:
        file.write("x")
    return i

def segfault():
    os.kill(os.getpid(), signal.SIGSEGV)

def leave():
    os._exit(0)

def leave_politely():
    sys.exit(3)

def fork_back():
    child = os.fork()
    if child == 0:
        sys.exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def processes():
    import multiprocessing
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(abs, [-1, -2])

def threads():
    import threading
    found = []
    workers = [threading.Thread(target=found.append, args=(i,)) for i in range(8)]
    [worker.start() for worker in workers]
    [worker.join() for worker in workers]
    return len(found)
""",
        )
        odd = {name: {"function": {"python": f"mine:{name}"}, "cores": 0} for name in ("segfault", "leave", "leave_politely", "fork_back", "processes", "threads")}
        tasks = {}
        for i, (name, task) in enumerate(odd.items()):
            tasks[f"quick{i}"] = {"function": {"python": "mine:quick"}, "args": ["{i}"], "foreach": {"i": "1-300"}, "cores": 0}
            tasks[name] = task
        run = self.run_workflow(json.dumps({"name": "odd", "tasks": tasks}, indent=1), "--worker-cores", "1", code=1)
        ends = self.ends(run)
        wrong = {name: end["reason"] for name, end in ends.items() if end["outcome"] != "done"}
        self.assertEqual(set(wrong), {"segfault", "leave", "leave_politely"}, wrong)
        self.assertIn("SIGSEGV", wrong["segfault"])
        log = wrong["segfault"].split("(see ")[1].rstrip(")")
        with open(log) as file:
            self.assertIn("in segfault", file.read(), "the log says where")
        self.assertIn("exit code 0", wrong["leave"])
        self.assertIn("SystemExit: 3 (mine.py, line 16, in leave_politely)", wrong["leave_politely"])
        self.assertEqual([ends[name]["result"] for name in ("fork_back", "processes", "threads")], [7, [1, 2], 8])
        with open(os.path.join(run.run_dir, "made")) as file:
            self.assertEqual(len(file.read()), 6 * 300, "each call is made once")
        self.assert_nothing_left()

    def test_results_and_reasons_are_what_a_reader_can_use(self):
        self.file(
            "mine.py",
            """
import helper

def nan():
    return {"loss": float("nan")}

def bytes_():
    return b"oars"

def deep():
    return helper.fail()

def large():
    return "x" * 2_000_000

def small():
    print("three banks")
    return {"oars": ["ναῦς", 170]}
""",
        )
        self.file("helper.py", "def fail():\n    raise KeyError('no oars')\n")
        self.file("broken.py", "import nowhere_at_all\n")
        tasks = {name: {"function": {"python": f"mine:{name}"}} for name in ("nan", "bytes_", "deep", "large", "small", "absent")}
        tasks["unimportable"] = {"function": {"python": "broken:f"}}
        run = self.run_workflow(json.dumps({"name": "words", "tasks": tasks}, indent=1), code=1)
        reasons = {name: end["reason"] for name, end in self.ends(run).items()}
        self.assertIn("the result is no JSON", reasons["nan"])
        self.assertIn("a bytes cannot be said in JSON", reasons["bytes_"])
        self.assertIn("KeyError: 'no oars' (helper.py, line 2, in fail)", reasons["deep"])
        self.assertIn("longer than 1 MiB: return the name of a file", reasons["large"])
        self.assertIn("no attribute 'absent'", reasons["absent"])
        self.assertIn("nowhere_at_all", reasons["unimportable"])
        self.assertIn('result: {"oars":', self.trireme("explain", run.run_dir, "small").stdout)
        self.assertEqual(json.loads(self.trireme("explain", run.run_dir, "small", "--json").stdout)["result"], {"oars": ["ναῦς", 170]})
        executors = os.path.join(run.run_dir, "nodes", "0", "executors")
        self.assertIn(executors, self.trireme("logs", run.run_dir, "small", code=2).stderr)
        logs = ""
        for name in os.listdir(executors):
            with open(os.path.join(executors, name)) as file:
                logs += file.read()
        self.assertIn("three banks", logs)

    def test_a_child_that_comes_back_from_a_function_ends_there(self):
        self.file(
            "mine.py",
            """
import os, sys

def fork_back(code):
    child = os.fork()
    if child == 0:
        sys.exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def processes():
    import multiprocessing
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(abs, [-1, -2])
""",
        )
        tasks = {"fork_back": {"function": {"python": "mine:fork_back"}, "args": ["{i}"], "foreach": {"i": "0-49"}, "cores": 0}}
        tasks["processes"] = {"function": {"python": "mine:processes"}, "cores": 0}
        run = self.run_workflow(json.dumps({"name": "forks", "tasks": tasks}, indent=1), "--worker-cores", "1")
        ends = self.ends(run)
        self.assertEqual([ends[f"fork_back[i={i}]"]["result"] for i in range(50)], list(range(50)))
        self.assertEqual(ends["processes"]["result"], [1, 2])
        self.assert_nothing_left()

    def test_modules_of_one_name_in_two_folders_are_two(self):
        for side in ("port", "starboard"):
            self.file(f"{side}/bank.py", f"def name():\n    return {side!r}\n")
        tasks = {side: {"function": {"python": "bank:name", "path": f"{self.folder}/{side}"}, "foreach": {"i": "1-20"}} for side in ("port", "starboard")}
        run = self.run_workflow(json.dumps({"name": "folders", "tasks": tasks}, indent=1))
        for task, end in self.ends(run).items():
            self.assertEqual(end["result"], task.split("[")[0])

    def test_a_program_without_a_main_guard_is_told_of_it(self):
        run = self.steer(
            """
import trireme

@trireme.function(cores=0)
def double(x):
    return 2 * x

try:
    double.submit(4).result(timeout=60)
except trireme.TaskFailed as error:
    assert '__name__ == "__main__"' in str(error), error
else:
    raise AssertionError("it went well")
""",
            code=1,
        )
        self.assertEqual(run.summary()["tasks"]["total"], 2)

    def test_functions_of_a_program_that_is_run_as_a_module(self):
        self.file("fleet/__init__.py", "")
        self.file("fleet/signs.py", "FLAG = 'red'\n")
        self.file(
            "fleet/flag.py",
            """
import trireme
from . import signs

@trireme.function(cores=0)
def show():
    return signs.FLAG

if __name__ == "__main__":
    assert show.submit().result() == "red"
""",
        )
        self.run_workflow(f"name: module\ntasks:\n  steer:\n    cores: 0\n    cwd: {self.folder}\n    command: [{PYTHON}, -m, fleet.flag]\n")

    def test_map_begins_at_once_gives_results_as_they_come_and_names_its_tasks(self):
        run = self.steer(
            """
import os, pathlib, trireme

go = pathlib.Path(os.environ["TRIREME_RUN_DIR"], "go")

@trireme.function(cores=0)
def length(text):
    return len(text)

if __name__ == "__main__":
    trireme.map(lambda i: ["touch", go.parent / f"made-{i}"], range(3), name="made")  # nobody asks for its results
    results = trireme.map(lambda wait: ["sh", "-c", "until test -e $0; do sleep 0.02; done", go if wait else "/"], [False, True], cores=0)
    assert next(results).ok, "the first result is there before the second"
    go.touch()
    assert next(results).ok
    assert [task.id for task in trireme.wait([trireme.task(f"made[{i}]") for i in range(3)]).done], "all are tasks"
    assert trireme.submit_many([{"name": "made", "id": "made[0]", "command": ["touch", str(go.parent / "made-0")]}])[0].id == "made[0]"
    # More than one submission may hold, twice over.
    assert list(trireme.map(length, ("x" * (100_000 + i) for i in range(200)))) == [100_000 + i for i in range(200)]
""",
        )
        self.assertTrue(all(os.path.exists(os.path.join(run.run_dir, f"made-{i}")) for i in range(3)))
        self.assertEqual(run.summary()["tasks"]["total"], 1 + 3 + 2 + 200)

    def test_futures_of_a_foreach_and_the_first_exception(self):
        self.steer(
            """
import concurrent.futures, pathlib, trireme

futures = trireme.submit_many([{"name": "row", "foreach": {"side": ["port", "starboard"]}, "command": ["echo", "{side}"]}, {"command": ["true"]}])
assert [future.id for future in futures] == ["row[side=port]", "row[side=starboard]", "task[0]"], futures
assert futures[1].result().read() == "starboard\\n"
try:
    trireme.submit(["true"], name="x", foreach={"i": [1, 2]})
except TypeError as error:
    assert "submit_many" in str(error)
else:
    raise AssertionError("a foreach passed")

slow = trireme.submit(["sleep", "600"], name="slow", cwd=pathlib.Path("/tmp"))
waited = trireme.wait([trireme.submit(["true"]), trireme.submit(["false"], name="fails"), slow], return_when=concurrent.futures.FIRST_EXCEPTION)
assert slow in waited.not_done and any(future.id == "fails" for future in waited.done), waited
slow.cancel()
try:
    trireme.wait([slow], return_when="SOME")
except ValueError as error:
    assert "SOME" in str(error)
else:
    raise AssertionError("a wrong return_when passed")
""",
            code=1,
        )

    def test_the_words_of_a_command_mean_themselves(self):
        self.steer(
            """
import trireme

assert trireme.submit(["echo", "{x} {run_dir}", 7]).result().read() == "{x} {run_dir} 7\\n"
assert trireme.submit("echo '{x}  y' z").result().read() == "{x}  y z\\n"
with open("own", "w") as file:
    file.write("#!/bin/sh\\necho own $1\\n")
import os; os.chmod("own", 0o755)
assert trireme.submit(["./own", "1"]).result().read() == trireme.submit("./own 1").result().read() == "own 1\\n"
for wrong, word in {"echo hi | cat": "script", "echo 'hi": "quotation"}.items():
    try:
        trireme.submit(wrong)
    except (trireme.TriremeError, ValueError) as error:
        assert word in str(error), error
    else:
        raise AssertionError(wrong)
""",
        )

    def test_numpy_values_are_numbers_and_lists(self):
        if subprocess.run([PYTHON, "-c", "import numpy"], stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("no numpy here")
        self.steer(
            """
import numpy, trireme

@trireme.function(cores=numpy.int64(0))
def scaled(values, factor):
    return numpy.array(values) * factor

if __name__ == "__main__":
    assert scaled.submit(numpy.arange(3), numpy.float32(0.5)).result() == [0.0, 0.5, 1.0]
""",
            environment=self.environment(TRIREME_PYTHON=PYTHON),
        )

    def test_a_program_on_a_login_node_uses_the_run_directory(self):
        run = self.start("name: outside\ntasks:\n  hold:\n    script: until test -e {run_dir}/go; do sleep 0.05; done\n")
        harness.wait_until(lambda: os.path.exists(os.path.join(run.run_dir, "tasks", "hold", "0", "stdout")), "the task runs")
        program = self.file(
            "steer.py",
            """
import os, trireme

@trireme.function(cores=0)
def double(x):
    return 2 * x

if __name__ == "__main__":
    assert trireme.submit(["echo", "ναῦς"], name="there", cores=0).result().read() == "ναῦς\\n"
    assert list(trireme.map(double, range(20))) == [2 * i for i in range(20)]
    assert {task["id"] for task in trireme.tasks(name="there")} == {"there"}
    try:
        trireme.submit(["true"], retires=1)
    except trireme.TriremeError as error:
        assert error.status == 400 and "retries" in str(error), error
    try:
        trireme.request("nobody", "/")
    except trireme.TriremeError as error:
        assert "services cannot be asked" in str(error), error
    trireme.submit(["touch", os.environ["TRIREME_RUN_DIR"] + "/go"], cores=0)
""",
        )
        environment = self.environment(TRIREME_RUN_DIR=run.run_dir, PYTHONPATH=os.path.join(harness.BUILD, "python"))
        done = subprocess.run([PYTHON, program], env=environment, capture_output=True, text=True, timeout=harness.DEADLINE)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(run.finish().code, 0, run.stderr)
        late = subprocess.run([PYTHON, "-c", "import trireme; trireme.submit(['true'])"], env=environment, capture_output=True, text=True, timeout=harness.DEADLINE)
        self.assertIn("is not on any more", late.stderr)
        self.assertEqual(os.listdir(os.path.join(run.run_dir, "requests", "answers")), [])


if __name__ == "__main__":
    unittest.main()

"""Bad input gets a clear error and the right exit code, and nothing is lost."""

import json
import os
import shutil
import subprocess
import unittest

import harness

TRUE = "name: t\ntasks:\n  ok:\n    command: [/bin/true]\n"


class ExitCodes(harness.TestCase):
    def failed_task(self, command, exit_code, words, extra=""):
        run = self.run_workflow(f"name: t\ntasks:\n  bad:\n    command: {command}\n{extra}  good:\n    command: [/bin/true]\n", code=1)
        summary = run.summary()
        self.assertEqual((summary["state"], summary["exit_code"]), ("failed", 1))
        self.assertEqual((summary["tasks"]["failed"], summary["tasks"]["done"]), (1, 1))
        ends = [event for event in run.events() if event["event"] == "attempt_ended" and event["outcome"] != "done"]
        self.assertEqual([event["exit_code"] for event in ends], [exit_code])
        self.assertIn(words, ends[0]["reason"])
        self.assertIn("bad", run.stderr)
        self.assert_nothing_left()
        return run

    def test_a_failing_task_is_exit_1_and_the_others_go_on(self):
        self.failed_task("[bash, -c, exit 3]", 3, "exit code 3")

    def test_the_reason_of_a_failed_task_ends_with_its_stderr(self):
        run = self.failed_task("[bash, -c, 'echo no such file: data.csv >&2; exit 3']", 3, "exit code 3\nno such file: data.csv")
        self.assertIn("no such file: data.csv", run.stderr)
        told = self.trireme("explain", run.run_dir, "bad").stdout
        self.assertEqual(told.count("no such file"), 1, told)

    def test_a_missing_executable_is_127_in_log_and_summary(self):
        run = self.failed_task("[no-such-program]", 127, "no-such-program")
        self.assertIn("127", json.dumps(run.summary()))

    def test_a_file_that_is_not_executable_is_126(self):
        with open(os.path.join(self.folder, "plain"), "w") as file:
            file.write("text")
        self.failed_task("[./plain]", 126, "plain")

    def test_a_promised_output_that_is_not_there_fails_the_task(self):
        self.failed_task("[/bin/true]", 0, "result.txt", "    outputs: [{from: result.txt, to: '{run_dir}/result.txt'}]\n")

    def test_a_wrong_command_line_is_exit_2_in_our_words(self):
        for arguments, words in (
            (["statsu"], "did you mean status?"),
            ([], "trireme --help"),
            (["status"], "trireme status --help"),
            (["run", "--frob"], "--frob"),
            (["run"], "name a workflow file"),
            (["run", "nowhere.yaml"], "nowhere.yaml"),
            (["run", self.folder], "folder"),
        ):
            with self.subTest(arguments=arguments):
                result = self.trireme(*arguments, code=2)
                self.assertIn(words, result.stderr)
                self.assertTrue(all(line.startswith("trireme: ") for line in result.stderr.splitlines()), result.stderr)

    def test_a_bad_workflow_file_is_exit_2_with_its_position(self):
        run = self.run_workflow("name: t\ntasks:\n  a:\n    comand: [x]\n", code=2)
        self.assertIn("flow.yaml:4:5", run.stderr)
        self.assertIn("command", run.stderr)
        self.assertFalse(os.path.exists(run.run_dir))
        self.assert_nothing_left()

    def test_a_bad_workflow_file_is_exit_2_under_the_launcher_too(self):
        run = self.run_workflow("name: t\ntasks:\n  a:\n    comand: [x]\n", code=2, ranks=2)
        self.assertEqual(run.stderr.count("flow.yaml:4:5"), 1, "only one rank speaks")

    def test_a_workflow_that_cannot_fit_is_exit_3_with_need_and_supply(self):
        run = self.run_workflow("name: t\ntasks:\n  wide:\n    command: [/bin/true]\n    cores: 5000\n", code=3)
        self.assertIn("5000", run.stderr)
        self.assertIn("wide", run.stderr)
        self.assertEqual(run.summary()["exit_code"], 3)
        self.assert_nothing_left()

    def test_a_second_run_on_a_run_directory_is_refused(self):
        first = self.run_workflow(TRUE)
        second = self.run_workflow(TRUE, code=2)
        self.assertIn(first.run_dir, second.stderr)
        self.assertEqual(first.summary()["exit_code"], 0)

    def test_a_run_directory_with_a_path_of_200_bytes_works(self):
        path = os.path.join(self.folder, "d" * (199 - len(self.folder)))
        self.assertGreaterEqual(len(path), 200)
        run = self.run_workflow(SERVICE, run_dir=path)
        self.assertEqual(run.summary()["tasks"]["done"], 1)

    @unittest.skipUnless(os.geteuid() == 0, "mounting a small file system needs root")
    def test_a_full_disk_under_the_run_directory_is_exit_4_in_words(self):
        disk = os.path.join(self.folder, "disk")
        os.mkdir(disk)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk]).returncode != 0:
            self.skipTest("this root may not mount (a container)")
        try:
            flow = "name: t\ntasks:\n  fill:\n    script: |\n      head -c 1000000 /dev/zero > big\n  many:\n    foreach: {i: [%s]}\n    command: [/bin/true]\n    after: []\n" % ", ".join(map(str, range(500)))
            run = self.run_workflow(flow, run_dir=os.path.join(disk, "run"), code=4)
            self.assertIn("No space left on device", run.stderr)
            self.trireme("events", run.run_dir)
        finally:
            subprocess.run(["umount", disk], check=True)
        self.assert_nothing_left()

    def test_the_wrong_launcher_is_exit_4_and_names_both(self):
        other, names = ("mpiexec.hydra", ("hydra", "Open MPI")) if harness.MPI == "openmpi" else ("mpirun.openmpi", ("mpirun", "MPICH"))
        self.assertIsNotNone(shutil.which(other))
        run = self.start(TRUE, ranks=3, launcher=[other, "-n", "3"]).finish()
        self.assertEqual(run.code, 4, run.stderr)
        for name in names:
            self.assertIn(name, run.stderr)
        self.assertFalse(os.path.exists(os.path.join(run.run_dir, "events")))


SERVICE = f"""
name: t
services:
  web:
    command: [/usr/bin/python3, {harness.HERE}/server.py, "{{port}}"]
    cores: 0
    ready: {{http: /}}
tasks:
  ask:
    script: curl -sf "$TRIREME_SERVICE_WEB_URL/"
    services: [web]
"""

if __name__ == "__main__":
    unittest.main()

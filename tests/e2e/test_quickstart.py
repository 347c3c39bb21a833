"""The quickstart gives the same result on any number of ranks."""

import json
import os
import unittest

import harness


class Quickstart(harness.TestCase):
    def result(self, ranks):
        run = self.run_workflow(os.path.join(harness.SOURCE, "workflows/quickstart/quickstart.yaml"), ranks=ranks, run_dir=os.path.join(self.folder, f"run-{ranks}"))
        summary = run.summary()
        self.assertEqual((summary["state"], summary["exit_code"]), ("done", 0))
        self.assertEqual(summary["tasks"]["done"], summary["tasks"]["total"])
        self.assertEqual(summary["ranks"], ranks or 1)
        with open(os.path.join(run.run_dir, "result.json")) as file:
            result = json.load(file)
        self.assertEqual(sum(result["requests_by_replica"].values()), result["rows"])
        self.assertEqual(summary["services"]["classifier"]["requests"], result["rows"])
        self.assert_nothing_left()
        return run, result

    def test_the_result_is_the_same_on_one_two_three_and_eight_ranks(self):
        _, alone = self.result(None)
        self.assertGreater(alone["accuracy"], 0.9)
        for ranks in [1, 2, 3, 8] if harness.MPI == "openmpi" else [3]:
            run, result = self.result(ranks)
            self.assertEqual((result["accuracy"], result["confusion"]), (alone["accuracy"], alone["confusion"]))
            if ranks >= 2:
                started = {}
                for event in run.events():
                    if event["event"] == "replica_changed" and event["state"] == "ready":
                        started[event["replica"]] = event["rank"]
                self.assertEqual(len(set(started.values())), 2, "the replicas are on two ranks")


if __name__ == "__main__":
    unittest.main()

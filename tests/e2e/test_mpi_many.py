"""Many PMIx tasks in a row: the server's descriptors and memory stay flat, and it is replaced after its share of them.

The number of tasks is the one argument, 200 by default.
"""

import glob
import os
import sys
import threading
import unittest

import harness
from harness import BUILD, TestCase

TASKS = int(sys.argv.pop(1)) if len(sys.argv) > 1 and sys.argv[1].isdigit() else 200
PER_SERVER = 1000  # defaults::pmix_namespaces
LARGEST_RSS = 256 << 20


class Many(TestCase):
    def look(self):
        """Descriptors and resident bytes of the PMIx servers of this run."""
        seen = []
        for pid in harness.processes_with(self.mark):
            try:
                with open(f"/proc/{pid}/comm") as file:
                    if file.read().strip() != "trireme-pmix":
                        continue
                with open(f"/proc/{pid}/statm") as file:
                    seen.append((len(os.listdir(f"/proc/{pid}/fd")), int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")))
            except OSError:
                continue
        return seen

    def test_in_a_row(self):
        flow = f"name: many\ntasks:\n  client:\n    command: [{BUILD}/tests/programs/pmix_client]\n    ranks: 2\n    mpi: pmix\n    foreach: {{i: 1-{TASKS}}}\n"
        run = self.start(flow, "--worker-cores", "2", "--progress", "none")
        looks = []
        over = threading.Event()

        def watch():
            while not over.wait(0.05):
                looks.append(self.look())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            run.finish(120 + TASKS)
        finally:
            over.set()
            watcher.join()
        self.assertEqual(run.code, 0, run.stderr)
        self.assertEqual(run.summary()["tasks"]["done"], TASKS)
        looks = [look for look in looks if look]
        self.assertGreater(len(looks), 3)
        print("descriptors and MB of the servers:", [(f, r >> 20) for f, r in [looks[0][0], looks[len(looks) // 2][0], looks[-1][0]]], file=sys.stderr)
        self.assertLess(max(fds for look in looks for fds, _ in look), 64)
        self.assertLess(max(rss for look in looks for _, rss in look), LARGEST_RSS)
        logs = glob.glob(os.path.join(run.run_dir, "nodes", "0", "pmix-*.log"))
        self.assertEqual(len(logs), (TASKS + PER_SERVER - 1) // PER_SERVER)
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main()

"""A Dask program as its documentation has it: a LocalCluster of two workers, client.map, client.gather.

    dask_client.py noop|execute TASKS IN_FLIGHT    prints when the first task began and when the last one ended

All on loopback and without a dashboard. pure=False: the tasks are run for what they do, so Dask need not hash their arguments.
"""

import subprocess
import sys
import time

from distributed import Client, LocalCluster

WORKERS = 2
LOOPBACK = "127.0.0.1:0"


def noop(_):
    now = time.time()
    return now, now


def execute(_):
    begin = time.time()
    subprocess.run(["/bin/true"], check=True)
    return begin, time.time()


def main():
    function, tasks, in_flight = {"noop": noop, "execute": execute}[sys.argv[1]], int(sys.argv[2]), int(sys.argv[3])
    with LocalCluster(n_workers=WORKERS, threads_per_worker=in_flight // WORKERS, host="127.0.0.1", dashboard_address=LOOPBACK, worker_dashboard_address=LOOPBACK, local_directory=".") as cluster:
        with Client(cluster) as client:
            spans = client.gather(client.map(function, range(tasks), pure=False))
    print(min(begin for begin, _ in spans), max(end for _, end in spans))


if __name__ == "__main__":
    main()

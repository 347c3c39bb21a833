"""An open loop of requests, as a task: load.py OUT SEED LOW:SECONDS HIGH:SECONDS LOW:SECONDS, rates in requests per second.

Requests begin when their time has come, whether or not earlier ones were answered: a service that is too slow is not spared.
OUT gets when each rate began, by the wall clock, and of each request the phase, its end after the begin, latency and status.
"""

import json
import os
import random
import sys
import threading
import time
import urllib.error
import urllib.request

URL = os.environ["TRIREME_SERVICE_MODEL_URL"].rstrip("/") + "/v1/completions"
BODY = json.dumps({"model": "m", "prompt": "row", "max_tokens": 20}).encode()


def ask(phase, began, done):
    sent = time.monotonic()
    try:
        request = urllib.request.Request(URL, BODY, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            answer.read()
            status = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
    except OSError:
        status = 0
    end = time.monotonic()
    done.append([phase, end - began, end - sent, status])


def main():
    out, seed, *phases = sys.argv[1:]
    generator = random.Random(int(seed))
    began, due = time.monotonic(), 0.0
    starts, threads, done = [], [], []
    for phase, (rate, seconds) in enumerate(map(float, part.split(":")) for part in phases):
        starts.append(time.time() + began + due - time.monotonic())
        end = due + seconds
        while (due := due + generator.expovariate(rate)) < end:
            time.sleep(max(0.0, began + due - time.monotonic()))
            threads.append(threading.Thread(target=ask, args=(phase, began, done)))
            threads[-1].start()
        due = end
        time.sleep(max(0.0, began + due - time.monotonic()))
    over = time.time()
    for thread in threads:
        thread.join()
    with open(out, "w") as file:
        json.dump({"starts": starts, "over": over, "requests": done}, file)


if __name__ == "__main__":
    main()

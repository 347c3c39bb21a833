"""A load that rises and falls: many clients until the service has grown, then one until it has shrunk, while its replicas are
started anew, and until that is done. Each answer is counted; one that is no answer is a request lost."""

import json
import os
import sys
import threading
import time
import urllib.request

URL = os.environ["TRIREME_PROXY_URL"]
DEADLINE = time.monotonic() + 80


def control(method, path):
    request = urllib.request.Request(URL + path, method=method, headers={"Authorization": "Bearer " + os.environ["TRIREME_TOKEN"]})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def replicas():
    return control("GET", "/runtime/services/llama")["replicas"]


def states():
    return [replica["state"] for replica in replicas()]


class Clients:
    def __init__(self):
        self.wanted = 0
        self.threads = []
        self.answered = 0
        self.lost = []

    def ask(self, number):
        body = json.dumps({"model": "m", "prompt": "row", "max_tokens": 20}).encode()
        while number < self.wanted:
            try:
                request = urllib.request.Request(URL + "/v1/completions", body, {"Content-Type": "application/json"})
                with urllib.request.urlopen(request, timeout=60) as answer:
                    json.load(answer)["choices"]
                self.answered += 1
            except Exception as error:
                self.lost.append(repr(error))

    def set(self, wanted):
        self.wanted = wanted
        for number in range(len(self.threads), wanted):
            self.threads.append(threading.Thread(target=self.ask, args=(number,)))
            self.threads[-1].start()


def wait(condition, what):
    while not condition():
        if time.monotonic() > DEADLINE:
            sys.exit(f"not in time: {what}; the replicas are {states()}")
        time.sleep(0.1)


def rise_fall_and_restart():
    clients.set(12)
    wait(lambda: states().count("ready") == 3, "three replicas")
    clients.set(1)
    wait(lambda: states().count("ready") == 1 and "draining" not in states(), "one replica again")
    before = [replica["attempt"] for replica in replicas() if replica["state"] == "ready"]
    control("POST", "/runtime/services/llama/restart")
    wait(lambda: [replica["attempt"] for replica in replicas() if replica["state"] == "ready"] == [before[0] + 1], "its next life")


clients = Clients()
try:
    rise_fall_and_restart()
finally:
    clients.set(0)
    for thread in clients.threads:
        thread.join()
print(json.dumps({"answered": clients.answered, "lost": clients.lost}))

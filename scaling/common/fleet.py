"""Instances of one service, and clients on their node or on another: what the published experiments on response times are made of.

(Merzky et al. 2025, arXiv:2503.13343, experiments 2 and 3.) Strong scaling: 16 clients of 1 to 16 services; weak scaling: as many clients
as services. A client has one request in progress and sends the next at once. The parts of a response time are the paper's:

    inference      what a replica took                 } as the run itself has measured them (docs/spec/events.md)
    service        until the request was on its way    }
    communication  the rest of what the client has seen: from it to its proxy, to the rank of the replica, and back

A node is a rank here, with as many cores as it needs whatever the machine has, so that the replicas lie where they shall.
"""

import json
import os

import rig

CLIENTS = 16
SERVICES = (1, 2, 4, 8, 16)
WHERE = ("local", "remote")


def configurations(quick):
    """(scaling, services, clients); that with 16 of both is of both kinds."""
    services = (1, 16) if quick else SERVICES
    return [("strong", n, CLIENTS) for n in services] + [("weak", n, n) for n in services if n != CLIENTS]


class Fleet(rig.Run):
    """A run with `replicas` of a service `model`. `url`, `socket` and `token` are those of a task where the clients are."""

    FLOW = """
name: fleet
services:
  model:
    command: @command@
    replicas: @replicas@
    cores: 1
    @settings@
tasks:
  clients:
    script: |
      printf '%s\\n%s\\n%s\\n' "$TRIREME_PROXY_URL" "$TRIREME_SOCKET" "$TRIREME_TOKEN" > @folder@/part && mv @folder@/part @folder@/where
      exec sleep 100000
    cores: @replicas@
    priority: 10
"""

    def __init__(self, command, replicas, where, settings):
        self.command, self.replicas, self.where, self.settings = command, replicas, where, settings

    def start(self):
        # The clients' task takes a node's worth of cores first, so the replicas get the other half, or the other node.
        ranks, cores = (1, 2 * self.replicas) if self.where == "local" else (2, self.replicas)
        flow = rig.filled(self.FLOW, command=json.dumps(self.command), replicas=self.replicas, settings=self.settings, folder=self.folder)
        self.run(flow, "--worker-cores", str(cores), ranks=ranks)
        where = os.path.join(self.folder, "where")
        rig.wait_for(lambda: os.path.exists(where), "trireme run", self.processes)
        self.wait_for_replicas(self.replicas)  # a service is ready with the first of them
        with open(where) as file:
            proxy, self.socket, self.token = file.read().split()
        self.url = proxy + "/services/model"
        self.environment = dict(os.environ, TRIREME_SOCKET=self.socket, TRIREME_TOKEN=self.token)

    def parts(self, requests):
        """Means of `service` and `inference` over all requests, once the log has that many."""
        def response():
            counted = self.read_services()[0]["response"]
            return counted if counted["requests"] >= requests else None

        rig.wait_for(response, f"{requests} requests in the log", self.processes)
        counted = response()
        return {name + "_s": counted[name]["mean_s"] for name in ("service", "inference")}

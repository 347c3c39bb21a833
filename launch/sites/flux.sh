#!/bin/bash
# Trireme in a Flux instance.
#
#   flux batch -N4 launch/sites/flux.sh WORKFLOW.yaml [options of `trireme run`]
#
# Not run on a real Flux yet: launch/sites/README.md says what was tested.

# Whole nodes: the runtime gives out all that they have.
#flux: --nodes=2
#flux: --exclusive
#flux: --time-limit=60m

set -eu
nodes=$(flux resource list -n -s up -o '{nnodes}')
# -o cpu-affinity=off, gpu-affinity=off: the runtime binds its tasks' ranks itself and must see all GPUs.
# -o pmi=pmix: what an Open MPI build needs (flux-pmix's plugin); an MPICH build needs TRIREME_PMI=simple, which Flux has by itself.
# --signal: USR1 two minutes before the end: the run drains, ends with 75, and `--resume RUN` goes on with it.
exec flux run --nodes="$nodes" --ntasks="$nodes" --exclusive -o cpu-affinity=off -o gpu-affinity=off \
  -o pmi="${TRIREME_PMI:-pmix}" --signal=SIGUSR1@2m \
  "${TRIREME:-trireme}" run "$@"

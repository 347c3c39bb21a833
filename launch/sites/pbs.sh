#!/bin/bash
# Trireme in a job of PBS Pro or OpenPBS.
#
#   qsub -l select=4:ncpus=64:mpiprocs=1 -v ARGUMENTS="WORKFLOW.yaml --set trials=16" launch/sites/pbs.sh
#
# PBS hands no arguments to a script, hence the variable. Not run on a real PBS yet: launch/sites/README.md says what was tested.

#PBS -N trireme
# A chunk is a node; mpiprocs=1: one line of the host file each, so one rank of the runtime. Set ncpus (and ngpus) to all that
# a node has: the runtime gives out whole nodes.
#PBS -l select=2:ncpus=64:mpiprocs=1
#PBS -l place=scatter:excl
#PBS -l walltime=01:00:00
#PBS -j oe

set -eu
cd "$PBS_O_WORKDIR"
# PBS sends TERM when the time is up, and KILL after the queue's kill_delay (often 10 s): the run drains on TERM, ends with 75, and
# `--resume RUN` goes on with it. exec, so that the signal reaches mpirun and not this shell.
nodes=$(sort -u "$PBS_NODEFILE" | wc -l)
if mpirun --version 2>/dev/null | grep -q 'Open MPI'; then
  # ppr:1:node: one rank per node; --bind-to none: the runtime binds its tasks' ranks itself.
  # shellcheck disable=SC2086
  exec mpirun -n "$nodes" --map-by ppr:1:node --bind-to none --hostfile "$PBS_NODEFILE" "${TRIREME:-trireme}" run $ARGUMENTS
fi
# Cray's PALS and MPICH's hydra.
# shellcheck disable=SC2086
exec mpiexec -n "$nodes" -ppn 1 "${TRIREME:-trireme}" run $ARGUMENTS

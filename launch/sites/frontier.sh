#!/bin/bash
# Trireme on Frontier (OLCF): Slurm, HPE Cray MPICH, 64 cores and 8 GPU dies per node.
#
#   sbatch -A PROJECT launch/sites/frontier.sh WORKFLOW.yaml [options of `trireme run`]
#
# Written from the site's documentation, and not run there yet: launch/sites/README.md says what was tested and where.
#
# Two builds of Trireme make sense here. This one is built with Cray MPICH (CC=cc CXX=CC) and talks over Slingshot; its MPI tasks
# are Cray MPICH programs. Those are started by the site's own srun (add `--launcher srun`), because Cray's PMI is served by srun
# alone. Tasks built with Open MPI or PMIx need no srun: Trireme's own PMIx servers start them (`--launcher pmix`).

#SBATCH --job-name=trireme
#SBATCH --partition=batch
#SBATCH --nodes=2
#SBATCH --time=01:00:00
# Low-noise mode keeps the first core of each L3 (0, 8, … 56) for the system: 56 of 64 are ours. It is the site's default,
# said here because --cpus-per-task below counts on it. With --core-spec=0 use 64 there, and add `--reserve-cores l3`.
#SBATCH --core-spec=8
# USR1 two minutes before the end, to the steps: the run drains, ends with 75, and `--resume RUN` goes on with it.
#SBATCH --signal=USR1@120
#SBATCH --no-requeue

set -eu
module load PrgEnv-gnu cray-mpich rocm
# The runtime itself never touches a GPU; a task that hands GPU memory to MPI sets this to 1 in its `env:`.
export MPICH_GPU_SUPPORT_ENABLED=0
# `--launcher srun` starts Cray MPICH tasks by this plugin; without it MPICH's tasks are started by pmi2.
export TRIREME_SRUN_MPI=cray_shasta
# Sockets and scratch belong on the node. /tmp is memory here, so keep scratch small or use -C nvme.
export TRIREME_TMPDIR=${TRIREME_TMPDIR:-/tmp}

# --overlap: steps of MPI tasks (srun inside the job) run beside this one on the same cores; without it they would wait for ever.
# --gpus-per-node=8: the step sees all GPUs and the runtime gives them to tasks by ROCR_VISIBLE_DEVICES.
# --cpus-per-task=56 --cpu-bind=none: all cores that low-noise mode leaves; the runtime binds.
exec srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 --cpus-per-task=56 --gpus-per-node=8 --cpu-bind=none --overlap \
  --kill-on-bad-exit=0 --no-kill \
  "${TRIREME:-trireme}" run "$@"

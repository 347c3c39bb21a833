#!/bin/bash
# Trireme on Delta (NCSA), nodes with four A100: Slurm, 64 cores and 4 GPUs per node.
#
#   sbatch -A PROJECT-delta-gpu launch/sites/delta.sh WORKFLOW.yaml [options of `trireme run`]
#
# Written from the site's documentation, and not run there yet: launch/sites/README.md says what was tested and where.

#SBATCH --job-name=trireme
#SBATCH --partition=gpuA100x4
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
# Nodes are shared by default; the runtime gives out whole ones. --exclusive alone grants no GPU, and memory only as asked for.
#SBATCH --exclusive
#SBATCH --gpus-per-node=4
#SBATCH --mem=0
#SBATCH --cpus-per-task=64
#SBATCH --time=01:00:00
# USR1 two minutes before the end, to the step: the run drains, ends with 75, and `--resume RUN` goes on with it.
#SBATCH --signal=USR1@120
#SBATCH --no-requeue

set -eu
module load gcc openmpi
# Each node has NVMe at /tmp: sockets and scratch belong there, and not on the parallel file system.
export TRIREME_TMPDIR=${TRIREME_TMPDIR:-/tmp}
# Left from an interactive shell, either would reach the step.
unset CUDA_VISIBLE_DEVICES SLURM_DISTRIBUTION

# --cpus-per-task: a step would else have one core of each node. --cpu-bind=none: the runtime binds its tasks' ranks itself.
# --overlap: steps inside the job (`--launcher srun`) run beside this one.
exec srun --mpi=pmix --nodes="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 --cpus-per-task=64 --gpus-per-node=4 \
  --cpu-bind=none --overlap --kill-on-bad-exit=0 --no-kill \
  "${TRIREME:-trireme}" run "$@"

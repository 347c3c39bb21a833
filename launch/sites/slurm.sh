#!/bin/bash
# Trireme in a Slurm job, for any site whose Slurm has the PMIx plugin (`srun --mpi=list` names it).
#
#   sbatch --nodes=4 launch/sites/slurm.sh WORKFLOW.yaml [options of `trireme run`]
#
# Copy it, and change what your site wants. TRIREME names the program; TRIREME_MPI the plugin (pmi2 for a Trireme built with MPICH).

#SBATCH --job-name=trireme
#SBATCH --nodes=2
# One rank of the runtime on each node: it starts everything else there by itself.
#SBATCH --ntasks-per-node=1
# The runtime gives out whole nodes. On a shared node it would give out what other jobs use.
#SBATCH --exclusive
#SBATCH --time=01:00:00
# Two minutes before the time is up all ranks are sent USR1: the run drains (starts nothing more), and ends with 75. To go on from
# there: sbatch launch/sites/slurm.sh WORKFLOW.yaml --resume RUN. Without B: the signal goes to the step, not to this script.
#SBATCH --signal=USR1@120
# No second run in the same folder after a node failure: resume it by hand, where the loss has been looked at.
#SBATCH --no-requeue

set -eu
# With --dist and --mem in the environment a step would take them for its own.
unset SLURM_MEM_PER_CPU SLURM_MEM_PER_GPU SLURM_DISTRIBUTION

# --cpus-per-task: since Slurm 22.05 a step no longer takes its cores from the job, and would confine the runtime, with all that it
#   starts, to one core of each node.
# --cpu-bind=none: the runtime binds the ranks of its tasks itself.
# --overlap: steps inside the job (`--launcher srun`) run beside this one; without it they would wait for it to end.
# --kill-on-bad-exit=0, --no-kill: Slurm leaves it to the runtime what to do about a lost rank or node.
exec srun --mpi="${TRIREME_MPI:-pmix}" --nodes="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 \
  --cpus-per-task="$SLURM_CPUS_ON_NODE" --cpu-bind=none --overlap --kill-on-bad-exit=0 --no-kill \
  "${TRIREME:-trireme}" run "$@"

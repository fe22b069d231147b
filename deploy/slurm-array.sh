#!/bin/bash
# Samples of a model on a Slurm cluster, a part for each task of the array; the last job judges them all.
#
#     sbatch --array=1-16 deploy/slurm-array.sh                  16 parts, as many at once as there are GPUs
#     sbatch --dependency=singleton deploy/slurm-array.sh judge  when all of them are done
#
# Tasks meet in WORK, on a file system that all nodes see. A task that was stopped or requeued goes on where it
# was; a part that is done is not drawn again. Nothing talks to anything: any number may run at once.
#SBATCH --job-name=undiffuse
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --time=08:00:00
#SBATCH --requeue
#SBATCH --signal=INT@60
#SBATCH --output=undiffuse-%A_%a.log
# On clusters with GPUs, add: #SBATCH --gres=gpu:1
set -euo pipefail

UNDIFFUSE=${UNDIFFUSE:-undiffuse}
MODEL=${MODEL:-zoo/fashion-vp}
COUNT=${COUNT:-50000}
WORK=${WORK:-$PWD/evaluation-$(basename "$MODEL")}
REFERENCE=${REFERENCE:-held_out.npz}
# More options of `undiffuse evaluate`: SAMPLER="--sampler dpmpp_2m --steps 20"
SAMPLER=${SAMPLER:-}

common=(evaluate --model "$MODEL" --count "$COUNT" --work "$WORK" $SAMPLER)
if [ "${1:-}" = judge ]; then
    exec "$UNDIFFUSE" "${common[@]}" --reference "$REFERENCE"
fi
# `exec`: Slurm's signal reaches the program, which stops between two batches.
exec "$UNDIFFUSE" "${common[@]}" --shard auto

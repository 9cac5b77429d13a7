#!/bin/sh
# What a machine with an NVIDIA GPU is asked: the tests marked gpu, then a short training on simulated data, CPU beside GPU.
# Runs from the repository's root with nothing installed: PYTHONPATH=.typing. Results go to $OUT.
set -eu
OUT=${OUT:-benchmarks/results}
PYTHON=${PYTHON:-python3}
export PYTHONPATH=".typing${PYTHONPATH:+:$PYTHONPATH}"
"$PYTHON" -m pytest -m gpu -p no:cacheprovider -q | tee "$OUT/gpu_tests.txt"
"$PYTHON" benchmarks/gpu_training.py --out "$OUT/gpu_training.json"

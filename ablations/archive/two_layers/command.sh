#!/bin/sh
# From the root of the project as it was then; run again, it continues.
OMP_NUM_THREADS=1 nodejepa-ext table --preset best --workers 1 --threads 1 --out ablations/headline

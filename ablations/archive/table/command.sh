#!/bin/sh
# One thread each, so two of these at a time fill two cores.
export OMP_NUM_THREADS=1
python run_full.py --threads 1 --config ablations/table/best.toml
python run_full.py --threads 1 --preset bgrl --config ablations/table/bgrl.toml
python run_full.py --threads 1 --preset card

#!/bin/sh
# The headline, one line; it was made as the four after it, two processes at a time.
export OMP_NUM_THREADS=1
python run_full.py --threads 1 --controls full --seeds 20 --first-seed 1000
# python run_full.py --threads 1 --seeds 20 --first-seed 1000 --graphs cora,citeseer
# python run_full.py --threads 1 --seeds 20 --first-seed 1000 --graphs pubmed
# python run_full.py --threads 1 --seeds 20 --first-seed 1000 --graphs cora,citeseer --preset bgrl
# python run_full.py --threads 1 --seeds 20 --first-seed 1000 --graphs pubmed --preset bgrl
# Every recorded trial again; --graph, --stage, --trial, --seed choose some.
python ablations/recipe/trials.py "$@"

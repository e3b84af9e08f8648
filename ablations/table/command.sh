#!/bin/sh
# The README's table, one process a line, one thread each.
export OMP_NUM_THREADS=1
python run_full.py --threads 1 --out results/best
python run_full.py --threads 1 --preset bgrl --out results/bgrl
python run_full.py --threads 1 --preset card --graphs cora --seeds 5 --out results/card
python run_full.py --threads 1 --preset card --graphs citeseer --seeds 2 --out results/card
python run_full.py --threads 1 --preset card --graphs pubmed --seeds 1 --out results/card

#!/bin/sh
# One thread.
OMP_NUM_THREADS=1 python run_full.py --threads 1 --preset card --graphs cora --seeds 5
OMP_NUM_THREADS=1 python run_full.py --threads 1 --preset card --graphs citeseer,pubmed --seeds 3

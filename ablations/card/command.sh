#!/bin/sh
# One thread; CiteSeer and PubMed were not finished: run the same with --graphs citeseer,pubmed --seeds 3.
OMP_NUM_THREADS=1 python run_full.py --threads 1 --preset card --graphs cora --seeds 5

#!/bin/sh
# From the root of the project; one worker of one thread. Run again, it continues.
OMP_NUM_THREADS=1 nodejepa-ext compare cora citeseer pubmed --tasks link --first-seed 2000 --workers 1 \
  --methods ours,cca-ssg,vgae,sgc,sgc-joined,untrained-joined,fastrp,fastrp-raw,raw --out ablations/links

#!/bin/sh
# FOLDER holds two graphs that are not part of this project, see measure.py. Rows that are there stay.
folder="${1:?folder of chameleon_filtered.npz and actor.npz}"
measure() {
  OMP_NUM_THREADS=1 python ablations/weak_features/measure.py "$@"
}
measure planted 0,1,2,3,4 150,600
measure planted 0,1,2,3,4 5000
measure graphs "$folder" chameleon,actor 0,1

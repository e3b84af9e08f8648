#!/bin/sh
# FOLDER holds amazon_photo.npz (Shchur et al. 2018), which is not part of this project.
OMP_NUM_THREADS=1 python ablations/samplers/measure.py "${1:?folder of amazon_photo.npz}"

#!/bin/sh
# From the root of the project; two workers of one thread on two cores. Run again, it continues.
nodejepa-ext ablate --vary target=ema,online,frozen --vary regulariser=none,sigreg,vicreg,decorrelation --factorial --encoder gcn --hidden 256 --out-width 128 --skip linear --seeds 10 --out ablations/family

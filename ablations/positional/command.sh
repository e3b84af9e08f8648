#!/bin/sh
# From the root of the project; two workers of one thread on two cores. Run again, it continues.
nodejepa-ext ablate --bfs-mask --laplacian-pe --factorial --encoder gcn --hidden 256 --out-width 128 --skip linear --seeds 10 --out ablations/positional

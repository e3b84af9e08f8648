#!/bin/sh
# From the root of the project; two workers of one thread on two cores. Run again, it continues.
nodejepa-ext ablate --arms ablations/collapse/arms.toml --encoder gcn --hidden 256 --out-width 128 --eval-every 15 --out ablations/collapse
nodejepa-ext plot ablations/collapse

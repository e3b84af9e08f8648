#!/bin/sh
# From the root of the project; two workers of one thread on two cores. Run again, it continues.
nodejepa-ext ablate --arms ablations/augmentation/arms.toml --seeds 10 --out ablations/augmentation
nodejepa-ext ablate --vary epochs=150,50,100,200,400,600,1000 --encoder gcn --hidden 256 --out-width 128 --skip linear --seeds 5 --out ablations/augmentation/epochs
nodejepa-ext plot ablations/augmentation/epochs

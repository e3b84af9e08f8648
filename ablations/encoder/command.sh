#!/bin/sh
# From the root of the project; two workers of one thread on two cores. Run again, it continues.
nodejepa-ext ablate --arms ablations/encoder/arms.toml --seeds 10 --out ablations/encoder

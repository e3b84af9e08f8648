#!/bin/sh
# From the root of the project; two workers of one thread on two cores. Begun again, it continues.
nodejepa-ext sweep --workers 2 --graphs cora,citeseer --out ablations/sweep
nodejepa-ext plot ablations/sweep

#!/bin/bash
# primes.sh find: each instance uploads the primes of its share of [0, 10000).
# primes.sh count: downloads the parts and uploads their number of primes.
set -euo pipefail
. ./config.sh
. ./oss.sh

folder=find-prime/$ALI_DIKU_JOB_ID
case $1 in
    find)
        start=$((10000 * ALI_DIKU_INSTANCE_ID / INSTANCE_COUNT))
        end=$((10000 * (ALI_DIKU_INSTANCE_ID + 1) / INSTANCE_COUNT))
        # a prime has one factor
        seq $start $((end - 1)) | factor | awk 'NF == 2 { print $2 }' > part
        oss_put part "$folder/primes.$ALI_DIKU_INSTANCE_ID"
        ;;
    count)
        keys=$(oss_list "$folder/primes.")
        for key in $keys; do
            oss_get "$key" part
            cat part >> all
        done
        wc -l < all > count
        oss_put count "$folder/count"
        ;;
esac

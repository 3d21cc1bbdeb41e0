#!/usr/bin/env bash
# Says which tests were skipped and why, from what they left in target/tmp/skipped-tests.tsv (tests/requirements.rs); nothing when
# there are none. The last words of `make test`.
set -euo pipefail
cd "$(dirname "$0")/.."

record="${CARGO_TARGET_DIR:-target}/tmp/skipped-tests.tsv"
if [ "${1:-}" = --forget ]; then
    rm -f "$record"
elif [ -s "$record" ]; then
    sort -u "$record" | awk -F '\t' '
        { tests[$1] = tests[$1] (tests[$1] ? ", " : "") $3; remedies[$1] = $2; count++ }
        END {
            for (what in tests) print "skipped for want of " what ": " tests[what] "\nhint: " remedies[what]
            printf "%d skipped for want of: ", count
            for (what in tests) { printf "%s%s", separator, what; separator = "; " }
            print ""
        }'
fi

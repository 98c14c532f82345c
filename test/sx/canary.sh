#!/bin/sh
# SPDX-License-Identifier: MIT
# Proves that the language suite can fail: canary.sh path/to/sx_run
run=$1
dir=$(dirname "$0")
status=0

# expect FILE LAST-LINE: exit code 1 and this last line.
expect() {
    out=$("$run" --harness "$dir/harness.sx" "$dir/canary/$1")
    code=$?
    last=$(printf '%s\n' "$out" | tail -n 1)
    if [ "$code" -ne 1 ] || [ "$last" != "$2" ]; then
        echo "canary $1: exit $code, \"$last\"; wanted exit 1, \"$2\""
        status=1
    fi
}

expect fail.sx "2 passed, 12 failed"
expect empty.sx "0 passed, 1 failed"
expect syntax.sx "1 passed, 1 failed"
[ "$status" -eq 0 ] && echo "canaries: 3 of 3 fail as they must"
exit "$status"

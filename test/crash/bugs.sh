#!/bin/sh
# SPDX-License-Identifier: MIT
# Tests the tests: switches on one bug after the other and shows that one of
# the crash programs finds it: test/crash/bugs.sh BUILD [NAME...]
# BUILD gets a subdirectory `bugs`, compiled with -DSEEDED_BUGS.
set -u
build=${1:-build}
[ $# -gt 0 ] && shift
budget=${BUDGET:-20}
cd "$(dirname "$0")/../.." || exit 1
bugs=$build/bugs
make --no-print-directory -s B="$bugs" CFLAGS="-DSEEDED_BUGS" \
    "$bugs/crash/crash_states" "$bugs/crash/faults" "$bugs/crash/model" \
    >/dev/null || exit 1
passed=0
failed=0

# Without a bug the programs must be silent, or they prove nothing.
for program in crash_states faults model; do
    if "$bugs/crash/$program" --budget 5 >/dev/null; then
        passed=$((passed + 1))
    else
        echo "$program fails without any bug"
        failed=$((failed + 1))
    fi
done

found=0
names=${*:-$("$bugs/crash/crash_states" --bug list)}
for name in $names; do
    finder=
    for seconds in 3 "$budget"; do
        for program in crash_states faults model; do
            [ -z "$finder" ] &&
                "$bugs/crash/$program" --budget "$seconds" --bug "$name" 2>&1 |
                grep -qE '^(VIOLATION|ended in|stuck in)' &&
                finder=$program
        done
    done
    if [ -n "$finder" ]; then
        echo "found: $name ($finder)"
        passed=$((passed + 1))
        found=$((found + 1))
    else
        echo "NOT FOUND: $name"
        failed=$((failed + 1))
    fi
done
echo "figure: $found bugs on purpose found, $failed not"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 3 ]

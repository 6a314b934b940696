#!/bin/sh
# fuzz.sh TIME: run every fuzz target of the module for TIME (say 10m), one
# after the other, and fail if any found something. What was found stands in
# that package's testdata/fuzz and is a test from then on.
set -eu

time=${1:?"usage: fuzz.sh TIME, for example 10m"}
passed=0
failed=0
for dir in $(go list -f '{{if .TestGoFiles}}{{.Dir}}{{end}}{{if .XTestGoFiles}} {{.Dir}}{{end}}' ./... | tr ' ' '\n' | sort -u); do
	grep -qs '^func Fuzz' "$dir"/*_test.go || continue
	for target in $(cd "$dir" && go test -list '^Fuzz' . | grep '^Fuzz'); do
		echo "== ${dir#"$PWD"/} $target"
		if (cd "$dir" && go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" .); then
			passed=$((passed + 1))
		else
			failed=$((failed + 1))
		fi
	done
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]

#!/bin/sh
# documents.sh FOLDER VERSION: the manual pages, completions and papers that
# packages carry, made by the programs themselves, with the date of the commit.
set -eu

to=$1
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
rm -rf "$to"
mkdir -p "$to/bin" "$to/man" "$to/completions"
CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X github.com/epic-swf/testbed/swf.Version=$2" -o "$to/bin/" \
	./cmd/testbed ./cmd/swf-mcp ./cmd/agent-manager ./cmd/swf-agent
"$to/bin/testbed" man --to "$to/man"
gzip -9n "$to"/man/*.1
for program in testbed swf-mcp agent-manager swf-agent; do
	for shell in bash zsh fish; do
		"$to/bin/$program" completion "$shell" >"$to/completions/$program.$shell"
	done
done
rm -rf "${to:?}/bin"
cp LICENSE README.md "$to/" # as they are now, whoever edits meanwhile

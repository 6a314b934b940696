package workflows

import "embed"

// Files holds the stock definitions: testbed.toml and the workflow files,
// at the root of the file system. A file of the same name in the testbed
// folder's workflows/ is preferred to the one in here. None of them carries a
// namespace: that is the user's, from the user's own testbed.toml.
//
//go:embed *.toml
var Files embed.FS

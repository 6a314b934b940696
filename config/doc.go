// Package config reads what a user may write: testbed.toml, workflow files,
// .env, the settings of manager and server; and says where everything is and
// which environment the programs of a testbed get.
//
// It is strict: an unknown key, a wrong type or a missing file is an error
// that names the place and the nearest valid name. It starts nothing, talks
// to nobody and keeps no state. Start reading at testbed.go and run.go.
package config

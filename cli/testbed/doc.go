// Package testbed is the testbed command with all that it links: the commands
// of cli, and the monitor that testbed monitor and testbed up run. The other
// programs take cli alone and are spared two databases, templates and assets.
//
// It decides nothing: it puts the rooms of the monitor together.
package testbed

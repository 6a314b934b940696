// Package docs holds README.md and docs/ against the programs: every command
// in a block is run as it is written, every other one is at least spelled
// right, every link leads somewhere, and the references of tools and
// configuration are made from the code (docs/developing.md tells how).
//
// It knows nothing of what the pages mean. Start reading at markdown.go, then
// session.go, which is a person who does what a page says.
package docs

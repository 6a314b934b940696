// Package packages holds what a release consists of against what it says:
// archives, deb and rpm, units, container files, the MCP bundle and the
// registry's server.json. What is built is taken from the folder that
// SWF_TEST_DIST names (make package builds it). It must not know how the
// programs work inside. Start with site_test.go.
package packages

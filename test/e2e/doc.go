// Package e2e runs the whole product, end to end: testdata/*.txtar are scripts
// over the real programs that read like a manual, and the Go tests take a
// testbed of parts, each of which can be killed alone and brought back.
//
// It tests promises, not functions: those are tested beside the code. Start
// reading at testdata/first.txtar and bench_test.go.
package e2e

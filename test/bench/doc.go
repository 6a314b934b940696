// Package bench measures what the system costs, each time beside a floor, the
// least work that could do the job, measured in the same run: machines are shared
// and noisy, ratios survive that. "make bench" prints one table and writes it to
// docs/performance.md; as a plain test it holds a few cheap ratios under wide
// limits, so that a slow-down is seen.
//
// Start reading at table_test.go, then any file of cases.
package bench

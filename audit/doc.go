// Package audit keeps who asked for what and what was decided: one JSON object a
// line, appended, never changed. A Trail takes Records from any number of
// goroutines; a File is where they go, 0600 and rotated by size and age.
//
// It must not decide anything, nor hold up who is audited: what cannot be
// written is told once, loudly, and control goes on. Start reading at record.go.
package audit

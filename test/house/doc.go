// Package house holds the rules of the house against the code: which package
// may import which, that each says what it is for, that mains stay doorbells
// and files stay short. It contains tests only.
//
// It reads source text, not compiled packages, and imports nothing of ours.
// Start reading at imports_test.go: its table is the architecture.
package house

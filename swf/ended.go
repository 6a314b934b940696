package swf

// ExecutionEnded reports whether an execution of that status is over. Statuses
// are free text in the contract; only the four terminal ones of this package
// say so.
func ExecutionEnded(status string) bool {
	switch status {
	case ExecutionCompleted, ExecutionFailed, ExecutionTerminated, ExecutionLost:
		return true
	}
	return false
}

package cli

// TestLinked is for the tests what cli itself does not link.
var TestLinked Linked

package swf

// Version names the build: the output of git describe, set by the linker at
// build time, or "dev" where the program was built by hand. Nothing writes it
// while a program runs.
var Version = "dev"

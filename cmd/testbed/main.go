package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/epic-swf/testbed/cli/testbed"
)

func main() {
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	os.Exit(testbed.Main(ctx, os.Args[1:]))
}

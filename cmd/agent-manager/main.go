package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/epic-swf/testbed/cli"
)

func main() {
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	os.Exit(cli.Manager(ctx, os.Args[1:]))
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
)

// parts are daemons that run beside each other in one process. They end in the
// reverse of the order in which they began: who was needed goes last.
type parts struct {
	ctx    context.Context // without the caller's end: parts end when end says so
	failed context.Context // ends with the error of the first part that failed
	fail   context.CancelCauseFunc

	mu      sync.Mutex
	enders  []func() error
	failure []error
}

func newParts(ctx context.Context) *parts {
	p := &parts{ctx: context.WithoutCancel(ctx)}
	p.failed, p.fail = context.WithCancelCause(p.ctx)
	return p
}

// Run starts a part. One that returns before it is told to has failed.
func (p *parts) Run(name string, part func(context.Context) error) {
	ctx, cancel := context.WithCancel(p.ctx)
	done := make(chan error, 1)
	go func() {
		err := part(ctx)
		switch told := ctx.Err() != nil; {
		case told && (errors.Is(err, context.Canceled) || errors.Is(err, net.ErrClosed)):
			err = nil // as it was told
		case !told && err == nil:
			err = errors.New("it ended by itself")
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", name, err)
			p.fail(err)
		}
		done <- err
	}()
	p.Last(func() error {
		cancel()
		return <-done
	})
}

// Last adds something to do at the end.
func (p *parts) Last(f func() error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.enders = append(p.enders, f)
}

// end ends every part and returns what went wrong.
func (p *parts) end() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.enders) - 1; i >= 0; i-- {
		p.failure = append(p.failure, p.enders[i]())
	}
	p.enders = nil
	p.fail(nil)
	return errors.Join(p.failure...)
}

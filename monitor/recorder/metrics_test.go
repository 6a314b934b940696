package recorder_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/epic-swf/testbed/monitor/recorder"
	"github.com/epic-swf/testbed/monitor/store"
)

// heldStore takes nothing before it is let go.
type heldStore struct {
	*store.Store
	entered, release chan struct{}
}

func (h heldStore) Record(ctx context.Context, batch []store.Heard) ([]bool, error) {
	select {
	case h.entered <- struct{}{}:
	default:
	}
	select {
	case <-h.release:
	case <-ctx.Done():
	}
	return h.Store.Record(ctx, batch)
}

// TestLagIsTheAgeOfWhatIsWritten, and none when nothing waits.
func TestLagIsTheAgeOfWhatIsWritten(t *testing.T) {
	var ahead atomic.Int64
	h := heldStore{sqliteStore(t), make(chan struct{}, 1), make(chan struct{})}
	began := time.Now()
	d := newDesk(t, recorder.Options{Store: h, Now: func() time.Time { return began.Add(time.Duration(ahead.Load())) }})
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(d.recorder.Collectors()...)
	gauge := func(name string) float64 {
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == name {
				return f.GetMetric()[0].GetGauge().GetValue()
			}
		}
		t.Fatal("no ", name)
		return 0
	}
	if lag := gauge("swf_recorder_lag_seconds"); lag != 0 {
		t.Errorf("a lag of %v s while nothing waits", lag)
	}
	d.publish([]byte(`{"msg_type":"stf_gen","filename":"a","run_id":"1"}`))
	d.wait(h.entered, "a batch at the store")
	ahead.Store(int64(40 * time.Second))
	if lag := gauge("swf_recorder_lag_seconds"); lag != 40 {
		t.Errorf("a lag of %v s, not 40", lag)
	}
	close(h.release)
	for gauge("swf_recorder_lag_seconds") != 0 || d.recorder.Stats().Recorded == 0 {
		if time.Since(began) > patience {
			t.Fatal("the lag does not end")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

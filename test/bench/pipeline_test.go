package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	"sync/atomic"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/swf"
)

// slicesOf is how many slices the built-in parameters make of one STF.
const slicesOf = 15

// pipeline is row 13: all four agents, as processes under supervisord, in
// virtual time.
func pipeline() *group {
	g := &group{name: "pipeline", rows: []*row{
		{of: "fast processing in virtual time through all four agents, end to end: bus messages/s, 100 STFs", floor: "the embedded broker's own messages/s for as many messages", unit: perSecond,
			goal: ratioAtLeast(0.3)},
		{of: "the same, 1,000 STFs", floor: "the same", unit: perSecond, goal: ratioAtLeast(0.3)},
		{of: "cost of that run over 10, 100, 1,000 STFs", floor: "–", unit: exponent, goal: grows()},
	}}
	const why = "not the bus, the record of it: each slice is a row that is made and one that is changed, an event and two messages kept, told in JSON by five processes and written one after the other, " +
		"about 1 ms of processor time a slice where the floor's two messages take 0.01; lists in POST and PATCH of tf-slices and events made it four times as fast (0.002 to 0.009 in turn); " +
		"needs fewer rows for a slice than the contract has, or a database that takes several at once"
	g.rows[0].why, g.rows[1].why = why, why
	g.measure = func(t *testing.T, g *group) {
		u := newUp(t)
		heard := u.hear()
		u.tool("start_user_testbed", map[string]any{"config_name": "fast_processing"})
		defer u.tool("stop_user_testbed", map[string]any{"confirm": true})
		mine := embedded(t)
		play := func(stfs int) (messages int64, took float64) {
			before := heard.Load()
			took = u.play(stfs)
			return heard.Load() - before + int64(stfs*slicesOf), took // and the results, on a queue that is not ours to read
		}
		play(2) // everybody has seen a run
		big, middle := size(1000), size(100)
		_, tiny := play(size(10))
		var costs []float64
		once := func(r *row, stfs int) {
			n, took := play(stfs)
			r.add(fanOut(t, mine, "", 1, int(n), nil), float64(n)/took)
			costs = append(costs, took)
			r.note = fmt.Sprintf("%d messages, %d STFs, %d slices", n, stfs, stfs*slicesOf)
		}
		for range rounds(5) {
			once(g.rows[0], middle)
		}
		hundred := median(costs)
		once(g.rows[1], big)
		if big > middle {
			g.rows[2].ours = []float64{slope([]float64{float64(size(10)), float64(middle), float64(big)}, []float64{tiny, hundred, costs[len(costs)-1]})}
			g.rows[2].note = fmt.Sprintf("%s, %s, %s", seconds.show(tiny), seconds.show(hundred), seconds.show(costs[len(costs)-1]))
		}
	}
	return g
}

// hear counts what goes over the topics.
func (u *upSite) hear() *atomic.Int64 {
	var n atomic.Int64
	c := bus(u.t, u.Broker)
	for _, topic := range []string{swf.TopicWorkflow, swf.TopicWorkers, swf.TopicSlices} {
		<-c.Subscribe(topic, amq.SubscribeOptions{AutoAck: true, Prefetch: 1000}, func(context.Context, *amq.Delivery) { n.Add(1) }).Ready()
	}
	return &n
}

// play runs the workflow and returns the seconds until it has
// ended and every slice is done.
func (u *upSite) play(stfs int) float64 {
	u.t.Helper()
	began := time.Now()
	execution, _ := u.tool("start_workflow", map[string]any{"stf_count": stfs, "realtime": false})["execution_id"].(string)
	// A look every 50 ms costs what is measured little, for it is one of thousands of requests.
	for end := began.Add(5 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if s := u.state(execution); s == nil || s.SlicesCompleted < stfs*slicesOf {
			continue
		}
		if x, err := u.monitor.Execution(context.Background(), execution); err == nil && x != nil && x.Status == swf.ExecutionCompleted {
			return time.Since(began).Seconds()
		}
	}
	u.t.Fatalf("%d STFs are not done in 5 minutes", stfs)
	return 0
}

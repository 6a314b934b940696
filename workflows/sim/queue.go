package sim

// events is a heap of sleepers, the next one first.
type events []*event

func (q events) Len() int { return len(q) }

func (q events) Less(i, j int) bool {
	if q[i].at != q[j].at {
		return q[i].at < q[j].at
	}
	return q[i].seq < q[j].seq
}

func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

func (q *events) Push(x any) { *q = append(*q, x.(*event)) }

func (q *events) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return e
}

// ended is the place of a sleeper whose context ended, of several the one that
// would wake first; -1 when there is none.
func (q events) ended() int {
	first := -1
	for i, e := range q {
		if e.ctx.Err() != nil && (first < 0 || q.Less(i, first)) {
			first = i
		}
	}
	return first
}

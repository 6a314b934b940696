package manager

// Point names a moment between two steps of a command. A crash at any of them
// must do no harm (design, rule 8): the fault suite kills a manager at each.
type Point string

// The points, in the order in which commands come to them.
const (
	AtReceived  Point = "received"         // nothing is written down
	AtTargeted  Point = "targeted"         // a stop knows which start it is meant for
	AtJournaled Point = "journaled"        // accepted, on disk; nobody knows
	AtRefused   Point = "refused"          // a refusal is on disk; nobody knows
	AtAccepted  Point = "accepted"         // told so; the broker still has it
	AtAcked     Point = "acked"            // the broker has it no more
	AtTurn      Point = "turn"             // its place in the executor is its own
	AtBegun     Point = "begun"            // so it is on disk
	AtHeld      Point = "held"             // a start has the lock and changes nothing yet
	AtActing    Point = "acting"           // so it is on disk; nothing has changed
	AtPrepared  Point = "prepared"         // the programs' files are written
	AtCleared   Point = "cleared"          // the old supervisord has gone
	AtSpawned   Point = "spawned"          // the new one answers
	AtRunning   Point = "running"          // one more program is RUNNING
	AtUp        Point = "up"               // all of them are
	AtNoted     Point = "noted"            // and their pids are written down
	AtUndoing   Point = "undoing"          // a start has failed; what it left is there
	AtStopping  Point = "stopping"         // a stop has the lock
	AtStopped   Point = "programs stopped" // no program is active; supervisord lives
	AtDown      Point = "down"             // supervisord has gone
	AtUnnoted   Point = "unnoted"          // so has the note of the start
	AtLeaving   Point = "leaving"          // a restart has stopped everything, and says so on disk
	AtAsking    Point = "asking"           // before a workflow command is passed on
	AtAnswered  Point = "answered"         // the runner has answered
	AtWithdraw  Point = "withdrawing"      // the manager gives a run up
	AtWithdrawn Point = "withdrawn"        // the first link has decided
	AtRecovered Point = "recovering"       // an interrupted command has its turn again
	AtConclude  Point = "concluding"       // the outcome is known to this process alone
	AtDone      Point = "done"             // it is on disk, and not told
)

// Points are all of them.
func Points() []Point {
	return []Point{AtReceived, AtTargeted, AtJournaled, AtRefused, AtAccepted, AtAcked, AtTurn, AtBegun, AtHeld, AtActing,
		AtPrepared, AtCleared, AtSpawned, AtRunning, AtUp, AtNoted, AtUndoing, AtStopping, AtStopped, AtDown, AtUnnoted,
		AtLeaving, AtAsking, AtAnswered, AtWithdraw, AtWithdrawn, AtRecovered, AtConclude, AtDone}
}

// at tells whoever tests it that a point is reached.
func (t *Testbed) at(p Point) {
	if t.o.At != nil {
		t.o.At(p)
	}
}

func (m *Manager) at(p Point) { m.o.Testbed.at(p) }

package bench

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// unit prints figures.
type unit string

// The units of what is measured.
const (
	perSecond unit = "/s"
	seconds   unit = "s"
	bytesOf   unit = "B"
	ofACore   unit = "of a core"
	exponent  unit = "exponent"
)

func (u unit) show(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case u == exponent:
		return fmt.Sprintf("%.2f", v)
	case u == seconds && v < 1e-3:
		return fmt.Sprintf("%.3g µs", v*1e6)
	case u == seconds && v < 1:
		return fmt.Sprintf("%.3g ms", v*1e3)
	case u == seconds:
		return fmt.Sprintf("%.3g s", v)
	case u == bytesOf && v < 1e6:
		return fmt.Sprintf("%.3g kB", v/1e3)
	case u == bytesOf:
		return fmt.Sprintf("%.1f MB", v/1e6)
	case u == ofACore:
		return fmt.Sprintf("%.2f %%", v*100)
	case v >= 1000:
		return fmt.Sprintf("%.0f%s", v, u)
	}
	return fmt.Sprintf("%.3g%s", v, u)
}

// goal is what performance.md asks of a ratio, or, when it says so, of our own
// figure.
type goal struct {
	words  string // as the table prints it
	limit  float64
	least  bool // the limit is the least that is good, not the most
	figure bool // of our figure, not of the ratio
}

func ratioAtMost(limit float64) goal { return goal{words: fmt.Sprintf("≤ %g", limit), limit: limit} }
func ratioAtLeast(limit float64) goal {
	return goal{words: fmt.Sprintf("≥ %g", limit), limit: limit, least: true}
}
func figureAtMost(words string, limit float64) goal {
	return goal{words: words, limit: limit, figure: true}
}

// grows is the goal of every exponent: cost that grows as the work does, with
// room for what is paid once and for caches that a larger size leaves.
func grows() goal { return goal{words: "exponent ≤ 1.15", limit: 1.15, figure: true} }

func (g goal) met(v float64) bool {
	if g.least {
		return v >= g.limit
	}
	return v <= g.limit
}

// row is one line of the table.
type row struct {
	of    string // what is measured
	floor string // what it is held against
	unit  unit
	goal  goal
	why   string // the reason when it misses, and what would be needed

	floors, ours []float64 // one figure a round
	beside       []*rival
	note         string // what else there is to say, in the last column
}

// rival is somebody else's way of doing the same work, in the same rounds.
type rival struct {
	name    string
	figures []float64
}

func (r *row) rival(name string, figure float64) {
	i := slices.IndexFunc(r.beside, func(v *rival) bool { return v.name == name })
	if i < 0 {
		i, r.beside = len(r.beside), append(r.beside, &rival{name: name})
	}
	r.beside[i].figures = append(r.beside[i].figures, figure)
}

func (r *row) add(floor, ours float64) {
	r.floors, r.ours = append(r.floors, floor), append(r.ours, ours)
}

// ratios are ours to the floor's, round by round: what disturbs a round
// disturbs both halves of it.
func (r *row) ratios() []float64 {
	all := make([]float64, len(r.floors)) // none without a floor
	for i := range all {
		all[i] = r.ours[i] / r.floors[i]
	}
	return all
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(v))
	return (s[len(s)/2] + s[(len(s)-1)/2]) / 2
}

// quantile is the value below which that part of v lies.
func quantile(v []float64, part float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(v))
	return s[min(int(part*float64(len(s))), len(s)-1)]
}

func (r *row) judged() float64 {
	if r.goal.figure {
		return median(r.ours)
	}
	return median(r.ratios())
}

// verdict is the column "met".
func (r *row) verdict() string {
	switch {
	case len(r.ours) == 0:
		return "not measured"
	case r.goal.words == "":
		return ""
	case r.goal.met(r.judged()):
		return "yes"
	}
	return "**no**"
}

// line is the row in Markdown.
func (r *row) line() string {
	ratio := "–"
	if all := r.ratios(); len(all) > 0 && median(r.floors) > 0 {
		ratio = fmt.Sprintf("%.2f (%.2f–%.2f, n=%d)", median(all), slices.Min(all), slices.Max(all), len(all))
	}
	if r.unit == exponent && len(r.ours) > 0 {
		ratio = fmt.Sprintf("%.2f–%.2f, n=%d", slices.Min(r.ours), slices.Max(r.ours), len(r.ours))
	}
	var words []string
	for _, v := range r.beside {
		words = append(words, fmt.Sprintf("%s: %s", v.name, r.unit.show(median(v.figures))))
	}
	if r.note != "" {
		words = append(words, r.note)
	}
	if v := r.verdict(); v != "yes" && v != "" && r.why != "" {
		words = append(words, r.why)
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s | %s |", r.of, r.floor, r.unit.show(median(r.floors)), r.unit.show(median(r.ours)),
		ratio, r.goal.words, r.verdict(), strings.Join(words, "; "))
}

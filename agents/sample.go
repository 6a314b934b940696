package agents

import (
	"fmt"
	"hash/fnv"
	"math"
	"strings"
)

// framesPerSTF is how many time frames an STF holds whose message does not say
// (contract 7.6).
const framesPerSTF = 1000

// heldBy is how many time frames an STF holds, as far as the monitor was told.
func heldBy(told *int) int {
	if told == nil {
		return framesPerSTF
	}
	return *told
}

// frames is a piece of an STF: time frames first to last, counted from 0, as a
// file of that name.
type frames struct {
	name        string
	first, last int
}

func (f frames) count() int { return f.last - f.first + 1 }

// plan says how STFs are sampled and how samples are cut, from the run's
// parameters. Everything follows from it and from a file's name alone, so that
// whoever makes a piece twice makes the same one.
type plan struct {
	rate    float64 // part of an STF's time frames that is sampled
	samples int     // TF files made of one STF
	perCut  int     // time frames in a slice
	most    int     // slices from one sample; 0 is no limit
}

// Defaults of the parameters, for configurations that lack them: those of the
// Python agents (contract 7.6).
const (
	defaultRate    = 0.15
	defaultSamples = 7
	defaultPerCut  = 2
)

// Limits that no plan exceeds, whatever a message or a parameter says.
const (
	mostSamples = 1000   // of an STF
	mostSlices  = 10_000 // of a sample
)

func planOf(p Parameters) plan {
	return plan{
		rate:    min(max(p.number("stf_sampling_rate", defaultRate), 0), 1),
		samples: min(p.whole("samples_per_stf", defaultSamples, 1), mostSamples),
		perCut:  p.whole("num_tf_per_slice", defaultPerCut, 1),
		most:    p.whole("slices_per_sample", 0, 0),
	}
}

// sample chooses the time frames of an STF that are sampled. The STF is parted
// evenly, and from each part one run of frames is taken, at a place that looks
// random and is decided by the file's name.
func (p plan) sample(stf string, held int) []frames {
	taken := int(math.Round(p.rate * float64(held)))
	if taken == 0 && p.rate > 0 {
		taken = 1
	}
	parts := min(p.samples, taken, held)
	out := make([]frames, 0, max(parts, 0))
	for i := range parts {
		begin, end := i*held/parts, (i+1)*held/parts
		size := min((i+1)*taken/parts-i*taken/parts, end-begin)
		name := fmt.Sprintf("%s_tf_%03d.tf", strings.TrimSuffix(stf, ".stf"), i+1)
		first := begin + int(hash(name)%uint64(end-begin-size+1))
		out = append(out, frames{name: name, first: first, last: first + size - 1})
	}
	return out
}

// cut parts a sample into slices of perCut frames, the last one perhaps of
// fewer, from its beginning and at most as many as allowed.
func (p plan) cut(sample frames) []frames {
	n := min((sample.count()+p.perCut-1)/p.perCut, mostSlices)
	if p.most > 0 {
		n = min(n, p.most)
	}
	out := make([]frames, 0, max(n, 0))
	for i := range n {
		first := sample.first + i*p.perCut
		out = append(out, frames{
			name:  fmt.Sprintf("%s_slice_%03d.tf", strings.TrimSuffix(sample.name, ".tf"), i),
			first: first, last: min(first+p.perCut-1, sample.last),
		})
	}
	return out
}

// Implied is what parameters make of a number of STFs: how many samples (TF
// files) fastmon takes and how many slices fast processing queues. STFs are
// taken to be of the usual size.
func Implied(p Parameters, stfs int) (samples, slices int) {
	plan := planOf(p)
	for _, s := range plan.sample("any.stf", framesPerSTF) {
		samples++
		slices += len(plan.cut(s))
	}
	return samples * stfs, slices * stfs
}

// hash spreads names evenly and the same way on every host.
func hash(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	sum := h.Sum64() // FNV's last byte moves its low bits little: mix
	sum ^= sum >> 33
	sum *= 0xff51afd7ed558ccd
	return sum ^ sum>>33
}

package main

import (
	"strings"
	"testing"
)

// Each stream is what "go test -json" prints, cut to what matters.
func TestReport(t *testing.T) {
	for _, tt := range []struct {
		name, events, out string
	}{
		{
			name: "passing output is dropped",
			events: `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"noise\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Elapsed":1.25}`,
			out: "ok    p\t1.2s\t1 tests\n1 passed, 0 failed, 0 skipped\n",
		},
		{
			name: "a failure shows its output, once",
			events: `{"Action":"output","Package":"p","Test":"TestA","Output":"a_test.go:1: wrong\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"FAIL\n"}
{"Action":"fail","Package":"p"}`,
			out: "a_test.go:1: wrong\nFAIL\nFAIL  p\t0.0s\n0 passed, 1 failed, 0 skipped\n",
		},
		{
			name: "a skip tells its reason",
			events: `{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:7: no java\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- SKIP: TestA (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p"}`,
			out: "ok    p\t0.0s\t1 tests\nskipped p TestA: a_test.go:7: no java\n0 passed, 0 failed, 1 skipped\n",
		},
		{
			name: "a package that does not build is a failure",
			events: `{"ImportPath":"p","Action":"build-output","Output":"p.go:3: undefined: x\n"}
{"ImportPath":"p","Action":"build-fail"}
{"Action":"output","Package":"p","Output":"FAIL\tp [build failed]\n"}
{"Action":"fail","Package":"p","FailedBuild":"p"}`,
			out: "p.go:3: undefined: x\nFAIL\tp [build failed]\nFAIL  p\t0.0s\n0 passed, 1 failed, 0 skipped\n",
		},
		{
			name: "a test cut off by a time-out is shown",
			events: `{"Action":"output","Package":"p","Test":"TestHang","Output":"waiting\n"}
{"Action":"output","Package":"p","Output":"panic: test timed out\n"}
{"Action":"fail","Package":"p"}`,
			out: "panic: test timed out\nwaiting\nFAIL  p\t0.0s\n0 passed, 1 failed, 0 skipped\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			r := newReport(&out)
			if err := r.read(strings.NewReader(tt.events)); err != nil {
				t.Fatal(err)
			}
			r.close()
			if out.String() != tt.out {
				t.Errorf("got:\n%s\nwant:\n%s", out.String(), tt.out)
			}
		})
	}
}

func TestReportRefusesWhatIsNoEvent(t *testing.T) {
	if err := newReport(&strings.Builder{}).read(strings.NewReader("hello\n")); err == nil {
		t.Error("a line that is no event was accepted")
	}
}

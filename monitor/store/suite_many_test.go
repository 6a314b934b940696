package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/epic-swf/testbed/monitor/store"
)

func testMany(t *testing.T, open func(func() time.Time) *store.Store) {
	s := open(always(noon))
	named := func(names ...string) (all []store.Record) {
		for _, name := range names {
			all = append(all, store.Record{"name": name, "owner": "o"})
		}
		return all
	}
	names := func() string {
		page, err := s.List(t.Context(), store.Namespaces, store.Query{})
		if err != nil {
			t.Fatal(err)
		}
		var text string
		for _, r := range page.Records {
			text += fmt.Sprint(r["name"], "=", r["description"], " ")
		}
		return text
	}
	made, err := s.InsertAll(t.Context(), store.Namespaces, named("c", "a", "b"))
	if err != nil || len(made) != 3 || made[0]["name"] != "c" || made[2]["name"] != "b" || !made[1]["created_at"].(time.Time).Equal(noon) {
		t.Fatalf("%v, %v", made, err)
	}
	var taken *store.ConflictError
	if made, err := s.InsertAll(t.Context(), store.Namespaces, named("d", "e", "a")); !errors.As(err, &taken) || made != nil {
		t.Errorf("%v, %v", made, err)
	}
	describe := func(i int, current store.Record) (store.Record, error) {
		return store.Record{"description": fmt.Sprint(i, current["name"])}, nil
	}
	if _, err := s.UpdateAll(t.Context(), store.Namespaces, []any{"a", "none"}, describe); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if got := names(); got != "a= b= c= " {
		t.Errorf("there is %s", got)
	}
	updated, err := s.UpdateAll(t.Context(), store.Namespaces, []any{"c", "a", "c"}, describe)
	if err != nil || len(updated) != 3 || updated[1]["description"] != "1a" {
		t.Errorf("%v, %v", updated, err)
	}
	if got := names(); got != "a=1a b= c=2c " {
		t.Errorf("there is %s", got)
	}
	if made, err := s.InsertAll(t.Context(), store.Namespaces, nil); err != nil || len(made) != 0 {
		t.Errorf("nothing: %v, %v", made, err)
	}
}

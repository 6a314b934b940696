package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
)

func encoded(status int, t *store.Table, r store.Record) (answer, error) {
	body, err := t.Encode(r)
	return answer{status: status, body: body}, err
}

func encodeAll(t *store.Table, records []store.Record) ([]json.RawMessage, error) {
	bodies := make([]json.RawMessage, len(records)) // never nil: an empty list is []
	for i, r := range records {
		body, err := t.Encode(r)
		if err != nil {
			return nil, err
		}
		bodies[i] = body
	}
	return bodies, nil
}

// withQuery is the request's own absolute address with some query parameters
// set, or removed where the value is "".
func withQuery(r *http.Request, changes map[string]string) string {
	query := r.URL.Query()
	for name, value := range changes {
		if value == "" {
			query.Del(name)
		} else {
			query.Set(name, value)
		}
	}
	address := baseURL(r) + strings.TrimPrefix(r.URL.EscapedPath(), "/api/")
	return withEncoded(address, query)
}

func withEncoded(address string, query url.Values) string {
	if len(query) == 0 {
		return address
	}
	return address + "?" + query.Encode()
}

// nonNegative reads a number from a query parameter; anything else is 0.
func nonNegative(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// stamp is a Record's time as the contract writes it.
func stamp(v any) any {
	if at, ok := v.(time.Time); ok {
		return swf.At(at)
	}
	return nil
}

// storeAnswers reports whether the store can be read.
func (a *api) storeAnswers(ctx context.Context) error {
	_, err := a.store.List(ctx, store.Namespaces, store.Query{Limit: 1})
	return err
}
